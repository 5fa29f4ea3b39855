"""Table 4: the variants of the search, reported and measured, with the number of networks that each cost."""

import pandas as pd
from sacp.artefacts.files import read_json
from sacp.artefacts.record import mixture_note
from sacp.compute import job
from sacp.report import formats, tables

with job.running(snakemake) as work:
    models, seeds, reported = work.cfg["models"], work.cfg["seeds"], pd.read_csv(work.given.reported)
    found = [[read_json(path) for path in paths] for paths in (work.given.bases, work.given.winners)]
    rows, notes = [], []
    for model, base, methods in tables.runs(models, len(seeds), *found):
        rows += tables.reported_rows(reported, models[model]["reported"], model)
        rows += tables.variant_rows(model, base, methods, models[model]["methods"])
        notes.append(tables.failure_note(methods, model))
    formats.save(work.out.csv, tables.table4(rows), tables.TABLE4, [*notes, mixture_note(work.record)])
