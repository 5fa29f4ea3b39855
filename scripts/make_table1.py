"""Table 1: the paper's qualitative comparison of methods, as it stands there."""

import pandas as pd
from sacp import files, job, provenance, report

with job.logged(snakemake.log[0], snakemake.threads):
    record = provenance.record(snakemake.rule, {}, snakemake.params.code, snakemake.input, seed=None)
    outputs = report.save(snakemake.output.csv, pd.read_csv(snakemake.input[0]), report.CAPTIONS["table1"])
    files.write_json(snakemake.output.provenance, provenance.finished(record, outputs=outputs))
