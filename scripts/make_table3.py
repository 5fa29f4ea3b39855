"""Table 3: reported rows of the paper beside the rows measured here."""

import pandas as pd
from sacp import checkpoint, files, job, provenance, report

with job.logged(snakemake.log[0], snakemake.threads):
    cfg = snakemake.params.cfg
    reported = pd.read_csv(snakemake.input.reported)
    bases = iter(checkpoint.load_metrics(path) for path in snakemake.input.bases)
    winners = iter(files.read_json(path) for path in snakemake.input.winners)
    rows, notes = [], []
    for model, settings in cfg["models"].items():
        base = [next(bases) for _ in cfg["seeds"]]
        methods = {method: [next(winners) for _ in cfg["seeds"]] for method in settings["methods"]}
        if settings["reported"]:
            rows += report.reported_rows(reported, settings["reported"], model)
        rows += report.measured_rows(model, base, methods)
        notes.append(report.failure_note(methods, model))
    record = provenance.record(snakemake.rule, cfg, snakemake.params.code, snakemake.input, seed=None)
    notes.append(provenance.mixture_note(record))
    table = report.table3(rows)
    with files.atomic(snakemake.output.csv) as temporary:
        table.to_csv(temporary, index=False)
    with files.atomic(snakemake.output.markdown) as temporary:
        temporary.write_text(report.to_markdown(table, " ".join([report.CAPTION, *filter(None, notes)])))
    outputs = snakemake.output.csv, snakemake.output.markdown
    files.write_json(snakemake.output.provenance, provenance.finished(record, outputs=outputs))
