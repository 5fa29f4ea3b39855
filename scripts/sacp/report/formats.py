"""Tables as people read them: headings and texts of cells, and files of CSV, Markdown and LaTeX."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from sacp.artefacts.files import atomic
from sacp.report import frontier

HEADINGS = {
    "model": "Model", "method": "Method", "source": "Source", "space": "Prunes", "seeds": "Seeds",
    "top1_percent": "Top-1 (%)", "change_percent": "Change", "flops_millions": "FLOPs (M)",
    "flops_pruned_percent": "FLOPs pruned (%)", "flops_gap_percent": "FLOPs off target (%)",
    "params_millions": "Params (M)", "params_pruned_percent": "Params pruned (%)",
    "paper_protocol_top1_percent": "Paper's protocol (%)", "protocol_difference_percent": "Difference",
    "predictor": "Predictor", "band": "FLOPs band", "networks": "Networks", "spearman": "Spearman",
    "kendall": "Kendall", "resamples_without_value": "Resamples without value",
    "regret_top_5_percent": "Regret, top 5 %", "regret_top_10_percent": "Regret, top 10 %",
    "regret_top_25_percent": "Regret, top 25 %",
    "networks_labelled": "Labelled", "networks_tuned": "Tuned", "networks_trained": "Trained",
    "device_hours": "Device-hours", frontier.CITED: "Reported by",
}  # fmt: skip
# Columns of text; numbers are aligned to the right.
LEFT = ("Model", "Method", "Source", "Prunes", "Predictor", "FLOPs band", "Reported by")
LATEX = str.maketrans(
    {character: f"\\{character}" for character in "&%$#_{}"} | {"\\": r"\textbackslash{}", "±": r"$\pm$"}
)
DEVIATIONS = {"top1_percent": "top1_std"}  # columns and those of their sample deviation


def save(csv_path: str | Path, table: pd.DataFrame, caption: str, notes: Sequence[str] = ()) -> list[Path]:
    """Write a table as .csv, .md and .tex beside one another and return their paths; empty notes are left out.

    Rows of the known frontier are in a table of their own behind it; in .csv their `source` says so.
    """
    csv_path = Path(csv_path)
    caption = " ".join([caption, *filter(None, notes)])
    own, theirs = frontier.parted(table)
    markdown = to_markdown(own, caption)
    latex = to_latex(own, caption.replace("**", ""), f"tab:{csv_path.stem}")
    if len(theirs):
        markdown += f"\n## {frontier.HEADING}\n\n{to_markdown(theirs, frontier.CAPTION)}"
        latex += "\n" + to_latex(theirs, frontier.CAPTION, f"tab:{csv_path.stem}-{frontier.SOURCE}")
    texts = {
        csv_path: table.to_csv(index=False), csv_path.with_suffix(".md"): markdown,
        csv_path.with_suffix(".tex"): latex,
    }  # fmt: skip
    for path, text in texts.items():
        with atomic(path) as temporary:
            temporary.write_text(text)
    return list(texts)


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """A table as text: headings for people, two decimals, `mean ± deviation` in one cell, empty where nothing is."""
    shown = {}
    for name in table.columns:
        if name in DEVIATIONS.values() or str(name).endswith(("_low", "_high")):
            continue
        cells = [_cell(value) for value in table[name]]
        if f"{name}_low" in table:
            ends = [[_cell(value) for value in table[f"{name}_{end}"]] for end in ("low", "high")]
            cells = [f"{a} [{b}, {c}]" if a else "" for a, b, c in zip(cells, *ends, strict=True)]
        if DEVIATIONS.get(name) in table:
            deviations = [_cell(value) for value in table[DEVIATIONS[name]]]
            cells = [f"{a} ± {b}" if b else a for a, b in zip(cells, deviations, strict=True)]
        shown[HEADINGS.get(name, str(name))] = cells
    return pd.DataFrame(shown)


def _cell(value: Any) -> str:
    if pd.isna(value):
        return ""
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def _is_reported(table: pd.DataFrame) -> list[bool]:
    return [source == "reported" for source in table["source"]] if "source" in table else [False] * len(table)


def to_markdown(table: pd.DataFrame, caption: str) -> str:
    """A table as Markdown, rows of the paper in italics, the caption below."""
    text = readable(table)
    for row, reported in enumerate(_is_reported(table)):
        if reported:
            text.iloc[row] = [f"*{cell}*" if cell else "" for cell in text.iloc[row]]
    return f"{text.to_markdown(index=False, disable_numparse=True)}\n\n{caption}\n"


def to_latex(table: pd.DataFrame, caption: str, label: str) -> str:
    """A table as LaTeX for the packages booktabs and graphicx, rows of the paper in italics, a rule between models."""
    text = readable(table)
    lines = [" & ".join(_escaped(name) for name in text.columns) + r" \\", r"\midrule"]
    before = None
    for (_, cells), reported in zip(text.iterrows(), _is_reported(table), strict=True):
        if before is not None and "Model" in text and cells["Model"] != before:
            lines.append(r"\midrule")
        before = cells.get("Model")
        shown = [rf"\textit{{{_escaped(cell)}}}" if reported and cell else _escaped(cell) for cell in cells]
        lines.append(" & ".join(shown) + r" \\")
    columns = "".join("l" if name in LEFT else "r" for name in text.columns)
    head = [r"\begin{table}", r"\centering", rf"\caption{{{_escaped(caption)}}}", rf"\label{{{label}}}"]
    begin = [r"\resizebox{\textwidth}{!}{%", rf"\begin{{tabular}}{{{columns}}}", r"\toprule"]
    end = [r"\bottomrule", r"\end{tabular}}", r"\end{table}"]
    return "\n".join([*head, *begin, *lines, *end]) + "\n"


def _escaped(text: str) -> str:
    """Text with LaTeX's own characters escaped."""
    return text.translate(LATEX)
