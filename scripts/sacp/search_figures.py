"""Figures of a search: the method on the user's own run, its scores, what it chose, and figure 2."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from sacp.figures import BASE_STYLE, grid, save, style
from sacp.graph import BATCH_NORM, CONV, LINEAR, POOL, Graph
from sacp.space import Steps

Values = NDArray[np.float64]
BINS = 80
KEPT, PRUNED, FREE = "#0072B2", "#D9D9D9", "#009E73"  # of a bar: channels kept, pruned, and those that are never pruned
KINDS = {CONV: "convolution", BATCH_NORM: "batch norm", POOL: "pooling", LINEAR: "fully connected"}


@dataclass(frozen=True)
class Sweep:
    """Test accuracies in percent of the winner at several values of m or k, [seeds, values]."""

    sizes: Sequence[int]
    accuracies: Values


def sweep_figure(paths: Sequence[Path], title: str, by_k: Mapping[str, Sweep], by_m: Mapping[str, Sweep]) -> None:
    """Draw figure 2, the winner's accuracy against k and against m, means with deviations over seeds.

    Args:
        paths: files to write; the suffix gives the format.
        title: heading; it says which m and k are held.
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
        axes.set(xlabel=name)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        grid(axes)
    left.set(ylabel="top-1 accuracy of the winner (%, test)")
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

    NaN where no candidate is, zeros of a score that is the same for all.

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
    """Draw how each score answers to the pruning of each group, a panel for each method, a row of cells for each group.

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


def kept_figure(paths: Sequence[Path], title: str, layers: Sequence[str], methods: Mapping[str, Values]) -> None:
    """Draw the share of channels that each method's network keeps in each layer, a row of cells for each method.

    Args:
        paths: files to write.
        title: heading.
        layers: names of the convolutions, in the order of the data flow, [L].
        methods: shares of 0 to 1 by method, [L].
    """
    shares = 100 * np.array(list(methods.values()))
    size = (max(6.4, 0.3 * len(layers) + 2.5), 1.8 + 0.3 * len(methods))
    figure, axes = plt.subplots(figsize=size, layout="constrained")
    drawn = axes.imshow(shares, cmap="cividis", vmin=0, vmax=100, aspect="auto")
    for row, column in np.ndindex(*shares.shape):
        colour = "white" if shares[row, column] < 60 else "black"
        axes.annotate(f"{shares[row, column]:.0f}", (column, row), ha="center", va="center", fontsize=6, color=colour)
    axes.set_xticks(range(len(layers)), layers, rotation=90, fontsize=7)
    axes.set_yticks(range(len(methods)), list(methods))
    axes.set(title=title)
    figure.colorbar(drawn, label="channels kept (%)", pad=0.01)
    save(figure, paths)


def method_figure(
    paths: Sequence[Path], title: str, graph: Graph, kept: Sequence[int], stages: Sequence[tuple[str, str]]
) -> None:
    """Draw figure 1 on the user's own run: the network graph with a configuration's channels, and the stages.

    Args:
        paths: files to write.
        title: heading.
        graph: the network graph.
        kept: channels that the configuration keeps, [G].
        stages: what each stage is and what it did here, in order.
    """
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(11, max(4.5, 0.17 * len(graph.nodes) + 1)), width_ratios=(1.6, 1), layout="constrained"
    )
    _draw_graph(left, graph, kept)
    _draw_stages(right, stages)
    figure.suptitle(title)
    save(figure, paths)


def _draw_graph(axes: Axes, graph: Graph, kept: Sequence[int]) -> None:
    """A bar for each node, as long as it has channels, the kept ones coloured; arcs for edges that skip nodes."""
    widest = max(node.channels for node in graph.nodes)
    for place, node in enumerate(graph.nodes):
        channels = node.channels if node.kind != LINEAR else node.in_channels
        left = kept[node.group] if node.group is not None else channels
        thin = 0.7 if node.kind == CONV else 0.3
        colour = KEPT if node.group is not None else FREE
        axes.add_patch(Rectangle((0, place - thin / 2), channels, thin, color=PRUNED, lw=0))
        axes.add_patch(Rectangle((0, place - thin / 2), left, thin, color=colour, lw=0))
        if node.kind in (CONV, LINEAR):
            text = f"{node.name}  {left}/{channels}" if node.group is not None else node.name
            axes.annotate(text, (channels, place), xytext=(4, 0), textcoords="offset points", fontsize=6, va="center")
    for source, target in graph.edges:
        if target == source + 1:
            continue
        bend = 0.35 if target > source else -0.35
        axes.add_patch(
            FancyArrowPatch(
                (0, source), (0, target), connectionstyle=f"arc3,rad={bend}", arrowstyle="-|>", mutation_scale=7,
                color="0.45", lw=0.8, shrinkA=1, shrinkB=1,
            )
        )  # fmt: skip
    axes.set(xlim=(-0.35 * widest, 1.45 * widest), ylim=(len(graph.nodes), -1), xlabel="channels", yticks=[])
    axes.set_xticks([tick for tick in axes.get_xticks() if 0 <= tick <= widest])
    axes.set_title("network graph: thick bars are convolutions; kept channels in colour", fontsize=9)
    for side in ("top", "left", "right"):
        axes.spines[side].set_visible(False)


def _draw_stages(axes: Axes, stages: Sequence[tuple[str, str]]) -> None:
    """Boxes from top to bottom, an arrow from each to the next."""
    axes.set(xlim=(0, 1), ylim=(len(stages), 0))
    axes.axis("off")
    for place, (name, what) in enumerate(stages):
        axes.add_patch(Rectangle((0.02, place + 0.12), 0.96, 0.72, fc="0.96", ec=BASE_STYLE.colour, lw=1))
        axes.annotate(name, (0.06, place + 0.36), fontsize=9, weight="bold", va="center")
        axes.annotate(what, (0.06, place + 0.62), fontsize=8, va="center")
        if place:
            arrow = {"arrowstyle": "-|>", "color": BASE_STYLE.colour}
            axes.annotate("", (0.5, place + 0.12), (0.5, place - 0.16), arrowprops=arrow)
