"""Tables and figures from the metrics of finished runs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import pandas as pd

matplotlib.use("Agg")
import matplotlib.pyplot as plt

COLUMNS = [
    "model", "method", "source", "seeds", "top1_percent", "top1_std", "change_percent", "flops_millions",
    "flops_pruned_percent", "params_millions", "params_pruned_percent", "paper_protocol_top1_percent",
]  # fmt: skip
CAPTION = (
    "Top-1 accuracy on the test images; mean and sample deviation over seeds. FLOPs are multiply-accumulates. "
    "*measured*: trained here, the winner chosen by validation accuracy and tested once. *reported*: as quoted by the "
    "paper. `paper_protocol_top1_percent`: the best test accuracy among the k fully trained, as the paper picks it."
)
# Okabe & Ito's palette: told apart by colour-blind readers; the markers repeat what the colours say.
STYLES = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#000000"]
MARKERS = "osD^vP*X"


def measured_rows(
    model: str, base: Sequence[Mapping[str, Any]], methods: Mapping[str, Sequence[Mapping[str, Any]]]
) -> list[dict[str, Any]]:
    """Rows of table 3 for one experiment: the base and every method run here, one metrics mapping per seed."""
    rows = [_measured_row(model, "Base", base, base)]
    return rows + [_measured_row(model, name, runs, base) for name, runs in methods.items()]


def _measured_row(
    model: str, method: str, runs: Sequence[Mapping[str, Any]], base: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    frame, base_frame = pd.DataFrame(list(runs)), pd.DataFrame(list(base))
    top1 = frame["test_accuracy_percent"]
    paper_protocol = frame.get("paper_protocol_test_accuracy_percent")
    return {
        "model": model,
        "method": method,
        "source": "measured",
        "seeds": len(frame),
        "top1_percent": top1.mean(),
        "top1_std": top1.std(),
        "change_percent": (top1 - base_frame["test_accuracy_percent"]).mean(),
        "flops_millions": frame["flops"].mean() / 1e6,
        "flops_pruned_percent": (100 * (1 - frame["flops"] / base_frame["flops"])).mean(),
        "params_millions": frame["parameters"].mean() / 1e6,
        "params_pruned_percent": (100 * (1 - frame["parameters"] / base_frame["parameters"])).mean(),
        "paper_protocol_top1_percent": None if paper_protocol is None else paper_protocol.mean(),
    }


def reported_rows(reported: pd.DataFrame, reported_model: str, model: str) -> list[dict[str, Any]]:
    """The paper's rows for one model, with the change to the paper's own base."""
    rows = reported[reported["model"] == reported_model].copy()
    base = rows.loc[rows["method"] == "Base", "top1_percent"].iloc[0]
    rows["change_percent"] = rows["top1_percent"] - base
    return rows.assign(model=model, source="reported").to_dict("records")  # type: ignore[return-value]


def table3(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Table 3 with its columns in order."""
    return pd.DataFrame(list(rows), columns=COLUMNS).astype({"seeds": "Int64"})  # reported rows have none


def failure_note(methods: Mapping[str, Sequence[Mapping[str, Any]]], model: str) -> str:
    """A sentence for the footnote on candidates that failed, with the first reason; empty if none did."""
    sentences = []
    for method, winners in methods.items():
        failures = [failure for winner in winners for failure in winner.get("failures", [])]
        if failures:
            tuned = sum(failure["stage"] == "tune" for failure in failures)
            sentences.append(
                f"{model}, {method}: {tuned} tunings and {len(failures) - tuned} full trainings failed and were ranked "
                f"last; the first: {failures[0]['reason']}."
            )
    return " ".join(sentences)


def to_markdown(table: pd.DataFrame, caption: str) -> str:
    """A table as Markdown, two decimals, empty cells where there is no value, the caption below."""
    text = table.astype(object).map(
        lambda cell: "" if pd.isna(cell) else f"{cell:.2f}" if isinstance(cell, float) else cell
    )
    return f"{text.to_markdown(index=False, disable_numparse=True)}\n\n{caption}\n"


def accuracy_figure(
    paths: Sequence[Path], title: str, base: Mapping[str, Any], tuned: pd.DataFrame, trained: pd.DataFrame
) -> None:
    """Draw accuracy against the share of FLOPs kept and save it to `paths`.

    Args:
        paths: files to write; the suffix gives the format.
        title: heading.
        base: metrics of the unpruned network.
        tuned: lightly tuned candidates, columns `method`, `flops`, `validation_accuracy_percent`.
        trained: fully trained networks, columns `method`, `flops`, `test_accuracy_percent`, `winner`.
    """
    figure, axes = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
    methods = list(dict.fromkeys([*tuned["method"], *trained["method"]]))
    for number, method in enumerate(methods):
        colour, marker = STYLES[number % len(STYLES)], MARKERS[number % len(MARKERS)]
        light = tuned[tuned["method"] == method]
        if len(light):
            share = 100 * light["flops"] / base["flops"]
            label = f"{method}, lightly tuned (validation)"
            axes.scatter(share, light["validation_accuracy_percent"], s=16, color=colour, alpha=0.35, lw=0, label=label)
        full = trained[trained["method"] == method]
        share = 100 * full["flops"] / base["flops"]
        edge = ["black" if winner else "none" for winner in full["winner"]]
        label = f"{method}, fully trained (test)"
        points: dict[str, Any] = {"s": 55, "c": colour, "marker": marker, "edgecolors": edge, "linewidths": 1.5}
        axes.scatter(share, full["test_accuracy_percent"], label=label, **points)
    axes.axhline(base["test_accuracy_percent"], color="0.4", lw=1, ls="--")
    axes.annotate(
        f"base, {base['test_accuracy_percent']:.1f} % (test)", (1, base["test_accuracy_percent"]),
        xycoords=("axes fraction", "data"), ha="right", va="bottom", xytext=(-4, 2), textcoords="offset points",
        color="0.3", fontsize=9,
    )  # fmt: skip
    axes.set(xlabel="FLOPs kept (% of the base)", ylabel="top-1 accuracy (%)", title=title)
    axes.margins(y=0.1)  # room for the base's label
    axes.grid(color="0.92")
    axes.set_axisbelow(True)
    axes.legend(fontsize=8, framealpha=0.8, edgecolor="none", title="black edge: the winner", title_fontsize=8)
    for path in paths:
        figure.savefig(path, dpi=150)
    plt.close(figure)
