"""One page of the run: what was asked and found, what looks wrong, tables, figures, cost, provenance and settings."""

from itertools import islice
from pathlib import Path

import pandas as pd
from sacp.artefacts.files import atomic, read_json
from sacp.artefacts.lookup import load_all
from sacp.compute import job
from sacp.report import summary

with job.running(snakemake) as work:
    config, figures = work.cfg["config"], iter(work.given.figures)
    experiments = {name: each | {"methods": dict(each["methods"])} for name, each in work.cfg["experiments"]}
    tables = {name: pd.read_csv(path) for (name, _), path in zip(work.cfg["tables"], work.given.tables, strict=True)}
    winners = [read_json(path) | {"folder": Path(path).parent.as_posix()} for path in work.given.winners]
    parts, wrong = summary.opening(config, experiments, tables["table3"], map(read_json, work.given.bases), winners)
    parts += [summary.table_part(name, title, tables[name]) for name, title in work.cfg["tables"]]
    for experiment, drawn in work.cfg["figures"]:
        parts.append(summary.figures_part(experiment, drawn, islice(figures, len(drawn))))
    parts += summary.last_parts(load_all(work.given.records), config)
    html = summary.summary_page(f"Pruning of {', '.join(experiments)}", summary.alarms_html(wrong), parts)
    with atomic(work.out.html) as temporary:
        temporary.write_text(html)
