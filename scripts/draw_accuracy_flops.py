"""Figure: accuracy against FLOPs of all tuned candidates, the fully trained ones and the baselines."""

from pathlib import Path

import pandas as pd
from sacp import checkpoint, figures, files, job, provenance

with job.logged(snakemake.log[0], snakemake.threads):
    cfg = snakemake.params.cfg
    shards = zip(cfg["searches"], snakemake.input.tuned, strict=True)
    tuned = pd.concat([pd.read_csv(path).assign(method=method) for method, path in shards])
    trained = []
    for method, path in zip(cfg["methods"], snakemake.input.winners, strict=True):
        winner = files.read_json(path)
        for candidate in winner["trained_candidates"]:
            won = method in cfg["searches"] and candidate == winner["candidate"]
            metrics = files.read_json(Path(path).parents[1] / "topk" / str(candidate) / "metrics.json")
            trained.append(metrics | {"method": method, "winner": won})
    reported = pd.read_csv(snakemake.input.reported)
    # The paper's base and its own result are of networks and recipes that differ: all its points stand for themselves.
    reported = reported[(reported["model"] == cfg["reported"]) & (reported["method"] != "Base")]
    base = checkpoint.load_metrics(snakemake.input.base)
    paths = [Path(snakemake.output.png), Path(snakemake.output.pdf)]
    figures.accuracy_figure(paths, snakemake.wildcards.experiment, base, tuned, pd.DataFrame(trained), reported)
    record = provenance.record(snakemake.rule, cfg, snakemake.params.code, snakemake.input, seed=None)
    files.write_json(snakemake.output.provenance, provenance.finished(record, outputs=paths))
