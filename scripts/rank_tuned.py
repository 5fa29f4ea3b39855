"""Gather the tuned shards, best validation accuracy first, failed candidates last."""

from sacp import files, job, provenance, ranking

with job.logged(snakemake.log[0], snakemake.threads):
    rows = [row for path in snakemake.input for row in ranking.load_tuned(path)]
    files.write_csv(snakemake.output.tuned, ranking.rank(rows), ranking.TUNED_COLUMNS)
    seed = int(snakemake.wildcards.seed)
    record = provenance.record(snakemake.rule, {}, snakemake.params.code, snakemake.input, seed)
    files.write_json(snakemake.output.provenance, provenance.finished(record, outputs=[snakemake.output.tuned]))
