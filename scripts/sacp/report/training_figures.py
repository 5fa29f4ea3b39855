"""Figures of trained networks: accuracy against FLOPs, and learning curves."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator
from numpy.typing import NDArray

from sacp.report.drawing import (
    BASE_STYLE,
    COLOURS,
    MOVED,
    SMALL,
    Style,
    apart,
    end_below,
    grid,
    low_outliers,
    method_legend,
    save,
    style,
)

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
        trained: networks that methods have chosen among, columns `method`, `flops`, `test_accuracy_percent`, `winner`,
            and `fully`, False of those that were tuned and trained no further.
        reported: rows of the paper, of its own base, columns `method`, `flops_pruned_percent`, `top1_percent`; it may
            have none.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.8), width_ratios=(1, 1.3), layout="constrained")
    handles: dict[str, Artist] = {}
    winners: list[PathCollection] = []
    for number, method in enumerate(trained["method"].unique()):
        light, full = (table[table["method"] == method] for table in (tuned, trained))
        how = style(number)
        if len(light):
            points = (100 * light["flops"] / base["flops"], light["validation_accuracy_percent"])
            left.scatter(*points, s=22, color=how.colour, marker=how.marker, alpha=0.6, lw=0)
        winners.append(_draw_method(right, 100 * full["flops"] / base["flops"], full, how))
        handles[method] = winners[-1]
    accuracy = base["test_accuracy_percent"]
    handles[f"base, {accuracy:.1f} %"] = right.axhline(accuracy, color="0.4", lw=1, ls="--")
    handles |= _draw_reported(right, reported)
    left.set(ylabel="top-1 accuracy (%, validation)", title="lightly tuned, validation images")
    kinds = "large: the winner of a method" + ("" if trained["fully"].all() else "; hollow: tuned only")
    right.set(ylabel="top-1 accuracy (%, test)", title=f"test images; {kinds}")
    for axes in (left, right):
        axes.set(xlabel="FLOPs kept (% of the base)")
        axes.title.set_fontsize(10)
        grid(axes)
    groups = trained.groupby("method")["test_accuracy_percent"]
    end_below(right, *low_outliers({str(name): list(values) for name, values in groups}))
    method_legend(figure, list(handles.values()), list(handles))
    heading = figure.suptitle(title)
    if apart(figure, winners):
        heading.set_text(f"{title}; {MOVED}")
    save(figure, paths)


def _draw_method(axes: Axes, shares: pd.Series, rows: pd.DataFrame, how: Style) -> PathCollection:
    """A method's networks, the winner large, those that were only tuned hollow; returns what its legend shows."""
    winner, accuracy = rows["winner"].to_numpy(bool), rows["test_accuracy_percent"]
    axes.scatter(shares[~winner], accuracy[~winner], 16, how.colour, marker=how.marker, alpha=0.5, lw=0)
    face = how.colour if rows["fully"].all() else "none"
    edge = "black" if rows["fully"].all() else how.colour
    return axes.scatter(
        shares[winner], accuracy[winner], 55, face, marker=how.marker, edgecolors=edge, linewidths=0.8, zorder=3
    )


def _draw_reported(axes: Axes, reported: pd.DataFrame) -> dict[str, Artist]:
    """Rows of the paper as numbers, which its legend resolves: unlike what was measured, and no label hides a point."""
    handles: dict[str, Artist] = {}
    for number, row in enumerate(reported.to_dict("records"), 1):
        place = (100 - row["flops_pruned_percent"], row["top1_percent"])
        handles[f"{row['method']} (the paper's)"] = axes.scatter(*place, 60, "0.25", marker=f"${number}$", lw=0.3)
    return handles


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
        colour = COLOURS[0] if place else BASE_STYLE.colour  # each has its panel: more colours would say nothing
        _draw_history(upper.flat[place], lower.flat[place], history, name, colour)
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
