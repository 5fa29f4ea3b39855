"""Times of single layers over their widths, measured once, and how much of the whole network each of them is.

As the tables of NetAdapt (Yang et al. 2018) and of HALP (Shen et al. 2022), over the channels that a layer reads and
gives.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from sacp.network.graph import Graph
from sacp.timing.known import Known
from sacp.timing.layers import Cut, Layer
from sacp.timing.measure import Seconds, interleaved
from sacp.timing.runtimes import Pair, Setting, ready, using_threads

POINTS = 5  # of a grid along each width
LEAST_ROUNDS = 5
MOST_ELEMENTS = 1 << 27  # of layers that are timed in turns and exported together: 512 MiB in float32
Values = NDArray[np.float64]
Numbers = NDArray[np.int64]
# Seconds of rounds in turns, [rounds, n], of some networks; a part of them is exported together.
Timer = Callable[[Sequence[Sequence[Pair]]], Seconds]


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
    """Times that never fall with a width, [n, m]: a mean of the running maximum and, from above, minimum.

    What falls is noise, or a width that does not suit the hardware; a search would take a wider layer for a faster one.
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
