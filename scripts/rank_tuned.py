"""Gather the tuned shards, best validation accuracy first, failed candidates last."""

from sacp.artefacts.files import write_csv
from sacp.compute import job
from sacp.training.ranking import TUNED_COLUMNS, load_tuned, rank

with job.running(snakemake) as work:
    rows = [row for path in work.given.shards for row in load_tuned(path)]
    write_csv(work.out.tuned, rank(rows), TUNED_COLUMNS)
