"""Write down how the winner is chosen: how many candidates are trained fully, and how."""

from sacp import files, job, provenance

with job.logged(snakemake.log[0], snakemake.threads):
    cfg, seed = snakemake.params.cfg, int(snakemake.wildcards.seed)
    record = provenance.record(snakemake.rule, cfg, snakemake.params.code, snakemake.input, seed)
    protocol = {"chosen_by": "validation_accuracy_percent", **cfg, "provenance": provenance.finished(record)}
    files.write_json(snakemake.output[0], protocol)
