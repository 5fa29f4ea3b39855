"""Write down how the winner is chosen: how many candidates are trained fully, and how."""

from sacp.artefacts.files import write_json
from sacp.compute import job

with job.running(snakemake) as work:
    write_json(work.out.protocol, {"chosen_by": "validation_accuracy_percent", **work.cfg})
