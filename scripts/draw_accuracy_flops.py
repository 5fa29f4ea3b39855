"""Figure: accuracy against FLOPs of all tuned candidates, the fully trained ones and the baselines."""

from pathlib import Path

import pandas as pd
from sacp.artefacts.files import read_json
from sacp.compute import job
from sacp.report.training_figures import accuracy_figure

with job.running(snakemake) as work:
    shards = zip(work.cfg["searches"], work.given.tuned, strict=True)
    tuned = pd.concat([pd.read_csv(path).assign(method=method) for method, path in shards])
    trained = []
    for method, path in zip(work.cfg["methods"], work.given.winners, strict=True):
        winner = read_json(path)
        for candidate in winner["trained_candidates"]:
            more = {"winner": candidate == winner["candidate"], "fully": method not in work.cfg["tuned"]}
            metrics = Path(path).parents[1] / "topk" / str(candidate) / "metrics.json"
            work.also_read(metrics)
            trained.append(read_json(metrics) | {"method": method, **more})
    reported = pd.read_csv(work.given.reported)
    # The paper's networks and recipes differ from ours: its points are drawn as they are, without its base.
    reported = reported[(reported["model"] == work.cfg["reported"]) & (reported["method"] != "Base")]
    paths = [Path(work.out.png), Path(work.out.pdf)]
    base = read_json(work.given.base)
    accuracy_figure(paths, work.wildcards.experiment, base, tuned, pd.DataFrame(trained), reported)
