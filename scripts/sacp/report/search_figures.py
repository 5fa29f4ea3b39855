"""Figures of a search: figure 2, the scores of its candidates, and the encoder's losses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from sacp.report.drawing import SMALL, grid, method_legend, panels_of, save, style

Values = NDArray[np.float64]
BINS = 80
FEW = 1000  # candidates whose numbers need no logarithm

PAPERS_PICK = (0, (4, 3))  # the line of what the paper's protocol would report


@dataclass(frozen=True)
class Sweep:
    """Test accuracies in percent at several values of m or k, [seeds, values]."""

    sizes: Sequence[int]
    accuracies: Values  # of the winner by validation accuracy
    best_by_test: Values  # of the best by test accuracy, as the paper picks it


def sweep_figure(
    paths: Sequence[Path], title: str, by_k: Mapping[str, Sweep], by_m: Mapping[str, Sweep], test_images: int
) -> None:
    """Draw figure 2, the winner's accuracy against k and against m, means with deviations over seeds.

    A dashed line of the same colour, without marks, is the best by test accuracy. A single m has no panel.

    Args:
        paths: files to write; the suffix gives the format.
        title: heading; it says which m and k are held fixed.
        by_k: by method.
        by_m: by method.
        test_images: number of images that accuracies are shares of; how much one of them is worth is marked.
    """
    drawn = [("k, candidates trained fully", by_k)]
    if any(len(sweep.sizes) > 1 for sweep in by_m.values()):
        drawn.append(("m, candidates tuned", by_m))
    figure, panels = panels_of(len(drawn), 2, 4.8, 3.6, "top-1 accuracy of the winner (%, test)", sharey=True)
    for axes, (name, sweeps) in zip(panels, drawn, strict=True):
        _draw_sweeps(axes, sweeps)
        axes.set(xlabel=name)
    _mark_one_image(panels[-1], test_images)
    panels[0].plot([], [], color="0.4", ls=PAPERS_PICK, lw=1, label="best by test")
    method_legend(figure, *panels[0].get_legend_handles_labels())
    figure.suptitle(title)
    save(figure, paths)


def _draw_sweeps(axes: Axes, sweeps: Mapping[str, Sweep]) -> None:
    for number, (method, sweep) in enumerate(sweeps.items()):
        colour, marker, line = style(number)
        mean = sweep.accuracies.mean(axis=0)
        error = sweep.accuracies.std(axis=0, ddof=1) if len(sweep.accuracies) > 1 else None
        points: dict[str, Any] = {"color": colour, "marker": marker, "ls": line, "ms": 5, "capsize": 3}
        axes.errorbar(sweep.sizes, mean, error, label=method, **points)
        axes.plot(sweep.sizes, sweep.best_by_test.mean(axis=0), color=colour, ls=PAPERS_PICK, lw=1)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    grid(axes)


def _mark_one_image(axes: Axes, test_images: int) -> None:
    """A bar beside the panel as high as one test image: differences of this size mean nothing."""
    low, _ = axes.get_ylim()
    height = 100 / test_images
    scale = axes.get_yaxis_transform()
    axes.plot([1.015] * 2, [low, low + height], transform=scale, color="black", lw=2, clip_on=False)
    axes.annotate("one test image", (1.03, low), xycoords=scale, fontsize=SMALL, rotation=90, va="bottom")


def encoder_loss_figure(paths: Sequence[Path], title: str, losses: Mapping[str, Sequence[pd.DataFrame]]) -> None:
    """Draw the encoders' losses against the epoch, a panel for each method, a line for each seed.

    Args:
        paths: files to write.
        title: heading.
        losses: by method, one frame for each seed, columns `epoch` and `loss`; one may have no rows.
    """
    figure, panels = panels_of(len(losses), 3, 4.0, 3.2, "loss")
    for number, (axes, (method, frames)) in enumerate(zip(panels, losses.items(), strict=True)):
        colour, marker, _ = style(number)
        for frame in frames:
            every = max(1, len(frame) // 8)
            axes.plot(frame["epoch"], frame["loss"], color=colour, marker=marker, ms=4, markevery=every, alpha=0.8)
        axes.set(xlabel="epoch", title=method if any(map(len, frames)) else f"{method} (not trained)")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        grid(axes)
    figure.suptitle(title)
    save(figure, paths)


@dataclass(frozen=True)
class Scores:
    """Scores of a search: of all candidates that are kept, of the tuned, the trained and the winner."""

    every: Values
    tuned: Values
    trained: Values
    winner: float


def score_figure(paths: Sequence[Path], title: str, methods: Mapping[str, Scores]) -> None:
    """Draw how the scores of all candidates are distributed and where the chosen ones lie, a panel for each method."""
    figure, panels = panels_of(len(methods), 2, 5.2, 2.3, "candidates")
    for number, (axes, (method, scores)) in enumerate(zip(panels, methods.items(), strict=True)):
        axes.hist(scores.every, bins=BINS, color=style(number).colour, alpha=0.55, log=len(scores.every) > FEW)
        where = axes.get_xaxis_transform()
        for height, values, size, marker, label in (
            (0.05, scores.tuned, 40, "|", "tuned"), (0.15, scores.trained, 30, "d", "trained fully"),
        ):  # fmt: skip
            points: dict[str, Any] = {"color": "black", "marker": marker, "lw": 1, "label": label, "clip_on": False}
            axes.scatter(values, np.full(len(values), height), size, transform=where, **points)
        winner: dict[str, Any] = {"color": "#D55E00", "marker": "v", "label": "winner", "edgecolors": "black"}
        axes.scatter([scores.winner], [0.27], 70, transform=where, zorder=3, **winner)
        numbers = f"{len(scores.every):,} candidates, {len(scores.tuned)} tuned, {len(scores.trained)} trained"
        axes.set_title(f"{method}: {numbers}", fontsize=9)
        axes.set(xlabel="score")
        if len(scores.every) <= FEW:
            axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        grid(axes)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, fontsize=9, frameon=False, ncols=3, loc="outside lower center")
    figure.suptitle(title)
    save(figure, paths)
