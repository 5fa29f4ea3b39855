"""Figure: the encoders' losses, epoch by epoch."""

from pathlib import Path

import pandas as pd
from sacp import files, job, provenance, search_figures

with job.logged(snakemake.log[0], snakemake.threads):
    cfg = snakemake.params.cfg
    record = provenance.record(snakemake.rule, cfg, snakemake.params.code, snakemake.input, seed=None)
    paths = iter(snakemake.input)
    losses = {method: [pd.read_csv(next(paths), dtype=float) for _ in cfg["seeds"]] for method in cfg["methods"]}
    outputs = [Path(snakemake.output.png), Path(snakemake.output.pdf)]
    search_figures.encoder_loss_figure(outputs, snakemake.wildcards.experiment, losses)
    files.write_json(snakemake.output.provenance, provenance.finished(record, outputs=outputs))
