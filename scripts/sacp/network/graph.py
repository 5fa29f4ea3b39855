"""A network as a graph: layers, the groups that must be pruned alike, nodes and edges (method section 3.2)."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
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
POOL, UPSAMPLE, ACTIVATION = PLAIN = "pool", "upsample", "activation"  # without weights of their own


@dataclass(frozen=True)
class Node:
    """One node of the network graph: a convolution, batch norm, pooling or fully connected layer, or what costs FLOPs.

    Costs are polynomials in the channel counts: a node with c_in input and c output channels takes
    `flops_pair * c_in * c + flops_channel * c` multiply-accumulates, and so for its parameters.
    """

    name: str  # module path; for a function, the name of its traced operation
    kind: str  # conv, bn or linear, or one of PLAIN
    in_group: int | None  # the group of the input channels; None where they are never pruned
    in_channels: int
    group: int | None  # the group of the output channels
    channels: int
    positions: int  # linear: inputs per channel, H * W of what was flattened; otherwise 1
    flops_pair: int
    flops_channel: int
    params_pair: int
    params_channel: int

    @property
    def mixes(self) -> bool:
        """Whether its weights have an axis of input channels: a convolution that is not depthwise, a linear layer."""
        return self.params_pair > 0


@dataclass(frozen=True)
class Group:
    """Convolutions whose output channels are pruned alike, named by the first of them.

    What follows them, as batch norms and the last linear layer of a gate, is cut with them and counts as none of them.
    """

    name: str
    layers: tuple[str, ...]
    channels: int

    @property
    def weight(self) -> int:
        """Channels over all layers of the group: its weight in the pruning ratio (eq. 1 sums over layers)."""
        return self.channels * len(self.layers)


@dataclass(frozen=True)
class DirectTensor:
    """A parameter or buffer that forward uses directly: a value for each channel of a group, or a constant."""

    name: str  # in the state dict
    axis: int  # that of the channels
    group: int | None  # the group of its channels; None for a constant
    channels: int  # 1 for a constant
    params_channel: int  # parameters for each channel; 0 for a buffer


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

    @property
    def weights(self) -> list[int]:
        """Weight of each group in the pruning ratio, [G]."""
        return [group.weight for group in self.groups]

    @property
    def max_channels(self) -> int:
        """d of section 3.2: the largest number of output channels of a prunable layer."""
        return max(self.channels)


def to_json(graph: Graph) -> dict[str, Any]:
    """Return the graph as plain lists and dicts; without `direct` where the network uses no parameter directly."""
    value = dataclasses.asdict(graph)
    return value if graph.direct else {key: part for key, part in value.items() if key != "direct"}


def from_json(value: Mapping[str, Any]) -> Graph:
    """Rebuild the graph that `to_json` wrote."""
    return Graph(
        nodes=tuple(Node(**node) for node in value["nodes"]),
        edges=tuple((source, target) for source, target in value["edges"]),
        groups=tuple(Group(g["name"], tuple(g["layers"]), g["channels"]) for g in value["groups"]),
        direct=tuple(DirectTensor(**tensor) for tensor in value.get("direct", ())),
    )


def fingerprint(graph: Graph) -> str:
    """SHA-256 of the graph: equal for equal graphs alone."""
    return hashlib.sha256(json.dumps(to_json(graph), sort_keys=True).encode()).hexdigest()


def save_graph(path: str | Path, graph: Graph, spec: NetworkSpec) -> None:
    """Write `network.json`: the graph and what builds the network it was traced from."""
    write_json(path, {"network": asdict(spec), **to_json(graph)})


def load_graph(path: str | Path) -> Graph:
    """Read the graph that `save_graph` wrote."""
    value = read_json(path)
    try:
        return from_json(value)
    except (KeyError, TypeError) as error:
        raise InputError(f"{path}: not a network graph ({error})") from None
