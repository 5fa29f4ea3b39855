"""Figures of what scores see: embeddings of candidates, and how a score responds to pruning."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sacp.pruning.space import Steps
from sacp.report.drawing import SMALL, grid, panels_of, save

Values = NDArray[np.float64]
NOTABLE = 0.1  # of the largest response: below it, the sign does not matter
Look = dict[str, Any]  # of points
CIRCLES: Look = {"s": 26, "c": "none", "lw": 0.8}
TRIANGLE: Look = {"s": 110, "c": "#D55E00", "marker": "v"}
STAR: Look = {"s": 130, "c": "#CC79A7", "marker": "*"}


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
    figure, panels = panels_of(len(methods), 3, 3.8, 3.7)
    for axes, (method, found) in zip(panels, methods.items(), strict=True):
        plane, shares = principal_plane(found.every)
        centre = found.every.mean(axis=0)
        points = (found.every - centre) @ plane
        drawn = axes.scatter(points[:, 0], points[:, 1], s=8, c=100 * found.share, cmap="viridis", lw=0, alpha=0.7)
        for values, name, look in (
            (found.tuned, "tuned", CIRCLES), (found.winner, "winner", TRIANGLE), (found.original, "unpruned", STAR)
        ):  # fmt: skip
            x, y = ((values - centre) @ plane).T
            axes.scatter(x, y, edgecolors="black", label=name, **look)
        names = [f"component {n + 1} ({share:.0%} of the variance)" for n, share in enumerate(shares)]
        axes.set(xlabel=names[0], ylabel=names[1], title=method)
        axes.tick_params(labelsize=SMALL)
        axes.locator_params(nbins=5)
        grid(axes)
    figure.colorbar(drawn, ax=panels, label="FLOPs kept (% of the base)", pad=0.01)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, fontsize=9, frameon=False, ncols=3, loc="outside lower center")
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
    figure, panels = panels_of(len(methods), 4, 2.7, 1.0 + 0.22 * len(groups), sharey=True)
    largest = max(1e-9, *(float(np.nanmax(np.abs(values))) for values in methods.values()))
    for axes, (method, values) in zip(panels, methods.items(), strict=True):
        drawn = axes.imshow(values, cmap="PuOr_r", vmin=-largest, vmax=largest, aspect="auto")
        # In black and white both ends of the colours are dark: low scores have a sign.
        for group, level in np.argwhere(values < -NOTABLE * largest):
            colour = "white" if values[group, level] < -0.5 * largest else "black"
            axes.annotate("\N{MINUS SIGN}", (level, group), ha="center", va="center", fontsize=10, color=colour)
        levels = values.shape[1]
        ticks = [0, levels // 2, levels - 1]
        axes.set_xticks(ticks, [f"{100 * tick / levels:.0f}" for tick in ticks])
        axes.set_yticks(range(len(groups)), groups, fontsize=SMALL)
        axes.set(title=method, xlabel="pruned (%)")
        axes.title.set_fontsize(10)
    figure.colorbar(drawn, ax=panels, label="mean score (standard deviations)", pad=0.01)
    figure.suptitle(title)
    save(figure, paths)
