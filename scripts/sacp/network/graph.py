"""A network as a graph: layers, the groups that must be pruned alike, nodes and edges (method section 3.2)."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sacp.artefacts.files import read_json, write_json
from sacp.errors import InputError
from sacp.network.spec import NetworkSpec

Kept = list[NDArray[np.int64]]  # per group, the kept channel numbers in ascending order
Scales = list[NDArray[np.float64]]  # per group, factors of the kept channels in the layers that read them
CONV, BATCH_NORM, LINEAR = "conv", "bn", "linear"
# Without weights that are cut; `fixed` is what is taken as a whole, as attention.
POOL, UPSAMPLE, ACTIVATION, FIXED = PLAIN = "pool", "upsample", "activation", "fixed"


@dataclass(frozen=True)
class Run:
    """Elements of an axis that follow one another: those of `count` channels of a group, `each` of them together.

    A flattened map has `each` = H * W elements for each channel. Channels that are never pruned have no group.
    """

    group: int | None
    start: int  # the first channel's number in the group; 0 without a group
    count: int
    each: int = 1


Axis = tuple[Run, ...]  # all elements of an axis, in their order


def length(axis: Axis) -> int:
    """Elements of an axis."""
    return sum(run.count * run.each for run in axis)


def kept_elements(axis: Axis, kept: Kept) -> NDArray[np.int64] | None:
    """Which elements of an axis are left, ascending; None where all of them are never pruned."""
    if all(run.group is None for run in axis):
        return None
    parts, first = [], 0
    for run in axis:
        left = np.arange(run.count) if run.group is None else _within(kept[run.group], run)
        if run.each > 1:
            left = (left[:, None] * run.each + np.arange(run.each)).ravel()
        parts.append(left + first)
        first += run.count * run.each
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _within(kept: NDArray[np.int64], run: Run) -> NDArray[np.int64]:
    """Which channels of a run are kept, counted from its first."""
    start, end = np.searchsorted(kept, (run.start, run.start + run.count))
    left: NDArray[np.int64] = kept[start:end] - run.start
    return left


def places(axis: Axis, group: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Elements of an axis that belong to a group, and the numbers of their channels in it, [n] and [n]."""
    numbers = np.concatenate([np.repeat(_numbers(run, group), run.each) for run in axis])
    elements = np.flatnonzero(numbers >= 0)
    return elements, numbers[elements]


def _numbers(run: Run, group: int) -> NDArray[np.int64]:
    """Channel numbers of a run, [count]; -1 where it is not the group's."""
    return np.arange(run.start, run.start + run.count) if run.group == group else np.full(run.count, -1)


@dataclass(frozen=True)
class Node:
    """One node of the network graph: a convolution, batch norm, pooling or fully connected layer, or what costs FLOPs.

    Costs are polynomials in the channel counts: a node with c_in input and c output channels takes
    `(flops_pair * c_in / divisor + flops_channel) * c` multiply-accumulates, and so for its parameters.
    """

    name: str  # module path; for a function, the name of its traced operation
    kind: str  # conv, bn or linear, or one of PLAIN
    inputs: Axis
    outputs: Axis
    flops_pair: int
    flops_channel: int
    params_pair: int
    params_channel: int
    divisor: int = 1  # groups of a convolution, in which channels go in step

    @property
    def in_channels(self) -> int:
        """Input channels; of what was flattened, inputs."""
        return length(self.inputs)

    @property
    def channels(self) -> int:
        """Output channels."""
        return length(self.outputs)

    @property
    def in_groups(self) -> list[int]:
        """The groups that its input channels belong to, ascending; none where they are never pruned."""
        return groups_of(self.inputs)

    @property
    def groups(self) -> list[int]:
        """The groups that its output channels belong to, ascending."""
        return groups_of(self.outputs)

    @property
    def mixes(self) -> bool:
        """Whether its weights have an axis of input channels: not those of batch norms and depthwise convolutions."""
        return self.params_pair > 0


def groups_of(axis: Axis) -> list[int]:
    """The groups that elements of an axis belong to, ascending."""
    return sorted({run.group for run in axis if run.group is not None})


@dataclass(frozen=True)
class Group:
    """Layers whose output channels are pruned alike, named by the first of them.

    These are convolutions, or linear layers where there is no convolution among them. What follows them, as batch norms
    and the last linear layer of a gate, is cut with them and counts as none of them.
    """

    name: str
    layers: tuple[str, ...]
    channels: int
    copies: tuple[int, ...]  # of each channel, by layer: more than one where some of a layer's channels go in step
    least: int = 1  # channels that are kept in any case
    multiple: int = 1  # of which the number of kept channels is one, unless all of them are kept

    @property
    def weight(self) -> int:
        """Channels over all layers of the group: its weight in the pruning ratio (eq. 1 sums over layers)."""
        return self.channels * sum(self.copies)


@dataclass(frozen=True)
class DirectTensor:
    """A parameter or buffer that forward uses directly: a value for each channel, or a constant."""

    name: str  # in the state dict
    axis: int  # that of the channels
    values: Axis  # one value that is never pruned for a constant
    params_channel: int  # parameters for each of the values; 0 for a buffer


@dataclass(frozen=True)
class Graph:
    """Nodes in the order of the data flow, edges as pairs of node indices (from, to), and the prunable groups."""

    nodes: tuple[Node, ...]
    edges: tuple[tuple[int, int], ...]
    groups: tuple[Group, ...]
    direct: tuple[DirectTensor, ...] = ()

    @property
    def channels(self) -> list[int]:
        """Channels of each group, [G]."""
        return [group.channels for group in self.groups]

    @cached_property
    def least(self) -> NDArray[np.int64]:
        """Channels that each group keeps in any case, [G]."""
        return np.array([group.least for group in self.groups], np.int64)

    @cached_property
    def rounding(self) -> NDArray[np.int64]:
        """Of which the number of kept channels is a multiple, [G]."""
        return np.array([group.multiple for group in self.groups], np.int64)

    @property
    def weights(self) -> list[int]:
        """Weight of each group in the pruning ratio, [G]."""
        return [group.weight for group in self.groups]

    @property
    def max_channels(self) -> int:
        """d of section 3.2: the most channels, of prunable layers or of what carries theirs, side by side or not."""
        carriers = [sum(run.count for run in node.outputs) for node in self.nodes if node.groups]
        return max([*self.channels, *carriers])

    @cached_property
    def multiples(self) -> list[tuple[dict[int, int], dict[int, int]]]:
        """Of each node, its inputs and its outputs for each channel of a group; as group G, those never pruned."""
        return [(self.multiples_of(node.inputs), self.multiples_of(node.outputs)) for node in self.nodes]

    def multiples_of(self, axis: Axis) -> dict[int, int]:
        """Elements of an axis for each channel of a group that is kept; as group G, those that are never pruned."""
        counts: dict[int, int] = {}
        for run in axis:
            group = len(self.groups) if run.group is None else run.group
            counts[group] = counts.get(group, 0) + run.count * run.each
        sizes = [*self.channels, 1]
        return {group: elements // sizes[group] for group, elements in counts.items()}

    def node(self, name: str) -> Node:
        """The node of a name."""
        return next(node for node in self.nodes if node.name == name)


def to_json(graph: Graph) -> dict[str, Any]:
    """Return the graph as plain lists and dicts, runs as [group, start, count, each]."""
    value = dataclasses.asdict(graph)
    for node, plain in zip(graph.nodes, value["nodes"], strict=True):
        plain |= {"inputs": _plain(node.inputs), "outputs": _plain(node.outputs)}
    for tensor, plain in zip(graph.direct, value["direct"], strict=True):
        plain["values"] = _plain(tensor.values)
    return value


def _plain(axis: Axis) -> list[list[int | None]]:
    return [[run.group, run.start, run.count, run.each] for run in axis]


def _axis(runs: Any) -> Axis:
    return tuple(Run(*run) for run in runs)


def from_json(value: Mapping[str, Any]) -> Graph:
    """Rebuild the graph that `to_json` wrote."""
    return Graph(
        nodes=tuple(
            Node(**node | {"inputs": _axis(node["inputs"]), "outputs": _axis(node["outputs"])})
            for node in value["nodes"]
        ),
        edges=tuple((source, target) for source, target in value["edges"]),
        groups=tuple(
            Group(**group | {"layers": tuple(group["layers"]), "copies": tuple(group["copies"])})
            for group in value["groups"]
        ),
        direct=tuple(DirectTensor(**tensor | {"values": _axis(tensor["values"])}) for tensor in value["direct"]),
    )


def fingerprint(graph: Graph) -> str:
    """SHA-256 of the graph: equal for equal graphs alone."""
    return hashlib.sha256(json.dumps(to_json(graph), sort_keys=True).encode()).hexdigest()


def save_graph(path: str | Path, graph: Graph, spec: NetworkSpec, stays: Sequence[str] = ()) -> None:
    """Write `network.json`: the graph, what builds the network it was traced from, and what of it is not pruned."""
    write_json(path, {"network": asdict(spec), **to_json(graph), "stays": list(stays)})


def load_graph(path: str | Path) -> Graph:
    """Read the graph that `save_graph` wrote."""
    value = read_json(path)
    try:
        return from_json(value)
    except (KeyError, TypeError) as error:
        raise InputError(f"{path}: not a network graph ({error})") from None
