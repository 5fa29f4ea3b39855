"""The parts of a page of HTML that needs no other file: headings and contents, tables, figures, lists, folded parts."""

import base64
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from sacp.report.formats import LEFT, readable
from sacp.report.units import DPI

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 1300px; margin: 2em auto; padding: 0 1em; }
h1, h2, h3 { line-height: 1.2; } h2 { margin-top: 2em; border-bottom: 1px solid #ddd; }
nav ul { columns: 3; } code, .files { font-family: monospace; font-size: 13px; overflow-wrap: anywhere; }
figure { margin: 1.5em 0; break-inside: avoid; } figure img { max-width: 100%; }
figcaption, .caption { color: #555; font-size: 13px; max-width: 75em; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-size: 13px; }
th, td { padding: .25em .6em; text-align: right; border-bottom: 1px solid #eee; vertical-align: bottom; }
th { border-bottom: 2px solid #222; } td { white-space: nowrap; } .text { text-align: left; white-space: normal; }
tr.reported { color: #666; font-style: italic; } tr, dl { break-inside: avoid; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .3em 1.2em; } dd { margin: 0; }
dt { font-weight: 600; } dd ul { margin: 0; padding-left: 1.2em; }
pre { background: #f6f6f6; padding: 1em; white-space: pre-wrap; } summary { cursor: pointer; margin: .8em 0; }
.alarm { border: 2px solid #b00020; border-left-width: 10px; background: #fff4f4; padding: .3em 1.2em; }
@media print { body { max-width: none; margin: 0; font-size: 11px; } table, figcaption, .caption { font-size: 9px; }
  .scroll { overflow: visible; } th, td { padding: .15em .3em; } h2, h3 { break-after: avoid; }
  details::details-content { content-visibility: visible; height: auto; } }
"""
WIDTH = slice(16, 20)  # bytes of a PNG that are its width in pixels
NAMES = ("Method", "Predictor", "Stage")  # columns that say what a row is: they stay, whatever stands in them


class Part(NamedTuple):
    """A section of the page."""

    heading: str
    html: str


def page(title: str, before: str, parts: Sequence[Part]) -> str:
    """An HTML page: its title, what comes before all else, a table of contents, and the sections."""
    ids = [f"part{number}" for number in range(1, len(parts) + 1)]
    links = "".join(
        f'<li><a href="#{name}">{escape(part.heading)}</a></li>' for name, part in zip(ids, parts, strict=True)
    )
    sections = [
        f'<section id="{name}"><h2>{escape(part.heading)}</h2>\n{part.html}</section>'
        for name, part in zip(ids, parts, strict=True)
    ]
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>'
    icon = '<link rel="icon" href="data:,">'  # or browsers would ask for one
    start = f"<!doctype html>\n<html lang=en><head>{head}{icon}</head>\n<body><h1>{escape(title)}</h1>"
    contents = f'<nav aria-label="Contents"><ul>{links}</ul></nav>'
    return "\n".join([start, before, contents, *sections, "</body></html>\n"])


def table_html(table: pd.DataFrame, caption: str) -> str:
    """A table as HTML without the columns that say the same in all rows; rows of the paper are set apart."""
    text, same = without_constants(readable(table))
    classes = [' class="text"' if name in (*LEFT, *NAMES) else "" for name in text.columns]
    head = "".join(
        f"<th{kind}>{escape(str(name).replace('_', ' '))}</th>"
        for kind, name in zip(classes, text.columns, strict=True)
    )
    rows = []
    for row, cells in enumerate(text.to_numpy()):
        reported = "source" in table and table["source"].iloc[row] == "reported"
        line = "".join(f"<td{kind}>{escape(cell)}</td>" for kind, cell in zip(classes, cells, strict=True))
        rows.append(f'<tr class="reported">{line}</tr>' if reported else f"<tr>{line}</tr>")
    body = f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody>"
    alike = f"In all rows: {', '.join(f'{name} {value}' for name, value in same.items())}. " if same else ""
    below = f'<p class="caption">{escape(alike + caption)}</p>' if alike + caption else ""
    return f'<div class="scroll"><table>{body}</table></div>{below}'


def without_constants(text: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, str]]:
    """A table of texts without its constant columns, and what stands in these; one row alone keeps all of them.

    Empty columns go without a word. Those that name the rows stay.
    """
    if len(text) < 2:
        return text, {}
    constant = [name for name in text.columns if name not in NAMES and text[name].nunique() == 1]
    same = {str(name): str(text[name].iloc[0]) for name in constant if text[name].iloc[0]}
    return text.drop(columns=constant), same


def figure_html(path: str | Path, heading: str, caption: str) -> str:
    """A PNG file as HTML, its bytes within, in its own size: type in figures is as large as type in the text."""
    content = Path(path).read_bytes()
    inches = int.from_bytes(content[WIDTH]) / DPI
    data = base64.b64encode(content).decode()
    image = f'<img alt="{escape(caption)}" style="width: {inches:.2f}in" src="data:image/png;base64,{data}">'
    return f"<h3>{escape(heading)}</h3>\n<figure>{image}<figcaption>{escape(caption)}</figcaption></figure>"


def list_html(entries: Mapping[str, str | Sequence[str]]) -> str:
    """Names and what is said of each, a text or several."""
    cells = "".join(f"<dt>{escape(name)}</dt><dd>{_entry(entry)}</dd>" for name, entry in entries.items())
    return f"<dl>{cells}</dl>"


def _entry(entry: str | Sequence[str]) -> str:
    return escape(entry) if isinstance(entry, str) else items_html(entry)


def items_html(items: Sequence[str]) -> str:
    """A list of sentences."""
    return f"<ul>{''.join(f'<li>{escape(item)}</li>' for item in items)}</ul>"


def folded(heading: str, html: str) -> str:
    """A part that is opened by a click, and printed open."""
    return f"<details><summary>{escape(heading)}</summary>\n{html}</details>"
