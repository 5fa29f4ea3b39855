"""Figures of a search: figure 2, the scores of its candidates, and the encoder's losses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from sacp.report.drawing import grid, save, style

Values = NDArray[np.float64]
BINS = 80


PAPERS_PICK = (0, (4, 3))  # the line of what the paper's protocol would report


@dataclass(frozen=True)
class Sweep:
    """Test accuracies in percent at several values of m or k, [seeds, values]."""

    sizes: Sequence[int]
    accuracies: Values  # of the winner by validation accuracy
    best_by_test: Values  # of the best by test accuracy, as the paper picks it


def sweep_figure(paths: Sequence[Path], title: str, by_k: Mapping[str, Sweep], by_m: Mapping[str, Sweep]) -> None:
    """Draw figure 2, the winner's accuracy against k and against m, means with deviations over seeds.

    A dashed line of the same colour, without marks, is the best by test accuracy.

    Args:
        paths: files to write; the suffix gives the format.
        title: heading; it says which m and k are held fixed.
        by_k: by method.
        by_m: by method.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.8), sharey=True, layout="constrained")
    for axes, name, sweeps in ((left, "k, candidates trained fully", by_k), (right, "m, candidates tuned", by_m)):
        for number, (method, sweep) in enumerate(sweeps.items()):
            colour, marker, line = style(number)
            mean = sweep.accuracies.mean(axis=0)
            error = sweep.accuracies.std(axis=0, ddof=1) if len(sweep.accuracies) > 1 else None
            points: dict[str, Any] = {"color": colour, "marker": marker, "ls": line, "ms": 5, "capsize": 3}
            axes.errorbar(sweep.sizes, mean, error, label=method, **points)
            axes.plot(sweep.sizes, sweep.best_by_test.mean(axis=0), color=colour, ls=PAPERS_PICK, lw=1)
        axes.set(xlabel=name)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        grid(axes)
    left.set(ylabel="top-1 accuracy of the winner (%, test)")
    left.plot([], [], color="0.4", ls=PAPERS_PICK, lw=1, label="best by test")
    left.legend(fontsize=9, framealpha=0.8, edgecolor="none")
    figure.suptitle(title)
    save(figure, paths)


def encoder_loss_figure(paths: Sequence[Path], title: str, losses: Mapping[str, Sequence[pd.DataFrame]]) -> None:
    """Draw the encoders' losses against the epoch, a panel for each method, a line for each seed.

    Args:
        paths: files to write.
        title: heading.
        losses: by method, one frame for each seed, columns `epoch` and `loss`; one may have no rows.
    """
    figure, panels = plt.subplots(1, len(losses), figsize=(4.2 * len(losses), 3.4), squeeze=False, layout="constrained")
    for number, (axes, (method, frames)) in enumerate(zip(panels[0], losses.items(), strict=True)):
        colour, marker, _ = style(number)
        for frame in frames:
            every = max(1, len(frame) // 8)
            axes.plot(frame["epoch"], frame["loss"], color=colour, marker=marker, ms=4, markevery=every, alpha=0.8)
        axes.set(xlabel="epoch", title=method if any(map(len, frames)) else f"{method} (not trained)")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        grid(axes)
    panels[0][0].set(ylabel="loss")
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
    figure, panels = plt.subplots(
        len(methods), 1, figsize=(6.8, 0.6 + 2.3 * len(methods)), squeeze=False, layout="constrained"
    )
    for number, (axes, (method, scores)) in enumerate(zip(panels[:, 0], methods.items(), strict=True)):
        axes.hist(scores.every, bins=BINS, color=style(number).colour, alpha=0.55, log=True)
        for height, values, size, marker, label in (
            (0.05, scores.tuned, 40, "|", f"tuned ({len(scores.tuned)})"),
            (0.15, scores.trained, 30, "d", f"trained fully ({len(scores.trained)})"),
        ):
            points: dict[str, Any] = {"color": "black", "marker": marker, "lw": 1, "label": label, "clip_on": False}
            where = axes.get_xaxis_transform()
            axes.scatter(values, np.full(len(values), height), size, transform=where, **points)
        winner: dict[str, Any] = {"color": "#D55E00", "marker": "v", "label": "winner", "edgecolors": "black"}
        axes.scatter([scores.winner], [0.27], 70, transform=axes.get_xaxis_transform(), zorder=3, **winner)
        axes.set(ylabel="candidates", title=f"{method}: {len(scores.every):,} candidates")
        axes.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
        grid(axes)
    panels[-1][0].set(xlabel="score")
    figure.suptitle(title)
    save(figure, paths)
