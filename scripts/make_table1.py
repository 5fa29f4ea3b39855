"""Table 1: the paper's qualitative comparison of methods, as it stands there."""

import pandas as pd
from sacp.compute import job
from sacp.report import formats, tables

with job.running(snakemake) as work:
    formats.save(work.out.csv, pd.read_csv(work.given[0]), tables.TABLE1)
