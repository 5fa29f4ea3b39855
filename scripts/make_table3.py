"""Table 3: reported rows of the paper beside the rows measured here."""

import pandas as pd
from sacp import checkpoint, files, job, provenance, report

with job.logged(snakemake.log[0], snakemake.threads):
    cfg = snakemake.params.cfg
    reported = pd.read_csv(snakemake.input.reported)
    bases = [checkpoint.load_metrics(path) for path in snakemake.input.bases]
    winners = [files.read_json(path) for path in snakemake.input.winners]
    rows, notes = [], []
    for model, base, methods in report.runs(cfg["models"], len(cfg["seeds"]), bases, winners):
        settings = cfg["models"][model]
        if settings["reported"]:
            rows += report.reported_rows(reported, settings["reported"], model)
        rows += report.measured_rows(model, base, methods)
        notes.append(report.failure_note(methods, model))
    record = provenance.record(snakemake.rule, cfg, snakemake.params.code, snakemake.input, seed=None)
    notes.append(provenance.mixture_note(record))
    outputs = report.save(snakemake.output.csv, report.table3(rows), report.CAPTIONS["table3"], notes)
    files.write_json(snakemake.output.provenance, provenance.finished(record, outputs=outputs))
