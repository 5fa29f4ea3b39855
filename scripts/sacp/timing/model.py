"""The time of every configuration of a space, as a sum over layers of what each takes at its widths.

Each layer is timed alone on a grid of widths (`tables`), as NetAdapt (Yang et al. 2018) and HALP (Shen et al. 2022) do.
A layer reads the channels of one group and gives those of another: its time is a table over the steps of two groups,
not a product of kept counts, as small layers take time whatever their width.

Between the points of the grid the time is interpolated bilinearly. Of a layer that reads or gives channels of several
groups, as behind a concatenation, only the total width matters; along it the time is taken for a straight line from its
narrowest to its whole width, so that it is a sum over the groups. It is right at both ends. Between them it errs by as
much as the time bends, and where the time rises most for the first channels, it is too low.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from sacp.errors import InputError
from sacp.network.graph import Graph
from sacp.pruning.space import Steps
from sacp.timing.known import Known, described
from sacp.timing.layers import Layer, layers_of
from sacp.timing.measure import batch_of, evaluated
from sacp.timing.runtimes import Setting, device_of
from sacp.timing.tables import POINTS, Grid, Numbers, Values, grids, shares, timer
from sacp.tracing.trace import Shape, Traced


@dataclass(frozen=True)
class Times:
    """Nanoseconds of every configuration: of each group alone, of pairs of groups, and of what no group changes."""

    unary: Numbers  # [G, levels]
    pair: Mapping[tuple[int, int], Numbers]  # groups i < j: [levels of i, levels of j]
    constant: int

    def times(self, steps: Steps | Numbers) -> Numbers:
        """Of configurations [M, G], nanoseconds [M]."""
        steps = np.asarray(steps, np.int64)
        total: Numbers = self.constant + self.unary[np.arange(len(self.unary)), steps].sum(axis=1)
        for (i, j), table in self.pair.items():
            total += table[steps[:, i], steps[:, j]]
        return total


def modelled(
    graph: Graph, layers: Sequence[Layer], measured: Sequence[Grid], counts: Numbers, whole: float,
    parts: Sequence[float],
) -> Times:  # fmt: skip
    """The times of all configurations.

    How a layer's time goes with its widths is taken from its grid, and how much of the whole network's time it is from
    runs in turns with that. So a load of the machine that changes from one grid to the next does no harm.

    What the whole network takes beyond its layers, as sums, concatenations and calls, is a constant. Where the layers
    take longer alone than the whole network, as a runtime keeps the order of the data from one to the next, all of them
    are scaled to it and nothing is left for the rest.

    Args:
        graph: the network's graph.
        layers: its layers.
        measured: their times over widths.
        counts: kept channels of each group at each step, step 0 all of them, [G, levels].
        whole: nanoseconds of the whole unpruned network.
        parts: of each layer, the share of it that the unpruned layer takes alone.
    """
    groups, levels = counts.shape
    unary, pair, constant = np.zeros((groups, levels)), dict[tuple[int, int], Values](), 0.0
    for layer, grid, part in zip(layers, measured, parts, strict=True):
        level = part * whole / grid.times[-1, -1]
        for (i, j), term in _terms(layer, graph, grid, counts).items():
            table = level * term
            if i == j == groups:
                constant += float(table[0, 0])
            elif i == j:
                unary[i] += np.diagonal(table)
            elif groups in (i, j):
                unary[min(i, j)] += table.ravel()
            else:
                ordered = table if i < j else table.T
                pair[min(i, j), max(i, j)] = pair.get((min(i, j), max(i, j)), 0.0) + ordered
    alone = sum(parts) * whole
    scale = min(1.0, whole / alone) if alone else 1.0
    rounded = partial(_rounded, scale)
    tables = {key: rounded(table) for key, table in sorted(pair.items())}
    return Times(rounded(unary), tables, round(scale * constant + max(0.0, whole - alone)))


def _rounded(scale: float, table: Values) -> Numbers:
    return np.rint(scale * table).astype(np.int64)


def _terms(layer: Layer, graph: Graph, grid: Grid, counts: Numbers) -> dict[tuple[int, int], Values]:
    """A layer's time as a sum over pairs of groups that it reads and gives: [levels, levels], 1 for the group G."""
    node, constant = layer.node, len(counts)
    one = {constant: np.ones((1, 1))}
    reads = _parts(graph.multiples_of(node.inputs), counts, grid.inputs) if node.mixes else one
    gives = _parts(graph.multiples_of(node.outputs), counts, grid.outputs)
    return {(i, j): a @ grid.times @ b.T for i, a in reads.items() for j, b in gives.items()}


def _parts(multiples: Mapping[int, int], counts: Numbers, grid: Numbers) -> dict[int, Values]:
    """What each group adds, at each step, to the weights of the grid's points, [levels, n]; the group G is constant."""
    constant = len(counts)
    groups, fixed = [group for group in multiples if group < constant], multiples.get(constant, 0)
    if len(groups) == 1:
        return {groups[0]: _weights(fixed + multiples[groups[0]] * counts[groups[0]], grid)}
    if len(grid) == 1:
        return {constant: np.ones((1, 1))}
    # Affine in the width: one at the first point and nothing at the last for the least width, and so on.
    slope = np.array([[-1.0, 1.0]]) / (grid[1] - grid[0])
    parts = {group: multiples[group] * counts[group][:, None] * slope for group in groups}
    return {constant: np.array([[1.0, 0.0]]) + (fixed - grid[0]) * slope, **parts}


def _weights(widths: Numbers, grid: Numbers) -> Values:
    """How much of each point of a grid is in the interpolated value at some widths, [levels, n]."""
    return np.stack([np.interp(widths, grid, point) for point in np.eye(len(grid))], axis=1)


def times_of(
    network: nn.Module, original: Traced, example: Shape | Tensor, counts: Numbers, setting: Setting,
    path: str | Path | None = None, seconds: float = 0.05, points: int = POINTS,
) -> Times:  # fmt: skip
    """Measure what all configurations of a network take.

    Args:
        network: on the device where it is to be fast; it stays as it is.
        original: what `tracing.trace.traced` read of it.
        example: a batch of inputs or the shape of one, of the size that it was traced with.
        counts: kept channels of each group at each step, falling from all of them, [G, levels].
        setting: runtime, batch and threads.
        path: a file of the times of layers, which is read and completed; None for none.
        seconds: how long each layer at each width is measured, about.
        points: widths along each side of a layer.

    Raises:
        InputError: the table is none of this network, the file holds something else, or a layer cannot be run.
    """
    counts = _checked(counts, original.graph)
    device, whole, layers = device_of(network), evaluated(network), layers_of(original)
    batch = batch_of(network, example, setting.batch)
    known = Known(path, described(setting, device, batch.dtype))
    found = grids(layers, original.graph, counts, setting.batch, known, timer(setting, seconds), device, points)
    return modelled(original.graph, layers, found, counts, *shares(layers, (whole, batch), timer(setting, 4 * seconds)))


def _checked(counts: Any, graph: Graph) -> Numbers:
    table = np.asarray(counts)
    is_table = table.ndim == 2 and len(table) == len(graph.groups) and table.shape[1] > 0 and table.dtype.kind == "i"
    if not is_table or (table[:, 0] != graph.channels).any() or (np.diff(table) > 0).any() or table.min() < 1:
        raise InputError(f"counts: found a table {list(table.shape)}, expected kept channels [G, levels], all first")
    return table.astype(np.int64)
