"""One page of the run: tables, figures, configuration, provenance and cost."""

from pathlib import Path

import pandas as pd
from sacp import files, job, provenance, records, report, summary

with job.logged(snakemake.log[0], snakemake.threads):
    cfg, given = snakemake.params.cfg, snakemake.input
    record = provenance.record(snakemake.rule, {}, snakemake.params.code, given, seed=None)
    parts = []
    for name, path in zip(cfg["tables"], given.tables, strict=True):
        parts.append((name, summary.table_html(pd.read_csv(path), report.CAPTIONS[name])))
    paths = iter(given.figures)
    for experiment in cfg["experiments"]:
        shown = [summary.figure_html(next(paths), caption) for caption in cfg["captions"][experiment]]
        parts.append((f"Figures of {experiment}", "\n".join(shown)))
    made = [records.load_timed(path) for path in given.artefacts]
    cost = pd.DataFrame(summary.cost_rows(made))
    parts += [
        ("Cost", summary.table_html(cost, "Time of all jobs that left a record, whatever they waited for.")),
        ("Provenance", summary.provenance_html(made)),
        ("Configuration", summary.settings_html(cfg["config"])),
    ]
    title = f"Pruning of {', '.join(cfg['experiments'])}"
    with files.atomic(snakemake.output.html) as temporary:
        temporary.write_text(summary.page(title, parts))
    outputs = [Path(snakemake.output.html)]
    files.write_json(snakemake.output.provenance, provenance.finished(record, outputs=outputs))
