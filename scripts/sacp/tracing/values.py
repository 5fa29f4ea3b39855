"""What is known of a network while it is read: which channel each element is, nodes and edges, obstacles.

Each output channel of a layer that can be pruned has a label, a number of its own. A tensor on its way through the
network has one label for each of its elements along one axis; channels that must be pruned alike are united. The label
0 stands for all that is never pruned.
"""

import operator
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import fx

from sacp.network.graph import PLAIN

NUMPY_NAMES = {"dim": "axis", "keepdim": "keepdims"}
Labels = NDArray[np.int64]
FIXED = 0  # the label of what is never pruned


@dataclass(frozen=True, eq=False)
class Value:
    """A tensor on its way through the network, and whose channels its elements are."""

    sources: tuple[int, ...]  # nodes that an edge to the next node starts from
    labels: Labels | None = None  # of its elements along `axis`; None where nothing in it is ever pruned
    axis: int = 1
    obstacle: "ObstacleError | None" = None  # of what comes of parameters alone: why it cannot meet pruned channels


@dataclass(frozen=True, eq=False)
class Several:
    """A tuple of tensors, as `chunk` gives them."""

    values: tuple[Value, ...]


@dataclass(frozen=True, eq=False)
class Number:
    """Anything but a tensor: a size, all sizes of a tensor, a device.

    Each part has the labels of the axes whose lengths it tells of. `scale` says how a single number follows such a
    length: by a factor ("times"), divided without a rest ("part"), or in another way.
    """

    parts: tuple[tuple[Labels, ...], ...] = ()
    scale: str = ""

    @property
    def labels(self) -> tuple[Labels, ...]:
        """The labels that it tells of."""
        return tuple(labels for part in self.parts for labels in part)


@dataclass(frozen=True)
class Direct:
    """A parameter or buffer that forward uses directly, or an elementwise function of it."""

    name: str | None  # in the state dict; None if it is not saved there
    label: str  # as it is called in a message
    shape: tuple[int, ...]
    parameters: int  # elements, if it is a parameter
    is_line: bool = False  # saved with one axis, whatever its shape is where it is used


Read = Value | Several | Number | Direct


class ObstacleError(Exception):
    """What stands against pruning: a text with `{place}` for the place of the node.

    It is one if any channel that the node reads is pruned; `is_sure` ones are one in any case. Where channels can as
    well be left as they are, `stays`, that is done, and said.
    """

    def __init__(self, node: fx.Node, text: str, is_sure: bool = False, stays: bool = False) -> None:
        super().__init__(text)
        self.node, self.text, self.is_sure, self.stays = node, text, is_sure, stays


@dataclass(frozen=True, eq=False)
class Condition:
    """An obstacle if any of some channels is pruned; where there are others, unless these are the same, in step."""

    labels: tuple[Labels, ...]
    obstacle: ObstacleError
    unless_like: Labels | None = None


@dataclass(frozen=True, eq=False)
class Use:
    """How a parameter or buffer is used directly."""

    value: Direct
    axis: int
    labels: Labels | None  # of its elements along the axis; None for a constant
    node: fx.Node


@dataclass
class Reading:
    """What has been read so far."""

    names: dict[int, str] = field(default_factory=dict)  # in the state dict, of parameters and buffers by identity
    nodes: list[dict[str, Any]] = field(default_factory=list)
    places: dict[str, int] = field(default_factory=dict)  # numbers of the nodes by name
    edges: list[tuple[int, int]] = field(default_factory=list)
    size: int = 1  # labels there are
    united: list[tuple[Labels, Labels]] = field(default_factory=list)
    conditions: list[Condition] = field(default_factory=list)
    stays: list[Condition] = field(default_factory=list)  # why channels that nothing else hinders are not pruned
    wholes: list[ObstacleError] = field(default_factory=list)  # operations of which no channel can be pruned
    direct: dict[str, Use] = field(default_factory=dict)
    in_training: bool = False  # what training does beside: it has no nodes of its own

    def new(self, count: int) -> Labels:
        """Labels of new channels, [count]; a single one always stays."""
        if count == 1:
            return np.zeros(1, np.int64)
        self.size += count
        return np.arange(self.size - count, self.size)

    def unite(self, a: Labels, b: Labels) -> None:
        """Tie channels to one another, element by element."""
        self.united.append((a, np.broadcast_to(b, a.shape)))

    def fix(self, labels: Labels | None, obstacle: ObstacleError | None = None) -> None:
        """Never prune some channels; an obstacle says why."""
        if labels is not None:
            self.unite(labels, np.zeros(1, np.int64))
            if obstacle is not None:
                self.stays.append(Condition((labels,), obstacle))

    def add(
        self, node: fx.Node, name: str, kind: str, value: Value, inputs: Labels, outputs: Labels, axis: int = 1,
        **costs: int,
    ) -> Value:  # fmt: skip
        """Add a node of the network graph, or another call of one; return what it gives.

        A layer that is called again reads and gives the same channels each time, and costs each call's operations.
        """
        if self.in_training and kind in PLAIN and not costs.get("params_channel"):
            return Value(value.sources, outputs, axis, value.obstacle)
        place = self.places.get(name)
        if place is not None and kind in PLAIN:
            name, place = node.name, self.places.get(node.name)
        is_again = place is not None
        if place is None and self.in_training and kind not in PLAIN:
            raise ObstacleError(node, "layer {place} is called in training alone", stays=True)
        if place is None:
            zero = dict.fromkeys(("flops_pair", "flops_channel", "params_pair", "params_channel"), 0)
            self.nodes.append({"name": name, "kind": kind, "inputs": inputs, "outputs": outputs} | zero | costs)
            place = self.places[name] = len(self.nodes) - 1
        else:
            known = self.nodes[place]
            if value.obstacle is None:
                self.unite(known["inputs"], inputs)
            self.unite(known["outputs"], outputs)
            outputs = known["outputs"]
            for cost in () if self.in_training else ("flops_pair", "flops_channel"):
                known[cost] += costs.get(cost, 0)
        if not self.in_training:
            known_edges = self.edges if is_again else []
            edges = dict.fromkeys((source, place) for source in value.sources if source != place)
            self.edges += [edge for edge in edges if edge not in known_edges]
        return Value((place,), outputs if outputs.any() else None, axis, value.obstacle)

    def add_plain(self, node: fx.Node, kind: str, value: Value, flops_channel: int = 0) -> Value:
        """Add a node without weights that leaves channels as they are; its second call has a name of its own."""
        labels, axis = value.labels, value.axis
        if labels is None:
            labels, axis = np.zeros(shape_of(node)[1], np.int64), 1
        name = str(node.target) if node.op == "call_module" else node.name
        found = self.add(node, name, kind, value, labels, labels, axis, flops_channel=flops_channel)
        return found if value.labels is not None else Value(found.sources, obstacle=value.obstacle)

    def use_numbers(self, node: fx.Node, given: Iterable[Read]) -> None:
        """Note the lengths that pruning changes and that a node uses as numbers."""
        for value in given:
            if isinstance(value, Number) and value.labels:
                found = "a number of channels that pruning changes is used as a number at {place}"
                self.conditions.append(Condition(value.labels, ObstacleError(node, found)))

    def use_directly(self, node: fx.Node, value: Direct, axis: int = 0, labels: Labels | None = None) -> None:
        """Note that a node uses a parameter or buffer, whose elements along an axis are those of `labels`."""
        if value.name is None:
            if labels is not None:
                raise used_directly(node, value, "; it has values per channel: register it as a persistent buffer")
            return
        known = self.direct.setdefault(value.name, Use(value, axis, labels, node))
        if labels is not None and known.labels is not None and known.axis == axis:
            self.unite(known.labels, labels)
        elif (known.axis, known.labels is None) != (axis, labels is None):
            per_channel = tuple(each for each in (known.labels, labels) if each is not None)
            obstacle = used_directly(node, value, ", once for each channel and once not")
            self.conditions.append(Condition(per_channel, obstacle))


def shape_of(node: fx.Node) -> tuple[int, ...]:
    """Shape of the tensor that a node gives; of no images, or of one."""
    shape: tuple[int, ...] = node.meta["shape"]
    return shape


def shape_read(node: fx.Node) -> tuple[int, ...]:
    """Shape of the first tensor that a node reads."""
    return shape_of(node.all_input_nodes[0])


def images_of(shape: tuple[int, ...]) -> int:
    """What the first axis of a shape holds for each image: 1, or more where images are cut to windows."""
    return max((1, *shape[:1]))


def written(shape: tuple[int, ...]) -> str:
    """A shape as a message has it, whatever the number of images: [B, 8, 4, 4]."""
    return str(["B", *shape[1:]]).replace("'", "")


def argument(node: fx.Node, place: int, name: str, default: Any = None) -> Any:
    """An argument of a function or method, given by its place or by one of its names, torch's or numpy's."""
    if len(node.args) > place:
        return node.args[place]
    return node.kwargs.get(name, node.kwargs.get(NUMPY_NAMES.get(name, name), default))


def only(node: fx.Node, given: Iterable[Read]) -> Value:
    """The one tensor that a node reads, beside numbers."""
    others = [value for value in given if not isinstance(value, Number)]
    if len(others) == 1 and isinstance(others[0], Value):
        return others[0]
    raise unknown(node, others)


def tensors_in(given: Iterable[Read]) -> list[Value]:
    """The tensors among what a node reads, those of tuples too."""
    every = [tensor for value in given for tensor in (value.values if isinstance(value, Several) else (value,))]
    return [tensor for tensor in every if isinstance(tensor, Value)]


def sources_of(values: Iterable[Value]) -> tuple[int, ...]:
    """Nodes that an edge to the next node starts from, each once."""
    return tuple(dict.fromkeys(source for value in values for source in value.sources))


def labels_along(node: fx.Node, value: Value, axis: int, length: int) -> Labels:
    """Labels of what a layer mixes: of all elements along an axis.

    Raises:
        ObstacleError: another axis holds the channels.
    """
    if value.labels is None:
        return np.zeros(length, np.int64)
    if value.axis != axis or len(value.labels) != length:
        raise ObstacleError(node, "layer {place} mixes positions, or channels side by side", stays=True)
    return value.labels


def unknown(node: fx.Node, given: Iterable[Read] = (), name: str | None = None) -> ObstacleError:
    """The obstacle that an operation has no reader, or does what none of them understands."""
    for value in given:
        if isinstance(value, Direct):
            return used_directly(node, value)
    return ObstacleError(node, f"operation '{name or operation(node)}' at {{place}} is not understood, so not prunable")


def operation(node: fx.Node) -> str:
    """The name of an operation, for a message."""
    return getattr(node.target, "__name__", str(node.target))


def used_directly(node: fx.Node, value: Direct, how: str = "") -> ObstacleError:
    """The obstacle that a parameter or buffer is used directly in a way that is not understood."""
    found = f"{value.label} is used directly in forward, by '{operation(node)}' at {{place}}{how}"
    return ObstacleError(node, f"{found}; understood are constants and values per channel, in sums and products")


def is_arithmetic(node: fx.Node) -> bool:
    """Whether a node computes one number of others."""
    return node.target in (operator.add, operator.sub, operator.mul, operator.floordiv, operator.truediv, operator.pow)
