"""Figure: how the scores of all candidates are distributed, and where the chosen ones lie."""

from pathlib import Path

import pandas as pd
from sacp.artefacts.files import read_json
from sacp.compute import job
from sacp.report.search_figures import Scores, score_figure

with job.running(snakemake) as work:
    files_of, methods = zip(work.given.scores, work.given.tuned, work.given.winners, strict=True), {}
    for method, (scores, tuned, winner) in zip(work.cfg["methods"], files_of, strict=True):
        table = pd.read_parquet(scores, columns=["candidate", "score"]).set_index("candidate")["score"]
        won = read_json(winner)
        methods[method] = Scores(
            table.to_numpy(),
            table[pd.read_csv(tuned)["candidate"]].to_numpy(),
            table[won["trained_candidates"]].to_numpy(),
            float(table[won["candidate"]]),
        )
    title = f"{work.wildcards.experiment}, seed {work.cfg['seed']}"
    score_figure([Path(work.out.png), Path(work.out.pdf)], title, methods)
