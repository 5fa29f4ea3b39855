"""Figures of trained networks: accuracy against FLOPs, and learning curves."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator
from numpy.typing import NDArray

from sacp.report.drawing import BASE_STYLE, SMALL, grid, save, style

PANELS = 7  # of a row
VALIDATION: dict[str, Any] = {"color": "black", "ls": "none", "marker": "o", "ms": 5, "mfc": "none"}


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
    """Draw training loss and accuracies against the epoch, a pair of panels for the base and each method.

    Training accuracy is that of an epoch's augmented images while the weights move; a validation may well lie above.

    Args:
        paths: files to write; the suffix gives the format.
        title: heading.
        base: history of the unpruned network's training, columns `epoch`, `train_loss`, `train_accuracy_percent`,
            `validation_accuracy_percent`, the last one NaN where nothing was validated. It may have no rows.
        methods: histories of the winners' full trainings by method.
    """
    trainings = {"base": base, **methods}
    columns = min(PANELS, len(trainings))
    rows = -(-len(trainings) // columns)
    size = (max(5.5, 1.8 * columns + 0.8), 3.1 * rows + 0.9)
    figure, panels = plt.subplots(2 * rows, columns, figsize=size, layout="constrained", squeeze=False, sharex=True)
    upper, lower = panels[0::2], panels[1::2]  # losses, and accuracies below
    for block, label in ((upper, "training loss"), (lower, "top-1 accuracy (%)")):
        _share(block, label)
    for axes in [*upper.flat[len(trainings) :], *lower.flat[len(trainings) :]]:
        axes.set_axis_off()
    for place, (name, history) in enumerate(trainings.items()):
        how = style(place - 1) if place else BASE_STYLE
        _draw_history(upper.flat[place], lower.flat[place], history, name, how.colour)
    handles = [Line2D([], [], color="black", label="training"), Line2D([], [], label="validation", **VALIDATION)]
    figure.legend(handles=handles, fontsize=9, frameon=False, ncols=2, loc="outside lower center")
    figure.suptitle(title)
    save(figure, paths)


def _share(panels: NDArray[Any], label: str) -> None:
    """Give panels one scale of values, named and with numbers at the left alone."""
    for axes in panels.flat:
        axes.sharey(panels[0, 0])
        axes.tick_params(labelsize=SMALL, labelleft=axes in panels[:, 0])
        grid(axes)
    for axes in panels[:, 0]:
        axes.set_ylabel(label)


def _draw_history(upper: Axes, lower: Axes, history: pd.DataFrame, name: str, colour: str) -> None:
    """Losses above, accuracies below, validations as open markers."""
    point = "." if len(history) == 1 else None  # a line of one point is not seen
    upper.plot(history["epoch"], history["train_loss"], color=colour, marker=point)
    lower.plot(history["epoch"], history["train_accuracy_percent"], color=colour, marker=point)
    lower.plot(history["epoch"], history["validation_accuracy_percent"], **VALIDATION)
    upper.set_title(name if len(history) else f"{name} (no epochs)", fontsize=9)
    upper.set_yscale("log")
    upper.yaxis.set_major_locator(LogLocator(subs=(1, 3)))
    upper.yaxis.set_major_formatter("{x:g}")
    upper.yaxis.set_minor_locator(NullLocator())
    lower.set_xlabel("epoch", fontsize=SMALL)
    lower.tick_params(labelbottom=True)
    lower.xaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
