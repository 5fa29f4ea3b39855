"""One page of the run: tables, figures, configuration, provenance and cost."""

import pandas as pd
from sacp.artefacts.files import atomic
from sacp.artefacts.lookup import load_all
from sacp.compute import job
from sacp.report import summary
from sacp.report.tables import CAPTIONS

with job.running(snakemake) as work:
    parts, figures = [], iter(work.given.figures)
    for name, path in zip(work.cfg["tables"], work.given.tables, strict=True):
        parts.append((name, summary.table_html(pd.read_csv(path), CAPTIONS[name])))
    for experiment, captions in zip(work.cfg["experiments"], work.cfg["captions"], strict=True):
        shown = [summary.figure_html(next(figures), caption) for caption in captions]
        parts.append((f"Figures of {experiment}", "\n".join(shown)))
    made = load_all(work.given.records)
    cost = pd.DataFrame(summary.cost_rows(made))
    parts += [
        ("Cost", summary.table_html(cost, "Time of all jobs that left a record, whatever they waited for.")),
        ("Provenance", summary.provenance_html(made)),
        ("Configuration", summary.settings_html(work.cfg["config"])),
    ]
    with atomic(work.out.html) as temporary:
        temporary.write_text(summary.page(f"Pruning of {', '.join(work.cfg['experiments'])}", parts))
