"""Part the candidates of a rung of successive halving: the better half by validation accuracy goes on."""

from sacp.artefacts.files import write_csv
from sacp.compute import job
from sacp.training.halving import halved
from sacp.training.ranking import TUNED_COLUMNS, load_tuned

with job.running(snakemake) as work:
    kept, dropped = halved([row for path in work.given.shards for row in load_tuned(path)])
    write_csv(work.out.kept, kept, TUNED_COLUMNS)
    write_csv(work.out.dropped, dropped, TUNED_COLUMNS)
