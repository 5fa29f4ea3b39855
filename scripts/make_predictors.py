"""Table of predictors: how well scores and simple quantities rank networks before they are tuned."""

import pandas as pd
from sacp.artefacts.files import atomic
from sacp.artefacts.record import mixture_note
from sacp.compute import job
from sacp.report import formats, predictors, tables

with job.running(snakemake) as work:
    raw = pd.concat([pd.read_csv(path) for path in work.given], ignore_index=True)
    rows = predictors.table(raw, work.cfg["bands"], work.cfg["resamples"])
    notes = [f"{work.cfg['resamples']} resamples.", mixture_note(work.record)]
    table = pd.DataFrame(rows, columns=list(predictors.COLUMNS))
    formats.save(work.out.csv, table, tables.PREDICTORS, notes)
    with atomic(work.out.raw) as temporary:
        raw.to_csv(temporary, index=False)
