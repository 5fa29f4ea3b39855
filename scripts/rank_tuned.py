"""Gather the tuned shards, best validation accuracy first, failed candidates last."""

from sacp import files, job, refine

with job.logged(snakemake.log[0], snakemake.threads):
    rows = [row for path in snakemake.input for row in refine.load_tuned(path)]
    files.write_csv(snakemake.output[0], refine.rank(rows), refine.TUNED_COLUMNS)
