"""Compare what a finished run took with its forecast."""

import pandas as pd
from sacp.artefacts.files import write_csv
from sacp.artefacts.lookup import load_all
from sacp.compute import job
from sacp.forecast import compare, schedule

with job.running(snakemake) as work:
    rows = compare.table(pd.read_csv(work.given.forecast), load_all(work.given.records))
    write_csv(work.out.csv, rows, compare.COLUMNS)
    job.log.info("%s", schedule.as_text(rows, compare.COLUMNS))
