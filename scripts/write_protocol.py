"""Write down how the winner is chosen: how many candidates are trained fully, and how."""

from sacp import files, job

with job.logged(snakemake.log[0], snakemake.threads):
    files.write_json(snakemake.output[0], {"chosen_by": "validation_accuracy_percent", **snakemake.params.cfg})
