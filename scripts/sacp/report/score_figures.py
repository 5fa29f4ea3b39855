"""Figures of what scores see: embeddings of candidates, and how a score responds to pruning."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt
from numpy.typing import NDArray

from sacp.pruning.space import Steps
from sacp.report.drawing import grid, save

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Embeddings:
    """Embeddings of unit length [n, hidden] with the FLOPs of their networks, in shares of the base [n]."""

    every: Values
    share: Values
    tuned: Values
    winner: Values  # [hidden]
    original: Values  # [hidden]


def embedding_figure(paths: Sequence[Path], title: str, methods: Mapping[str, Embeddings]) -> None:
    """Draw embeddings in the plane of their two largest components, a panel for each method; colour is FLOPs."""
    figure, panels = plt.subplots(
        1, len(methods), figsize=(0.8 + 4.4 * len(methods), 4.2), squeeze=False, layout="constrained"
    )
    for axes, (method, found) in zip(panels[0], methods.items(), strict=True):
        plane, shares = principal_plane(found.every)
        centre = found.every.mean(axis=0)
        points = (found.every - centre) @ plane
        drawn = axes.scatter(*points.T, 8, 100 * found.share, cmap="viridis", lw=0, alpha=0.7)
        axes.scatter(*((found.tuned - centre) @ plane).T, 26, "none", edgecolors="black", lw=0.8, label="tuned")
        axes.scatter(*((found.winner - centre) @ plane), 110, "#D55E00", marker="v", edgecolors="black", label="winner")
        axes.scatter(
            *((found.original - centre) @ plane), 130, "#CC79A7", marker="*", edgecolors="black", label="unpruned"
        )
        names = [f"component {n + 1} ({share:.0%} of the variance)" for n, share in enumerate(shares)]
        axes.set(xlabel=names[0], ylabel=names[1], title=method)
        axes.legend(fontsize=8, framealpha=0.8, edgecolor="none")
        grid(axes)
    figure.colorbar(drawn, ax=panels[0].tolist(), label="FLOPs kept (% of the base)")
    figure.suptitle(title)
    save(figure, paths)


def principal_plane(points: Values) -> tuple[Values, Values]:
    """Two directions of the largest variance, [n, hidden] -> [hidden, 2], and their shares of the variance [2]."""
    _, singular, directions = np.linalg.svd(points - points.mean(axis=0), full_matrices=False)
    signs = np.sign(directions[np.arange(2), np.abs(directions[:2]).argmax(axis=1)])  # the same way every time
    return (directions[:2] * signs[:, None]).T, singular[:2] ** 2 / max(float((singular**2).sum()), 1e-30)


def response(steps: Steps, scores: Values, levels: int) -> Values:
    """Mean score by the step of each group, less the mean of all, in standard deviations.

    NaN where there is no candidate, zeros for a score that is the same for all.

    Shapes: steps [n, G], scores [n] -> [G, levels].
    """
    standard = (scores - scores.mean()) / (scores.std() or 1.0)
    found = np.full((steps.shape[1], levels), np.nan)
    for group, column in enumerate(steps.T):
        number = np.bincount(column, minlength=levels)
        total = np.bincount(column, standard, minlength=levels)
        found[group, number > 0] = (total / np.maximum(number, 1))[number > 0]
    return found


def response_figure(paths: Sequence[Path], title: str, groups: Sequence[str], methods: Mapping[str, Values]) -> None:
    """Draw how each score responds to pruning each group, a panel for each method, a row of cells for each group.

    Args:
        paths: files to write.
        title: heading.
        groups: names, in the order of the data flow, [G].
        methods: responses by method, [G, levels].
    """
    width = 1.8 + 0.012 * max(map(len, groups)) + 2.4 * len(methods)
    figure, panels = plt.subplots(
        1, len(methods), figsize=(width, 1.6 + 0.2 * len(groups)), squeeze=False, sharey=True, layout="constrained"
    )
    largest = max(1e-9, *(float(np.nanmax(np.abs(values))) for values in methods.values()))
    for axes, (method, values) in zip(panels[0], methods.items(), strict=True):
        drawn = axes.imshow(values, cmap="PuOr_r", vmin=-largest, vmax=largest, aspect="auto")
        levels = values.shape[1]
        ticks = [0, levels // 2, levels - 1]
        axes.set_xticks(ticks, [f"{100 * tick / levels:.0f}" for tick in ticks])
        axes.set(title=method, xlabel="pruned (%)")
        axes.title.set_fontsize(10)
    panels[0][0].set_yticks(range(len(groups)), groups, fontsize=7)
    figure.colorbar(drawn, ax=panels[0].tolist(), label="mean score (standard deviations)", pad=0.01)
    figure.suptitle(title)
    save(figure, paths)
