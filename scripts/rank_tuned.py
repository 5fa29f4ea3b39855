"""Gather the tuned shards, best validation accuracy first, failed candidates last."""

from sacp import files, job, provenance, refine

with job.logged(snakemake.log[0], snakemake.threads):
    rows = [row for path in snakemake.input for row in refine.load_tuned(path)]
    files.write_csv(snakemake.output.tuned, refine.rank(rows), refine.TUNED_COLUMNS)
    seed = int(snakemake.wildcards.seed)
    record = provenance.record(snakemake.rule, {}, snakemake.params.code, snakemake.input, seed)
    files.write_json(snakemake.output.provenance, provenance.finished(record, outputs=[snakemake.output.tuned]))
