"""Figure: how the scores of all candidates are distributed, and where the chosen ones lie."""

from pathlib import Path

import pandas as pd
from sacp import files, job, provenance, search_figures

with job.logged(snakemake.log[0], snakemake.threads):
    cfg, given = snakemake.params.cfg, snakemake.input
    record = provenance.record(snakemake.rule, cfg, snakemake.params.code, given, seed=None)
    methods = {}
    for method, scores, tuned, winner in zip(cfg["methods"], given.scores, given.tuned, given.winners, strict=True):
        table = pd.read_parquet(scores, columns=["candidate", "score"]).set_index("candidate")["score"]
        won = files.read_json(winner)
        methods[method] = search_figures.Scores(
            table.to_numpy(),
            table[pd.read_csv(tuned)["candidate"]].to_numpy(),
            table[won["trained_candidates"]].to_numpy(),
            float(table[won["candidate"]]),
        )
    outputs = [Path(snakemake.output.png), Path(snakemake.output.pdf)]
    search_figures.score_figure(outputs, f"{snakemake.wildcards.experiment}, seed {cfg['seed']}", methods)
    files.write_json(snakemake.output.provenance, provenance.finished(record, outputs=outputs))
