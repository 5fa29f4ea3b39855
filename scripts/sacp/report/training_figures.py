"""Figures of trained networks: accuracy against FLOPs, and learning curves."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from sacp.report.drawing import BASE_STYLE, Style, grid, save, style


def accuracy_figure(
    paths: Sequence[Path], title: str, base: Mapping[str, Any], tuned: pd.DataFrame, trained: pd.DataFrame,
    reported: pd.DataFrame,
) -> None:  # fmt: skip
    """Draw accuracy against the share of FLOPs kept and save it to `paths`.

    Args:
        paths: files to write; the suffix gives the format.
        title: heading.
        base: metrics of the unpruned network.
        tuned: lightly tuned candidates, columns `method`, `flops`, `validation_accuracy_percent`.
        trained: fully trained networks of all methods, columns `method`, `flops`, `test_accuracy_percent`, `winner`.
        reported: rows of the paper, columns `method`, `flops_pruned_percent`, `top1_percent`; it may have none.
    """
    methods = {method: style(number) for number, method in enumerate(trained["method"].unique())}
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.4), width_ratios=(1, 1.3), layout="constrained")
    for method, (colour, marker, _) in methods.items():
        light, full = (table[table["method"] == method] for table in (tuned, trained))
        if len(light):
            points = (100 * light["flops"] / base["flops"], light["validation_accuracy_percent"])
            left.scatter(*points, s=22, color=colour, marker=marker, alpha=0.6, lw=0)
        edge = ["black" if winner else "none" for winner in full["winner"]]
        points = (100 * full["flops"] / base["flops"], full["test_accuracy_percent"])
        right.scatter(*points, 55, colour, marker=marker, edgecolors=edge, linewidths=1.5)
        right.scatter([], [], 45, colour, marker=marker, label=method)  # for the legend: without the winner's edge
    for row in reported.to_dict("records"):
        place = (100 - row["flops_pruned_percent"], row["top1_percent"])
        right.plot(*place, marker="x", ms=7, mew=1.5, color="0.35", ls="none")
        right.annotate(row["method"], place, xytext=(5, 3), textcoords="offset points", fontsize=7, color="0.35")
    if len(reported):
        right.plot([], [], marker="x", ms=7, mew=1.5, color="0.35", ls="none", label="reported by the paper")
    accuracy = base["test_accuracy_percent"]
    right.axhline(accuracy, color="0.4", lw=1, ls="--")
    right.annotate(
        f"base, {accuracy:.1f} %", (1, accuracy), xycoords=("axes fraction", "data"), ha="right", va="bottom",
        xytext=(-4, 2), textcoords="offset points", color="0.3", fontsize=9,
    )  # fmt: skip
    left.set(ylabel="top-1 accuracy (%, validation)", title="lightly tuned")
    right.set(ylabel="top-1 accuracy (%, test)", title="fully trained; black edge: the winner")
    for axes in (left, right):
        axes.set(xlabel="FLOPs kept (% of the base)")
        axes.margins(y=0.1)  # room for the base's label
        grid(axes)
    figure.legend(fontsize=9, frameon=False, loc="outside right center")
    figure.suptitle(title)
    save(figure, paths)


def learning_figure(paths: Sequence[Path], title: str, base: pd.DataFrame, methods: Mapping[str, pd.DataFrame]) -> None:
    """Draw training loss and accuracies against the epoch and save it to `paths`.

    Training accuracy is that of an epoch's augmented images while the weights move; a validation may well lie above.

    Args:
        paths: files to write; the suffix gives the format.
        title: heading.
        base: history of the unpruned network's training, columns `epoch`, `train_loss`, `train_accuracy_percent`,
            `validation_accuracy_percent`, the last one NaN where nothing was validated. It may have no rows.
        methods: histories of the winners' full trainings by method.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.8), width_ratios=(1, 1.2), layout="constrained")
    _draw_history(left, right, base, "base", BASE_STYLE)
    for number, (method, history) in enumerate(methods.items()):
        _draw_history(left, right, history, method, style(number))
    left.set(xlabel="epoch", ylabel="training loss", yscale="log")
    left.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    left.yaxis.set_major_formatter("{x:g}")
    left.yaxis.set_minor_locator(NullLocator())
    right.set(xlabel="epoch", ylabel="top-1 accuracy (%)")
    right.plot([], [], color="black", label="training")
    right.plot([], [], color="black", ls="none", marker="o", mfc="none", label="validation")
    for axes, place in ((left, "upper right"), (right, "lower right")):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        grid(axes)
        axes.legend(fontsize=9, framealpha=0.8, edgecolor="none", loc=place)
    figure.suptitle(title)
    save(figure, paths)


def _draw_history(left: Axes, right: Axes, history: pd.DataFrame, label: str, how: Style) -> None:
    """Loss to the left, named for the legend; accuracies to the right, validations as open markers."""
    epochs, validation = history["epoch"], history["validation_accuracy_percent"]
    name = label if len(history) else f"{label} (no epochs)"
    sparse = max(1, len(history) // 6)  # a marker at each of 200 epochs would hide the line
    line: dict[str, Any] = {"color": how.colour, "ls": how.line}
    left.plot(epochs, history["train_loss"], marker=how.marker, ms=5, markevery=sparse, label=name, **line)
    point = "." if len(history) == 1 else None  # a line of one point is not seen
    right.plot(epochs, history["train_accuracy_percent"], marker=point, **line)
    right.plot(epochs, validation, color=how.colour, ls="none", marker=how.marker, ms=7, mew=1.3, mfc="none")
