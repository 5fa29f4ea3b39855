"""One page of a run: tables, figures, configuration, provenance and cost, in one HTML file without links."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from sacp.artefacts.lookup import Record
from sacp.report import frontier
from sacp.report.tables import readable

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 1100px; margin: 2em auto; padding: 0 1em; }
h1, h2 { line-height: 1.2; } h2 { margin-top: 2em; border-bottom: 1px solid #ddd; }
figure { margin: 1.5em 0; } figure img { max-width: 100%; } figcaption, .caption { color: #555; font-size: 13px; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-size: 13px; }
th, td { padding: .25em .7em; text-align: right; border-bottom: 1px solid #eee; white-space: nowrap; }
th { border-bottom: 2px solid #222; } td:nth-child(-n+2), th:nth-child(-n+2) { text-align: left; }
tr.reported { color: #666; font-style: italic; } pre { background: #f6f6f6; padding: 1em; overflow-x: auto; }
"""
COST = ("rule", "jobs", "hours", "longest job (minutes)")


def page(title: str, parts: Sequence[tuple[str, str]]) -> str:
    """An HTML page of sections, each a heading and its HTML."""
    body = "\n".join(f"<section><h2>{escape(heading)}</h2>\n{html}</section>" for heading, html in parts)
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>'
    icon = '<link rel="icon" href="data:,">'  # or browsers would ask for one
    start = f"<!doctype html>\n<html lang=en><head>{head}{icon}</head>\n<body><h1>{escape(title)}</h1>"
    return f"{start}\n{body}</body></html>\n"


def table_html(table: pd.DataFrame, caption: str) -> str:
    """A table as HTML; rows of the paper are set apart, and those of the known frontier in a table of their own."""
    own, theirs = frontier.parted(table)
    return _block(own, caption) + (_block(theirs, frontier.CAPTION) if len(theirs) else "")


def _block(table: pd.DataFrame, caption: str) -> str:
    text = readable(table)
    head = "".join(f"<th>{escape(name)}</th>" for name in text.columns)
    rows = []
    for row, cells in enumerate(text.to_numpy()):
        reported = "source" in table and table["source"].iloc[row] == "reported"
        line = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        rows.append(f'<tr class="reported">{line}</tr>' if reported else f"<tr>{line}</tr>")
    body = f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody>"
    return f'<div class="scroll"><table>{body}</table></div><p class="caption">{escape(caption)}</p>'


def figure_html(path: str | Path, caption: str) -> str:
    """A PNG file as HTML, its bytes within."""
    data = base64.b64encode(Path(path).read_bytes()).decode()
    image = f'<img alt="{escape(caption)}" src="data:image/png;base64,{data}">'
    return f"<figure>{image}<figcaption>{escape(caption)}</figcaption></figure>"


def settings_html(config: Mapping[str, Any]) -> str:
    """A resolved config as HTML."""
    return f"<pre>{escape(yaml.safe_dump(dict(config), sort_keys=False))}</pre>"


def cost_rows(records: Iterable[Record]) -> list[dict[str, Any]]:
    """Rows of `COST` for each rule, and their sum, from the records of artefacts."""
    seconds: dict[str, list[float]] = {}
    for record in records:
        seconds.setdefault(record["rule"], []).append(float(record["seconds"]))
    rows = [_cost_row(rule, taken) for rule, taken in seconds.items()]
    return [*rows, _cost_row("all", [value for taken in seconds.values() for value in taken])]


def _cost_row(rule: str, seconds: Sequence[float]) -> dict[str, Any]:
    return dict(zip(COST, (rule, len(seconds), sum(seconds) / 3600, max(seconds, default=0.0) / 60), strict=True))


def provenance_html(records: Sequence[Record]) -> str:
    """Commits, devices, precisions, versions, code and the time over which the artefacts were made, as HTML."""
    starts = sorted(str(record["started"]) for record in records)
    rows = {
        "commit": _distinct(record["commit"] or "not in git" for record in records),
        "device": _distinct(record["device"] for record in records),
        "precision": _distinct(record["precision"] for record in records if "precision" in record),
        "seeds": _distinct(str(record["seed"]) for record in records if record["seed"] is not None),
        "started": f"{starts[0]} to {starts[-1]} (starts of the first and the last job)",
    }
    names = dict.fromkeys(name for record in records for name in record["versions"])
    for name in names:
        rows[name] = _distinct(record["versions"].get(name, "not there") for record in records)
    cells = "".join(f"<tr><td>{escape(name)}</td><td>{escape(text)}</td></tr>" for name, text in rows.items())
    return f'<div class="scroll"><table>{cells}</table></div>'


def _distinct(values: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(values))
