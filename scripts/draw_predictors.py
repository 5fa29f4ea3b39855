"""Figure: how well each predictor ranks networks, with intervals."""

from pathlib import Path

import pandas as pd
from sacp.compute import job
from sacp.report.predictors_figure import predictors_figure

with job.running(snakemake) as work:
    table = pd.read_csv(work.given.table)
    rows = table[table["model"] == work.wildcards.experiment]
    predictors_figure([Path(work.out.png), Path(work.out.pdf)], work.wildcards.experiment, rows)
