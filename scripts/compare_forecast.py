"""Put what a finished run has taken beside its forecast."""

import pandas as pd
from sacp import files, forecast, job, provenance, records, spent

with job.logged(snakemake.log[0], snakemake.threads):
    made = {stage: [records.load_timed(path) for path in snakemake.input[stage]] for stage in forecast.STAGES}
    rows = spent.table(pd.read_csv(snakemake.input.forecast), made)
    files.write_csv(snakemake.output.csv, rows, spent.COLUMNS)
    record = provenance.record(snakemake.rule, {}, snakemake.params.code, snakemake.input, seed=None)
    files.write_json(snakemake.output.provenance, provenance.finished(record, outputs=[snakemake.output.csv]))
    job.log.info("%s", forecast.as_text(rows, spent.COLUMNS))
