"""Figure: loss and accuracy of the base's training and of the winners' full trainings, epoch by epoch."""

from pathlib import Path

import pandas as pd
from sacp import figures, files, job, provenance

with job.logged(snakemake.log[0], snakemake.threads):
    cfg = snakemake.params.cfg
    # As numbers: columns of a history without rows, or without validations, are empty.
    base, *winners = [pd.read_csv(path, dtype=float) for path in [snakemake.input.base, *snakemake.input.winners]]
    paths = [Path(snakemake.output.png), Path(snakemake.output.pdf)]
    title = f"{snakemake.wildcards.experiment}, seed {cfg['seed']}"
    figures.learning_figure(paths, title, base, dict(zip(cfg["methods"], winners, strict=True)))
    record = provenance.record(snakemake.rule, cfg, snakemake.params.code, snakemake.input, seed=None)
    files.write_json(snakemake.output.provenance, provenance.finished(record, outputs=paths))
