"""Figures of accuracy against what it costs: the time that a network takes, and the time to find it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from sacp.report.drawing import (
    BASE_STYLE,
    MOVED,
    Style,
    apart,
    end_below,
    grid,
    low_outliers,
    method_legend,
    panels_of,
    save,
    style,
)
from sacp.report.latency_figure import where
from sacp.report.units import duration

BASE = "Base"  # the row of the unpruned network
ACCURACY = "top-1 accuracy (%, test)"
SECOND, MINUTE, DAY = 1 / 3600, 1 / 60, 24  # hours
STEPS = [scale * step for scale in (SECOND, MINUTE) for step in (1, 3, 10, 30)]
STEPS += [1, 3, 10, *(DAY * step for step in (1, 3, 10, 30, 100, 300))]  # hours, numbers of an axis of them


def accuracy_latency_figure(
    paths: Sequence[Path], title: str, accuracies: Mapping[str, float], times: pd.DataFrame
) -> None:
    """Draw accuracy against the time of the network, a panel for each runtime and size of the batch.

    Args:
        paths: files to write; the suffix gives the format.
        title: heading.
        accuracies: of the base, named `Base`, and of each method's winner, on the test images, percent.
        times: columns `method`, `runtime`, `batch`, `threads`, `device`, `median_ms`.
    """
    settings = list(times[["runtime", "batch"]].drop_duplicates().itertuples(index=False))
    figure, panels = panels_of(len(settings), 2, 4.6, 3.8, ACCURACY)
    points = []
    for axes, (runtime, batch) in zip(panels, settings, strict=True):
        rows = times[(times["runtime"] == runtime) & (times["batch"] == batch)].set_index("method")
        medians = {method: float(rows.loc[method, "median_ms"]) for method in accuracies}
        points += _draw(axes, medians, accuracies)
        images = "one image" if batch == 1 else f"{batch} images"
        axes.set(title=f"{runtime}\n{batch} at once", xlabel=f"time for {images} (ms)")
        axes.title.set_fontsize(10)
        axes.locator_params("x", nbins=5)
    _finish(figure, panels, f"{title}, {where(times)}", accuracies, points)
    save(figure, paths)


def accuracy_cost_figure(paths: Sequence[Path], title: str, rows: pd.DataFrame) -> None:
    """Draw accuracy against the time of devices that each method has taken to find and train its network.

    Args:
        paths: files to write; the suffix gives the format.
        title: heading.
        rows: measured rows of table 3 of one experiment, the base's among them, columns `method`, `top1_percent`,
            `top1_std`, `device_hours`.
    """
    table = rows.set_index("method")
    hours = {str(name): float(value) for name, value in table["device_hours"].items() if name != BASE}
    accuracies = {str(name): float(value) for name, value in table["top1_percent"].items()}
    figure, panels = panels_of(1, 1, 8.2, 4.4, ACCURACY)
    (axes,) = panels
    for name, deviation in table["top1_std"].dropna().items():
        if name != BASE:
            axes.errorbar(hours[str(name)], accuracies[str(name)], deviation, color="0.6", lw=1, zorder=0)
    points = _draw(axes, hours, accuracies)
    axes.set(xlabel="time of devices, for the method alone")
    _name_hours(axes, list(hours.values()))
    _finish(figure, panels, title, accuracies, points)
    save(figure, paths)


def _draw(axes: Axes, costs: Mapping[str, float], accuracies: Mapping[str, float]) -> list[PathCollection]:
    """A point for each network that has a cost; the base's accuracy is a line."""
    names = [name for name in accuracies if name != BASE]
    looks: dict[str, Style] = {name: style(number) for number, name in enumerate(names)} | {BASE: BASE_STYLE}
    axes.axhline(accuracies[BASE], color="0.4", lw=1, ls="--", zorder=1, label=f"base, {accuracies[BASE]:.1f} %")
    grid(axes)
    return [
        axes.scatter(
            costs[name], accuracies[name], 55, look.colour, marker=look.marker, edgecolors="black", linewidths=0.8,
            label="base" if name == BASE else name, zorder=3,
        )
        for name, look in looks.items() if name in costs
    ]  # fmt: skip


def _name_hours(axes: Axes, hours: Sequence[float]) -> None:
    """Numbers of an axis of hours in the units of their size, from the step below the least to that above the most.

    It is logarithmic, unless a method has taken nothing: no job of it had a GPU where others had.
    """
    if min(hours) <= 0:
        axes.set_xlim(left=0)
        axes.xaxis.set_major_formatter(lambda value, _: duration(value))
        return
    axes.set_xscale("log")
    low = max((step for step in STEPS if step <= min(hours)), default=min(hours))
    high = min((step for step in STEPS if step >= max(hours)), default=max(hours))
    steps = [step for step in STEPS if low <= step <= high]
    axes.set_xlim(low / 1.1, high * 1.1)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(steps, [duration(step) for step in steps])


def _finish(
    figure: Figure,
    panels: Sequence[Axes],
    title: str,
    accuracies: Mapping[str, float],
    points: Sequence[PathCollection],
) -> None:
    """Limits, legend and heading; points that would hide one another stand side by side."""
    lowest, note = low_outliers({name: [value] for name, value in accuracies.items() if not np.isnan(value)})
    for axes in panels:
        end_below(axes, lowest, note)
    method_legend(figure, *panels[0].get_legend_handles_labels())
    heading = figure.suptitle(title, fontsize=11)
    if apart(figure, points):
        heading.set_text(f"{title}\n{MOVED}")
