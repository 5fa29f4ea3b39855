"""How figures look: colours, markers, grid and size of type."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import wrap
from typing import Any, Literal, NamedTuple

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import Collection
from matplotlib.figure import Figure
from matplotlib.transforms import ScaledTranslation

from sacp.artefacts.files import atomic
from sacp.report.units import DPI

# Okabe & Ito's palette: told apart by colour-blind readers; markers and lines repeat what the colours say.
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442"]
Marker = str | tuple[int, Literal[0, 1, 2], int]
# Stars of so many points, turned by so many degrees, and suits of cards: told apart in black and white.
STARS: list[Marker] = [(4, 1, 0), (6, 1, 0), (4, 1, 45), (8, 1, 0), (5, 1, 180)]
MARKERS: list[Marker] = [*"osD^vP*X<p>d", *STARS, r"$\spadesuit$", r"$\clubsuit$"]
LINES = ["-", "--", ":"]
SMALL = 8  # points, of the smallest type
MOVED = "points that would hide one another are moved to the right"


class Style(NamedTuple):
    """How a method is drawn."""

    colour: str
    marker: Marker
    line: str


BASE_STYLE = Style("0.35", "h", "-")


def style(number: int) -> Style:
    """How the method of this number is drawn, the same in every figure.

    19 are told apart by their markers, 152 by marker and colour.
    """
    line = LINES[number // len(COLOURS) % len(LINES)]
    turn = math.lcm(len(COLOURS), len(MARKERS))  # methods after which pairs of colour and marker would come again
    return Style(COLOURS[(number + number // turn) % len(COLOURS)], MARKERS[number % len(MARKERS)], line)


def grid(axes: Axes) -> None:
    """Draw a light grid behind the data."""
    axes.grid(color="0.92")
    axes.set_axisbelow(True)


def panels_of(
    number: int, columns: int, width: float, height: float, label: str = "", **more: Any
) -> tuple[Figure, list[Axes]]:
    """A figure of panels in rows of at most so many columns, of this size in inches each; at their left the label."""
    columns = min(columns, number)
    rows = -(-number // columns)
    size = (max(5.0, width * columns + 0.8), height * rows + 0.6)
    figure, panels = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained", **more)
    for axes in panels[:, 0]:
        axes.set_ylabel(label)
    for unused in panels.flat[number:]:
        unused.set_axis_off()
    return figure, list(panels.flat[:number])


def apart(figure: Figure, points: Sequence[Collection]) -> bool:
    """Move single points to the right until none hides another; whether any was moved. Limits must be as they stay."""
    figure.draw_without_rendering()
    width, height = (size / 72 * figure.dpi for size in (9, 6))  # of what a point covers, in pixels
    taken, any_moved = list[tuple[float, float]](), False
    for point in points:
        x, y = point.get_offset_transform().transform(point.get_offsets())[0]
        steps = 0
        while any(abs(x + steps * width - left) < width and abs(y - low) < height for left, low in taken):
            steps += 1
        taken.append((x + steps * width, y))
        moved = ScaledTranslation(steps * 9 / 72, 0, figure.dpi_scale_trans)
        point.set_offset_transform(point.get_offset_transform() + moved)
        any_moved |= steps > 0
    return any_moved


def method_legend(figure: Figure, handles: Sequence[Artist], labels: Sequence[str]) -> None:
    """A legend beside the panels, in as many columns as many methods need."""
    columns = -(-len(labels) // 14)
    figure.legend(handles, labels, fontsize=9, frameon=False, loc="outside right center", ncols=columns)


def low_outliers(accuracies: Mapping[str, Sequence[float]]) -> tuple[float, str]:
    """The lowest accuracy that an axis has to hold, and a note on those below it, empty if there are none.

    Outliers are below Tukey's outer fence, of quartiles taken to be a point apart at least: a network that has
    collapsed would press all others into a line.
    """
    every = np.concatenate([np.asarray(values, np.float64) for values in accuracies.values()])
    low, high = np.percentile(every, [25, 75])
    fence = low - 3 * max(high - low, 1.0)
    below = {name: [value for value in values if value < fence] for name, values in accuracies.items()}
    texts = [f"{name} {_range(values)} %" for name, values in below.items() if values]
    return float(every[every >= fence].min()), f"below the axis: {', '.join(texts)}" if texts else ""


def _range(values: Sequence[float]) -> str:
    least, most = f"{min(values):.1f}", f"{max(values):.1f}"
    return least if least == most else f"{least} to {most}"


def end_below(axes: Axes, lowest: float, note: str) -> None:
    """End an axis of accuracies below the lowest of `low_outliers`, and say what is not on it."""
    if not note:
        return
    lines = wrap(note, 60)
    highest = axes.dataLim.y1
    room = (highest - lowest) or 1.0
    axes.set_ylim(lowest - (0.06 + 0.05 * len(lines)) * room, highest + 0.05 * room)
    axes.annotate("\n".join(lines), (0.02, 0.01), xycoords="axes fraction", fontsize=SMALL, color="0.3", va="bottom")


def save(figure: Figure, paths: Sequence[Path]) -> None:
    """Write a figure to all paths and close it. Equal figures give equal bytes: no time is in them."""
    for path in paths:
        metadata = {"CreationDate": None} if path.suffix == ".pdf" else None
        with atomic(path) as temporary:
            figure.savefig(temporary, dpi=DPI, metadata=metadata)
    plt.close(figure)
