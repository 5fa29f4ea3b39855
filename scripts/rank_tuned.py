"""Gather the tuned shards, best validation accuracy first."""

import pandas as pd
from sacp import files, job, refine

with job.logged(snakemake.log[0], snakemake.threads):
    rows = pd.concat([pd.read_csv(path) for path in snakemake.input]).to_dict("records")
    ranked = refine.best(rows, "validation_accuracy_percent", len(rows))
    files.write_csv(snakemake.output[0], ranked, refine.TUNED_COLUMNS)
