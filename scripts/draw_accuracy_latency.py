"""Figure: accuracy of the base and the winners against the time that they take."""

from pathlib import Path

import pandas as pd
from sacp.artefacts.files import read_json
from sacp.compute import job
from sacp.report.cost_figures import BASE, accuracy_latency_figure

with job.running(snakemake) as work:
    files = zip([BASE, *work.cfg["methods"]], [work.given.base, *work.given.winners], strict=True)
    accuracies = {name: read_json(path)["test_accuracy_percent"] for name, path in files}
    paths = [Path(work.out.png), Path(work.out.pdf)]
    accuracy_latency_figure(paths, work.wildcards.experiment, accuracies, pd.read_csv(work.given.latency))
