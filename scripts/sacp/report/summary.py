"""One page of a run: what was asked, what was found and what looks wrong, tables, figures, cost and how it was made."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from sacp.artefacts.lookup import Record
from sacp.report import frontier, page
from sacp.report.alarms import alarms
from sacp.report.glossary import glossary
from sacp.report.opening import asked, best
from sacp.report.page import Part
from sacp.report.predictors import ALL
from sacp.report.tables import CAPTIONS, Metrics, runs
from sacp.report.units import duration

CHECKED = (
    "Nothing looks wrong: no training diverged or failed, no network is at the level of chance or far below its base, "
    "and all have the FLOPs that were asked for."
)
COST_NOTE = "Time of all jobs that left a record, whatever they waited for; jobs that ran side by side are added up."


def opening(
    config: Mapping[str, Any], experiments: Mapping[str, Mapping[str, Any]], table3: pd.DataFrame,
    bases: Iterable[Metrics], winners: Iterable[Metrics],
) -> tuple[list[Part], list[str]]:  # fmt: skip
    """What was asked of each experiment and its best network, and what looks wrong.

    Args:
        config: the settings of the run.
        experiments: of each its `data` and what its `methods` do, in the order of the tables; see `opening.asked`.
        table3: the table of all results.
        bases: metrics of the bases, by experiment and seed.
        winners: metrics of the winners, by experiment, method and seed, each with the `folder` of its network.
    """
    parts, wrong, seeds = list[Part](), list[str](), config["seeds"]
    measured = table3[table3["source"] == "measured"]
    for model, base, found in runs(experiments, len(seeds), bases, winners):
        settings, rows = config["experiments"][model], measured[measured["model"] == model]
        data, texts = experiments[model]["data"], experiments[model]["methods"]
        parts += [
            Part(f"What was asked of {model}", page.list_html(asked(settings, data, texts, seeds, base[0]))),
            Part(f"The best network of {model}", page.list_html(best(rows, found))),
        ]
        wrong += [f"{model}: {sentence}" for sentence in alarms(rows, data["classes"], settings, base, found)]
    return parts, wrong


def alarms_html(alarms: Sequence[str]) -> str:
    """A box of what looks wrong, or a line that says what was looked at."""
    if not alarms:
        return f"<p>{escape(CHECKED)}</p>"
    heading = f"<p><strong>{'This looks wrong' if len(alarms) == 1 else 'These look wrong'}</strong></p>"
    return f'<div class="alarm" role="alert">{heading}{page.items_html(alarms)}</div>'


def table_part(name: str, title: str, table: pd.DataFrame) -> Part:
    """The section of a table of the run."""
    html = predictors_html if name == "predictors" else results_html
    return Part(title, html(table, CAPTIONS[name]))


def figures_part(experiment: str, drawn: Sequence[tuple[str, str]], paths: Iterable[str | Path]) -> Part:
    """The section of an experiment's figures, each with its title and caption."""
    found = [page.figure_html(path, title, caption) for (title, caption), path in zip(drawn, paths, strict=True)]
    return Part(f"Figures of {experiment}", "\n".join(found))


def results_html(table: pd.DataFrame, caption: str) -> str:
    """A table of results, and the known frontier in one of its own; times in units that a reader has a feeling for."""
    own, theirs = frontier.parted(table)
    if "device_hours" in own:
        own = own.assign(device_hours=own["device_hours"].map(duration)).rename(columns={"device_hours": "Device time"})
    html = page.table_html(own, caption.replace("Device-hours", "Device time"))
    return html + (page.table_html(theirs, frontier.CAPTION) if len(theirs) else "")


def predictors_html(table: pd.DataFrame, caption: str) -> str:
    """Predictors over all networks; those within bands of FLOPs are folded."""
    whole = table["band"] == ALL
    bands = page.folded("The same within bands of FLOPs", page.table_html(table[~whole], ""))
    return page.table_html(table[whole], caption) + bands


def cost_table(records: Iterable[Record]) -> pd.DataFrame:
    """What each stage has taken, the longest first, and their sum, from the records of artefacts."""
    hours: dict[str, list[float]] = {}
    for record in records:
        hours.setdefault(record["rule"], []).append(float(record["seconds"]) / 3600)
    stages = sorted(hours.items(), key=lambda stage: -sum(stage[1]))
    every = ("all", [value for taken in hours.values() for value in taken])
    rows = [(rule.replace("_", " "), len(taken), duration(sum(taken)), duration(max(taken))) for rule, taken in stages]
    whole = (every[0], len(every[1]), duration(sum(every[1])), duration(max(every[1], default=0.0)))
    return pd.DataFrame([*rows, whole], columns=["Stage", "Jobs", "Time", "Longest job"])


def last_parts(records: Sequence[Record], config: Mapping[str, Any]) -> list[Part]:
    """What the run has taken, how it was made, and with which settings."""
    return [
        Part("What the run has taken", page.table_html(cost_table(records), COST_NOTE)),
        Part("How it was made", provenance_html(records)),
        Part("Settings", settings_html(config)),
    ]


def settings_html(config: Mapping[str, Any]) -> str:
    """The settings that the run has used, folded."""
    text = escape(yaml.safe_dump(dict(config), sort_keys=False))
    return page.folded("All settings that the run has used", f"<pre>{text}</pre>")


def provenance_html(records: Sequence[Record]) -> str:
    """Commits, devices, precisions, versions, code and the time over which the artefacts were made, as HTML."""
    starts = sorted(str(record["started"]) for record in records)
    rows = {
        "Commit": _distinct(record["commit"] or "not in git" for record in records),
        "Device": _distinct(record["device"] for record in records),
        "Precision": _distinct(record["precision"] for record in records if "precision" in record),
        "Seeds": _distinct(str(record["seed"]) for record in records if record["seed"] is not None),
        "Started": f"{starts[0]} to {starts[-1]} (starts of the first and the last job)",
    }
    names = dict.fromkeys(name for record in records for name in record["versions"])
    versions = {name: _distinct(record["versions"].get(name, "not there") for record in records) for name in names}
    return page.list_html({name: text for name, text in rows.items() if text} | versions)


def _distinct(values: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(values))


def summary_page(title: str, before: str, parts: Sequence[Part]) -> str:
    """The page, with a glossary of the terms that it uses."""
    terms = glossary(" ".join([before, *(part.html for part in parts)]))
    words = [Part("What the words mean", page.list_html(terms))] if terms else []
    return page.page(title, before, [*parts, *words])
