"""Put what a finished run has taken beside its forecast."""

import pandas as pd
from sacp import files, forecast, job, spent

with job.logged(snakemake.log[0], snakemake.threads):
    records = {stage: [spent.load_record(path) for path in snakemake.input[stage]] for stage in forecast.STAGES}
    rows = spent.table(pd.read_csv(snakemake.input.forecast), records)
    files.write_csv(snakemake.output[0], rows, spent.COLUMNS)
    job.log.info("%s", forecast.as_text(rows, spent.COLUMNS))
