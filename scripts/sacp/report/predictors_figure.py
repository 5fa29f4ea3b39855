"""How well each predictor ranks networks, with intervals."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from sacp.report.drawing import COLOURS, SMALL, grid, panels_of, save
from sacp.report.predictors import ALL, CEILING, RETEST, WITHIN

PANELS = {ALL: "all networks", WITHIN: "within bands of FLOPs, the mean"}
ROWS = (CEILING, RETEST)  # no predictors: what noise leaves to be reached


def predictors_figure(paths: Sequence[Path], title: str, rows: pd.DataFrame) -> None:
    """Draw Kendall's tau of each predictor with its interval, a panel over all networks and one within bands of FLOPs.

    Args:
        paths: files to write; the suffix gives the format.
        title: heading.
        rows: of one experiment of the table of predictors, columns `predictor`, `band`, `networks`, `kendall`,
            `kendall_low`, `kendall_high`.
    """
    panels = {band: rows[rows["band"] == band].set_index("predictor") for band in PANELS}
    order = panels[ALL]["kendall"].drop(list(ROWS)).sort_values(ascending=False, na_position="last")
    names = [*ROWS, *order.index]
    figure, axes_of = panels_of(2, 2, 4.0, 0.9 + 0.21 * len(names), sharey=True)
    for axes, (band, heading) in zip(axes_of, PANELS.items(), strict=True):
        _draw(axes, panels[band].loc[names])
        axes.set(xlabel="Kendall's tau with the accuracy after tuning", xlim=(-1.02, 1.02))
        axes.set_title(heading, fontsize=10)
    axes_of[0].set_yticks(range(len(names)), names, fontsize=SMALL)
    axes_of[0].set_ylim(len(names) - 0.5, -0.5)
    figure.suptitle(f"{title}: {rows['networks'].iloc[0]:,} networks, intervals of 95 %", fontsize=11)
    save(figure, paths)


def _draw(axes: Axes, rows: pd.DataFrame) -> None:
    """A point and its interval for each row; a word where there is no value. The retest is a line through all."""
    values, ends = rows["kendall"], rows[["kendall_low", "kendall_high"]]
    places = np.arange(len(rows))
    for chosen, colour, marker in (
        (rows.index.isin(ROWS), "0.35", "D"), (~rows.index.isin(ROWS), COLOURS[0], "o"),
    ):  # fmt: skip
        axes.hlines(places[chosen], *ends[chosen].to_numpy().T, color=colour, lw=1.5)
        axes.scatter(values[chosen], places[chosen], 26, colour, marker=marker, zorder=3)
    for place in places[values.isna()]:
        axes.annotate("no value", (0.05, place), fontsize=SMALL, color="0.4", va="center")
    axes.axvline(0, color="0.4", lw=1)
    axes.axvline(values[RETEST], color="0.4", lw=1, ls="--", zorder=0)
    axes.axhline(len(ROWS) - 0.5, color="0.7", lw=0.8)
    grid(axes)
