"""The time of every configuration of a space, as a sum over layers of what each takes at its widths.

Each layer is timed alone on a grid of widths, as in the tables of NetAdapt (Yang et al. 2018, section 3.3) and of HALP
(Shen et al. 2022, section 3.2). A layer reads the channels of one group and gives those of another: its time is a table
over the steps of two groups, not a product of kept counts, as small layers take time whatever their width.

Between the points of the grid the time is interpolated bilinearly. Of a layer that reads or gives channels of several
groups, as behind a concatenation, only the total width matters; along it the time is taken for a straight line from its
narrowest to its whole width, so that it is a sum over the groups. It is right at both ends. Between them it errs by as
much as the time bends, and where the time rises most for the first channels, it is too low.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sacp.errors import InputError
from sacp.network.graph import Graph
from sacp.pruning.space import Steps
from sacp.timing.known import Known, described
from sacp.timing.layers import Cut, Layer, layers_of
from sacp.timing.measure import Seconds, batch_of, evaluated, interleaved
from sacp.timing.runtimes import Pair, Setting, device_of, ready, using_threads
from sacp.tracing.trace import Shape, Traced

POINTS = 5  # of a grid along each width
LEAST_ROUNDS = 5
MOST_ELEMENTS = 1 << 26  # of layers that are timed in turns: 256 MiB in float32
Values = NDArray[np.float64]
Numbers = NDArray[np.int64]
# Seconds of rounds in turns, [rounds, n], of some networks; a part of them is exported together.
Timer = Callable[[Sequence[Sequence[Pair]]], Seconds]


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


@dataclass(frozen=True)
class Grid:
    """A layer's nanoseconds over widths: ascending ones [n], [m] that it reads and gives, and [n, m]."""

    inputs: Numbers
    outputs: Numbers
    times: Values


def timer(setting: Setting, seconds: float) -> Timer:
    """What times networks under a setting in turns; so many seconds for each of them."""

    def timed(parts: Sequence[Sequence[Pair]]) -> Seconds:
        with using_threads(setting.threads):
            runs = [run for part in parts for run in ready(part, setting)]
            return interleaved(runs, seconds * len(runs), least=LEAST_ROUNDS)

    return timed


def grids(
    layers: Sequence[Layer], graph: Graph, counts: Numbers, batch: int, known: Known, timed: Timer,
    device: torch.device, points: int = POINTS,
) -> list[Grid]:  # fmt: skip
    """Time each layer over its widths; equal layers at equal widths once, and what is known not again.

    Args:
        layers: of the network.
        graph: its graph.
        counts: kept channels of each group at each step, falling, [G, levels].
        batch: inputs at once.
        known: where times are kept.
        timed: what times some layers.
        device: where they are timed.
        points: widths along each side of a layer, its least and its whole width among them.
    """
    found = []
    for layer in layers:
        inputs, outputs = _sides(layer, graph, counts, points)
        at = [(n, m) for n in inputs for m in outputs]
        if not layer.node.mixes:  # it gives as many for each that it reads
            at = [(int(m) * layer.node.in_channels // layer.node.channels, m) for m in outputs]
        cuts = [layer.cut(int(n), int(m), batch) for n, m in at]
        missing = {cut.key: cut for cut in cuts if cut.key not in known.times}
        for part in _parted(missing.values()):
            shortest = timed([[cut.pair(device) for cut in part]]).min(axis=0)
            known.add({cut.key: max(1, round(1e9 * time)) for cut, time in zip(part, shortest, strict=True)})
        times = np.array([known.times[cut.key] for cut in cuts], float).reshape(len(inputs), len(outputs))
        found.append(Grid(inputs, outputs, monotone(times)))
    return found


def _parted(cuts: Iterable[Cut]) -> Iterator[list[Cut]]:
    """Cuts in their order, so many at a time as fit into memory and into one export."""
    part, elements = list[Cut](), 0
    for cut in cuts:
        if part and elements + cut.elements > MOST_ELEMENTS:
            yield part
            part, elements = [], 0
        part.append(cut)
        elements += cut.elements
    yield from [part] if part else []


def _sides(layer: Layer, graph: Graph, counts: Numbers, points: int) -> tuple[Numbers, Numbers]:
    """The widths at which a layer is timed; of one that does not mix channels, those that it gives alone."""
    sides = [graph.multiples_of(axis) for axis in (layer.node.inputs, layer.node.outputs)]
    inputs, outputs = (_grid(multiples, counts, points) for multiples in sides)
    return (inputs if layer.node.mixes else np.array([layer.node.in_channels])), outputs


def _grid(multiples: Mapping[int, int], counts: Numbers, points: int) -> Numbers:
    """Widths of an axis: spread over the steps of its one group, or its ends if it has several or none."""
    groups, levels = [group for group in multiples if group < len(counts)], counts.shape[1]
    number = points if len(groups) == 1 else 2
    steps = np.unique(np.linspace(0, levels - 1, min(number, levels)).round().astype(int))
    fixed = multiples.get(len(counts), 0)
    total = fixed + sum((multiples[group] * counts[group, steps] for group in groups), np.zeros_like(steps))
    return np.unique(total)


def monotone(times: Values) -> Values:
    """Times that never fall with a width, [n, m]: the mean of the lowest such ones above them and the highest below.

    What falls is noise, or a width that suits the hardware; the search would take a wider layer for a faster one.
    """
    above, below = times, times
    for axis in (0, 1):
        above = np.maximum.accumulate(above, axis)
        below = np.flip(np.minimum.accumulate(np.flip(below, axis), axis), axis)
    mean: Values = (above + below) / 2
    return mean


def shares(layers: Sequence[Layer], whole: Pair, timed: Timer) -> tuple[float, list[float]]:
    """Nanoseconds of the whole network, and the share of it that each unpruned layer takes, all of them in turns.

    Where other work interrupts the runs, it hits the whole network in each round, and a short layer seldom: so all
    layers of a round together are compared with the whole, and layers with one another by their medians.
    """
    network, batch = whole
    cuts = [layer.cut(layer.node.in_channels, layer.node.channels, len(batch)) for layer in layers]
    places = {key: number for number, key in enumerate(dict.fromkeys(cut.key for cut in cuts))}
    once = {cut.key: cut for cut in cuts}
    parts = [[cut.pair(batch.device) for cut in part] for part in _parted(once[key] for key in places)]
    taken = timed([[(network, batch)], *parts])
    alone = taken[:, [1 + places[cut.key] for cut in cuts]]  # [rounds, layers]
    together, medians = np.median(alone.sum(axis=1) / taken[:, 0]), np.median(alone, axis=0)
    return 1e9 * float(np.median(taken[:, 0])), (together * medians / medians.sum()).tolist()


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
