"""Figures of pruned networks: the method on the user's own run, and what every method keeps."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, Patch, Rectangle
from numpy.typing import NDArray

from sacp.network.graph import CONV, LINEAR, Graph, Node, groups_of
from sacp.network.graph import Axis as Elements
from sacp.report.drawing import BASE_STYLE, SMALL, save

Values = NDArray[np.float64]
Settings = Mapping[str, Any]
KEPT, PRUNED, FREE = "#0072B2", "#D9D9D9", "#009E73"  # of a bar: channels kept, pruned, and those that are never pruned


def kept_figure(paths: Sequence[Path], title: str, layers: Sequence[str], methods: Mapping[str, Values]) -> None:
    """Draw the share of channels that each method's network keeps in each layer, a row of cells for each method.

    Args:
        paths: files to write.
        title: heading.
        layers: names of the convolutions, in the order of the data flow, [L].
        methods: shares of 0 to 1 by method, [L].
    """
    shares = 100 * np.array(list(methods.values()))
    size = (max(6.4, 0.32 * len(layers) + 2.5), 1.8 + 0.3 * len(methods))
    figure, axes = plt.subplots(figsize=size, layout="constrained")
    drawn = axes.imshow(shares, cmap="cividis", vmin=0, vmax=100, aspect="auto")
    for row, column in np.ndindex(*shares.shape):
        colour = "white" if shares[row, column] < 60 else "black"
        axes.annotate(
            f"{shares[row, column]:.0f}", (column, row), ha="center", va="center", fontsize=SMALL, color=colour
        )
    axes.set_xticks(range(len(layers)), layers, rotation=90, fontsize=SMALL)
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
        1, 2, figsize=(11, max(4.5, 0.18 * len(graph.nodes) + 1)), width_ratios=(1.6, 1), layout="constrained"
    )
    _draw_graph(left, graph, kept)
    _draw_stages(right, stages)
    figure.suptitle(title)
    save(figure, paths)


def _draw_graph(axes: Axes, graph: Graph, kept: Sequence[int]) -> None:
    """A bar for each node, as long as it has channels, the kept ones coloured; arcs for edges that skip nodes."""
    for place, node in enumerate(graph.nodes):
        _draw_node(axes, place, node, [count / group.channels for count, group in zip(kept, graph.groups, strict=True)])
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
    widest = max(_count(shown_axis(node)) for node in graph.nodes)
    axes.set(xlim=(-0.35 * widest, 1.6 * widest), ylim=(len(graph.nodes), -1), xlabel="channels", yticks=[])
    axes.set_xticks([tick for tick in axes.get_xticks() if 0 <= tick <= widest])
    axes.set_title("network graph: thick bars are convolutions", fontsize=9)
    named = {"kept": KEPT, "pruned": PRUNED}
    if not all(groups_of(shown_axis(node)) for node in graph.nodes):
        named["never pruned"] = FREE
    patches = [Patch(color=colour, label=label) for label, colour in named.items()]
    axes.legend(handles=patches, fontsize=SMALL, frameon=False, loc="upper right")
    for side in ("top", "left", "right"):
        axes.spines[side].set_visible(False)


def _draw_node(axes: Axes, place: int, node: Node, shares: Sequence[float]) -> None:
    """A node's bar and its label, by the share that each group keeps."""
    axis = shown_axis(node)
    channels, left = _count(axis), kept_count(axis, shares)
    thin = 0.7 if node.kind == CONV else 0.3
    colour = KEPT if groups_of(axis) else FREE
    axes.add_patch(Rectangle((0, place - thin / 2), channels, thin, color=PRUNED, lw=0))
    axes.add_patch(Rectangle((0, place - thin / 2), left, thin, color=colour, lw=0))
    inputs = " inputs" if axis is not node.outputs else ""
    text = f"{node.name}  {left}/{channels}{inputs}" if groups_of(axis) else f"{node.name}  {channels}{inputs}"
    shade = "black" if node.kind in (CONV, LINEAR) else "0.4"
    axes.annotate(
        text, (channels, place), xytext=(4, 0), textcoords="offset points", fontsize=SMALL, va="center", color=shade
    )


def shown_axis(node: Node) -> Elements:
    """The axis that a node's bar shows: outputs, or the inputs of a linear layer whose outputs are never pruned."""
    return node.inputs if node.kind == LINEAR and not node.groups else node.outputs


def _count(axis: Elements) -> int:
    """Channels of an axis; those of a flattened map count once."""
    return sum(run.count for run in axis)


def kept_count(axis: Elements, shares: Sequence[float]) -> int:
    """Channels of an axis that are kept, by the share that each group keeps."""
    return round(sum(run.count * (1.0 if run.group is None else shares[run.group]) for run in axis))


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


def stages_of(run: Settings, graph: Graph, base: Settings, winner: Settings) -> list[tuple[str, str]]:
    """What each stage is and what it did in a run, for `method_figure`.

    Args:
        run: the search's settings `method`, with `found`, `refine` and `space` of the experiment.
        graph: the network graph.
        base: metrics of the base.
        winner: metrics of the winner.
    """
    space, refine, method = run["space"], run["refine"], run["settings"]
    score = ("score", method["score"])
    if encoder := method.get("encoder"):
        score = ("encoder", f"objective {encoder['objective']}, {encoder['epochs']} epochs")
    drawn, limit = {"sample", "local"}, f"R ≥ {space['threshold']}"
    scored = {
        "sample": f"of all {space['search_size']:,} candidates",
        "exact": f"of the {run['found']:,} best of the whole space",
        "local": f"of {run['found']:,} reached from the best of {space['search_size']:,}",
    }
    size, saved = f"{len(graph.nodes)} nodes, {len(graph.groups)} groups", 100 * (1 - winner["flops"] / base["flops"])
    sizes = [f"N = {space['training_size']:,}"] if encoder else []
    sizes.append(f"M = {space['search_size']:,} with {limit}" if method["search"] in drawn else f"all with {limit}")
    return [
        ("network", f"{size}; base {base['test_accuracy_percent']:.2f} %"),
        ("configurations", "; ".join(sizes)),
        score,
        ("scores", scored[method["search"]]),
        ("light tuning", f"of the m = {refine['top_m']} best by score"),
        ("full training", f"of the k = {refine['top_k']} best by validation accuracy"),
        ("winner", f"{winner['test_accuracy_percent']:.2f} % (test), {saved:.1f} % of the FLOPs pruned"),
    ]
