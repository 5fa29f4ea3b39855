"""Figure: the encoders' losses, epoch by epoch."""

from pathlib import Path

import pandas as pd
from sacp.compute import job
from sacp.report.search_figures import encoder_loss_figure

with job.running(snakemake) as work:
    paths = iter(work.given)
    losses = {
        method: [pd.read_csv(next(paths), dtype=float) for _ in work.cfg["seeds"]] for method in work.cfg["methods"]
    }
    encoder_loss_figure([Path(work.out.png), Path(work.out.pdf)], work.wildcards.experiment, losses)
