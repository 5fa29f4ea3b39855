"""Figure: accuracy of each method against the time of devices that it has taken."""

from pathlib import Path

import pandas as pd
from sacp.compute import job
from sacp.report.cost_figures import accuracy_cost_figure

with job.running(snakemake) as work:
    table = pd.read_csv(work.given.table)
    rows = table[(table["source"] == "measured") & (table["model"] == work.wildcards.experiment)]
    paths = [Path(work.out.png), Path(work.out.pdf)]
    accuracy_cost_figure(paths, work.wildcards.experiment, rows)
