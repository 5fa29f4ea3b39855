"""How figures look: colours, markers, grid and size of type."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sacp.artefacts.files import atomic

# Okabe & Ito's palette: told apart by colour-blind readers; markers and lines repeat what the colours say.
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442"]
MARKERS = "osD^vP*X<p>d"
LINES = ["-", "--", ":"]
SMALL = 8  # points, of the smallest type


class Style(NamedTuple):
    """How a method is drawn."""

    colour: str
    marker: str
    line: str


BASE_STYLE = Style("0.35", "h", "-")


def style(number: int) -> Style:
    """How the method of this number is drawn, the same in every figure.

    Twelve are told apart by their markers, 96 by marker and colour.
    """
    line = LINES[number // len(COLOURS) % len(LINES)]
    turn = math.lcm(len(COLOURS), len(MARKERS))  # methods after which pairs of colour and marker would come again
    return Style(COLOURS[(number + number // turn) % len(COLOURS)], MARKERS[number % len(MARKERS)], line)


def grid(axes: Axes) -> None:
    """Draw a light grid behind the data."""
    axes.grid(color="0.92")
    axes.set_axisbelow(True)


def save(figure: Figure, paths: Sequence[Path]) -> None:
    """Write a figure to all paths and close it. Equal figures give equal bytes: no time is in them."""
    for path in paths:
        metadata = {"CreationDate": None} if path.suffix == ".pdf" else None
        with atomic(path) as temporary:
            figure.savefig(temporary, dpi=150, metadata=metadata)
    plt.close(figure)
