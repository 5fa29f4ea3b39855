"""Figure: loss and accuracy of the base's training and of the winners' full trainings, epoch by epoch."""

from pathlib import Path

import pandas as pd
from sacp.compute import job
from sacp.report.training_figures import learning_figure

with job.running(snakemake) as work:
    # Read as numbers: columns of a history without rows, or without validations, are empty.
    base, *winners = [pd.read_csv(path, dtype=float) for path in [work.given.base, *work.given.winners]]
    title = f"{work.wildcards.experiment}, seed {work.cfg['seed']}"
    methods = dict(zip(work.cfg["methods"], winners, strict=True))
    learning_figure([Path(work.out.png), Path(work.out.pdf)], title, base, methods)
