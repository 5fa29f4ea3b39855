"""What is known of a network while it is read: values, channel sets, nodes and edges, obstacles."""

import operator
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from torch import fx

# Arithmetic of numbers, as of sizes.
ARITHMETIC = (operator.add, operator.sub, operator.mul, operator.floordiv, operator.truediv, operator.pow)


@dataclass(frozen=True)
class Value:
    """A tensor on its way through the network, seen by its channels: [B, C, H, W], or flattened [B, C * positions]."""

    sources: tuple[int, ...]  # nodes that an edge to the next node starts from
    tie: int  # channel set; sets that a sum joins are united
    channels: int
    positions: int = 1  # elements per channel once flattened


@dataclass(frozen=True)
class Number:
    """Anything but a tensor: a size, all sizes of a tensor, a device. Each part has the channel sets it tells of."""

    parts: tuple[frozenset[int], ...] = ()

    @property
    def ties(self) -> frozenset[int]:
        """All channel sets that the number tells of."""
        return frozenset[int]().union(*self.parts)


@dataclass(frozen=True)
class Direct:
    """A parameter or buffer that forward uses directly, or an elementwise function of it."""

    name: str | None  # in the state dict; None if it is not saved there
    label: str  # as it is called in a message
    shape: tuple[int, ...]
    parameters: int  # elements, if it is a parameter


Read = Value | Number | Direct


class ObstacleError(Exception):
    """What stands against pruning: a text with `{place}` for the place of the node."""

    def __init__(self, node: fx.Node, text: str, is_sure: bool = True) -> None:
        super().__init__(text)
        self.node, self.text, self.is_sure = node, text, is_sure  # not sure: perhaps since another one came before


@dataclass(frozen=True)
class Condition:
    """An obstacle if any of some channel sets is pruned; where it says so, not if they turn out to be one set."""

    ties: frozenset[int]
    obstacle: ObstacleError
    unless_one: bool = False


@dataclass
class Reading:
    """What has been read so far."""

    nodes: list[dict[str, Any]] = field(default_factory=list)
    edges: list[tuple[int, int]] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)  # union-find over ties
    fixed: set[int] = field(default_factory=set)  # ties that must not be pruned
    conditions: list[Condition] = field(default_factory=list)
    direct: dict[str, tuple[Direct, int, int | None, fx.Node]] = field(default_factory=dict)  # ..., axis, tie, user

    def new_tie(self, fixed: bool = False) -> int:
        """A new channel set."""
        self.parents.append(len(self.parents))
        if fixed:
            self.fixed.add(self.parents[-1])
        return self.parents[-1]

    def root(self, tie: int) -> int:
        """The set that stands for all those united with `tie`."""
        while self.parents[tie] != tie:
            tie = self.parents[tie]
        return tie

    def unite(self, a: int, b: int) -> int:
        """Tie two channel sets to one another."""
        self.parents[self.root(b)] = self.root(a)
        return self.root(a)

    def add(self, node: fx.Node, name: str, kind: str, inputs: Value, tie: int, channels: int, **costs: int) -> Value:
        """Add a node of the network graph."""
        if any(known["name"] == name for known in self.nodes):
            raise ObstacleError(node, "module {place} is used twice; each layer must be called once to be pruned")
        zero = dict.fromkeys(("flops_pair", "flops_channel", "params_pair", "params_channel"), 0)
        new = {"name": name, "kind": kind, "in_tie": inputs.tie, "in_channels": inputs.channels, "tie": tie}
        self.nodes.append(new | {"channels": channels, "positions": inputs.positions} | zero | costs)
        self.edges += [(source, len(self.nodes) - 1) for source in inputs.sources]
        positions = inputs.positions if tie == inputs.tie else 1
        return Value((len(self.nodes) - 1,), tie, channels, positions)

    def add_plain(self, node: fx.Node, kind: str, inputs: Value, flops_channel: int = 0) -> Value:
        """Add a node without weights, which may be called again: its second call has a name of its own."""
        name = str(node.target) if node.op == "call_module" else node.name
        name = node.name if any(known["name"] == name for known in self.nodes) else name
        return self.add(node, name, kind, inputs, inputs.tie, inputs.channels, flops_channel=flops_channel)

    def use_numbers(self, node: fx.Node, given: Iterable[Read]) -> None:
        """Note the channel sets whose numbers of channels a node uses as numbers."""
        for tie in sorted(tie for value in given if isinstance(value, Number) for tie in value.ties):
            found = "a number of channels that pruning changes is used as a number at {place}"
            self.conditions.append(Condition(frozenset({tie}), ObstacleError(node, found)))

    def use_directly(self, node: fx.Node, value: Direct, axis: int, tie: int | None) -> None:
        """Note that a node uses a parameter or buffer, with a value for each channel of `tie` along `axis`."""
        if value.name is None:
            if tie is not None:
                raise used_directly(node, value, "; it has values per channel: register it as a persistent buffer")
            return
        _, known_axis, known_tie, _ = self.direct.setdefault(value.name, (value, axis, tie, node))
        if tie is not None and known_tie is not None and known_axis == axis:
            self.unite(known_tie, tie)
        elif (known_axis, known_tie) != (axis, tie):
            raise used_directly(node, value, ", once for each channel and once not")


def shape_of(node: fx.Node) -> tuple[int, ...]:
    """Shape of the tensor that a node gives; of no images, or of one."""
    shape: tuple[int, ...] = node.meta["shape"]
    return shape


def shape_read(node: fx.Node) -> tuple[int, ...]:
    """Shape of the first tensor that a node reads."""
    return shape_of(node.all_input_nodes[0])


def is_map(node: fx.Node) -> bool:
    """Whether a node reads [B, C, H, W], not an image without its batch axis or a flattened one."""
    return len(shape_read(node)) == 4


def check_map(node: fx.Node, what: str) -> None:
    """Raise `ObstacleError` if an operation, in words, does not read [B, C, H, W]."""
    if not is_map(node):
        raise ObstacleError(node, f"{what} {{place}} reads no [B, C, H, W]; cannot be pruned", is_sure=False)


def written(shape: tuple[int, ...]) -> str:
    """A shape as a message has it, whatever the number of images: [B, 8, 4, 4]."""
    return str(["B", *shape[1:]]).replace("'", "")


def argument(node: fx.Node, place: int, name: str, default: Any = None) -> Any:
    """An argument of a function or method, given by its place or by its name."""
    return node.args[place] if len(node.args) > place else node.kwargs.get(name, default)


def only(node: fx.Node, given: Iterable[Read]) -> Value:
    """The one tensor that a node reads, beside numbers."""
    others = [value for value in given if not isinstance(value, Number)]
    if len(others) == 1 and isinstance(others[0], Value):
        return others[0]
    raise unknown(node, others)


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
