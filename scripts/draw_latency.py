"""Figure: how many times as fast as their base the winners are, against the FLOPs that they keep."""

from pathlib import Path

import pandas as pd
from sacp.artefacts.files import read_json
from sacp.compute import job
from sacp.report.latency_figure import latency_figure

with job.running(snakemake) as work:
    base = read_json(work.given.base)["flops"]
    kept = {
        method: read_json(path)["flops"] / base
        for method, path in zip(work.cfg["methods"], work.given.winners, strict=True)
    }
    paths = [Path(work.out.png), Path(work.out.pdf)]
    latency_figure(paths, work.wildcards.experiment, kept, pd.read_csv(work.given.latency))
