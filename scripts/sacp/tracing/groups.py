"""The graph of what was read: which channels are pruned alike, and which of them each node reads and gives."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sacp.network.constraints import Constraints
from sacp.network.graph import CONV, LINEAR, PLAIN, Axis, DirectTensor, Graph, Group, Node, Run
from sacp.network.surgery import PER_CHANNEL
from sacp.tracing.values import FIXED, Condition, Labels, ObstacleError, Reading, Use

Numbers = NDArray[np.int64]
LEAST = 2  # channels of a group: one that is left in any case cannot be pruned


class Grouping:
    """Channels by what they are pruned with.

    A class is a set of channels of which all stay or all go. Two classes belong to one group if every node reads, and
    gives, as many of the one as of the other: costs then depend on how many of the group's are kept, not on which.
    """

    def __init__(self, state: Reading) -> None:
        self.state = state
        self.classes = connected(state.size, state.united)
        self.fixed = self.classes[FIXED]
        self.group_of, self.number_of = self._grouped()  # of each class; -1 where it is never pruned
        self.count = int(self.group_of.max(initial=-1)) + 1

    def _grouped(self) -> tuple[Numbers, Numbers]:
        """Number classes by their groups, in the order in which layers give them."""
        nodes = self.state.nodes
        uses = [node[side] for node in nodes for side in ("outputs", "inputs")]
        uses += [use.labels for use in self.state.direct.values() if use.labels is not None]
        every = np.concatenate([np.zeros(0, np.int64), *uses])
        numbers = np.repeat(np.arange(len(uses)), [len(labels) for labels in uses])
        pairs, counts = np.unique(self.classes[every] * (len(uses) + 1) + numbers, return_counts=True)
        starts = np.searchsorted(pairs, np.arange(self.state.size + 1) * (len(uses) + 1))
        used = np.stack([pairs % (len(uses) + 1), counts], 1)  # of each class, the uses in which it is, and how often
        group_of, number_of = np.full(self.state.size, -1), np.full(self.state.size, -1)
        members: dict[bytes, int] = {}
        sizes: list[int] = []
        for labels in (node["outputs"] for node in nodes if is_layer(node)):
            for each in self.classes[labels].tolist():
                if each == self.fixed or group_of[each] >= 0:
                    continue
                group = members.setdefault(used[starts[each] : starts[each + 1]].tobytes(), len(members))
                sizes += [0] * (group == len(sizes))
                group_of[each], number_of[each] = group, sizes[group]
                sizes[group] += 1
        return _renumbered(group_of, sizes), number_of

    def undivided(self) -> list[str]:
        """Layers that give channels which might go, but all together."""
        left = (self.group_of < 0) & (np.arange(len(self.group_of)) != self.fixed)
        return [
            node["name"] for node in self.state.nodes if is_layer(node) and left[self.classes[node["outputs"]]].any()
        ]

    def is_pruned(self, labels: Iterable[Labels]) -> bool:
        """Whether any of some channels can be pruned."""
        return any(bool((self.group_of[self.classes[each]] >= 0).any()) for each in labels)

    def is_met(self, condition: Condition) -> bool:
        """Whether a condition lets these groups be pruned."""
        if not self.is_pruned(condition.labels):
            return True
        if condition.unless_like is None:
            return False
        shares = [self._share(labels) for labels in (condition.labels[0], condition.unless_like)]
        return shares[0] == shares[1]

    def _share(self, labels: Labels) -> dict[int, float]:
        """How much of some channels each class is."""
        classes, counts = np.unique(self.classes[labels], return_counts=True)
        return dict(zip(classes.tolist(), (counts / len(labels)).tolist(), strict=True))

    def axis(self, labels: Labels) -> Axis:
        """The elements of an axis by their groups."""
        classes = self.classes[labels]
        groups, numbers = self.group_of[classes], self.number_of[classes]
        is_next = np.append(True, (groups[1:] != groups[:-1]) | (numbers[1:] != numbers[:-1]) | (groups[1:] < 0))
        starts = np.flatnonzero(is_next)
        each, groups, numbers = np.diff(np.append(starts, len(labels))), groups[starts], numbers[starts]
        follows = (groups[1:] == groups[:-1]) & ((groups[1:] < 0) | (numbers[1:] == numbers[:-1] + 1))
        runs = np.flatnonzero(np.append(True, ~follows | (each[1:] != each[:-1])))
        counts = np.diff(np.append(runs, len(starts)))
        return tuple(
            Run(int(groups[run]), int(numbers[run]), int(count), int(each[run]))
            if groups[run] >= 0
            else Run(None, 0, int(count))
            for run, count in zip(runs, counts, strict=True)
        )


def connected(size: int, united: Iterable[tuple[Labels, Labels]]) -> Numbers:
    """The least label of those that each label is united with, over any number of steps, [size]."""
    ends = np.concatenate([np.zeros((2, 0), np.int64), *(np.stack([a.ravel(), b.ravel()]) for a, b in united)], 1)
    least = np.arange(size)
    while True:
        found = least.copy()
        for side in (0, 1):
            np.minimum.at(found, least[ends[side]], least[ends[1 - side]])
            np.minimum.at(found, ends[side], least[ends[1 - side]])
        found = found[found]
        if (found == least).all():
            return least
        least = found


def is_layer(node: Mapping[str, Any]) -> bool:
    """Whether a node gives channels of its own, or more of each that it reads: convolutions, linear layers."""
    return node["kind"] in (CONV, LINEAR)


def _renumbered(group_of: Numbers, sizes: Sequence[int]) -> Numbers:
    """Leave out groups that are too small to be pruned."""
    numbers = np.cumsum([size >= LEAST for size in sizes]) - 1
    numbers = np.where(np.array(sizes, np.int64) >= LEAST, numbers, -1) if sizes else np.zeros(0, np.int64)
    return np.where(group_of >= 0, np.append(numbers, -1)[group_of], -1)


def faults(state: Reading, grouping: Grouping) -> Iterable[ObstacleError]:
    """Obstacles that show once it is known what can be pruned."""
    for condition in state.conditions:
        if not grouping.is_met(condition):
            yield condition.obstacle
    layers = {node["name"] for node in state.nodes if node["kind"] not in PLAIN}
    for name, use in state.direct.items():
        layer, _, own = name.rpartition(".")
        if layer in layers and own in PER_CHANNEL:
            found = f"{use.value.label} is used directly in forward, at {{place}}, and by its own layer"
            yield ObstacleError(use.node, found)


def ungrouped(state: Reading) -> Graph:
    """The graph as of a network that is not pruned: nodes, channels and costs alone."""
    nodes = tuple(
        Node(**node | {side: (Run(None, 0, len(node[side])),) for side in ("inputs", "outputs")})
        for node in state.nodes
    )
    direct = tuple(
        DirectTensor(name, 0, (Run(None, 0, 1),), use.value.parameters) for name, use in state.direct.items()
    )
    return Graph(nodes, tuple(state.edges), (), direct)


def graph_of(state: Reading, grouping: Grouping, constraints: Constraints) -> Graph:
    """The graph; without groups where nothing can be pruned."""
    nodes = tuple(
        Node(**node | {"inputs": grouping.axis(node["inputs"]), "outputs": grouping.axis(node["outputs"])})
        for node in state.nodes
    )
    direct = [_direct(name, use, grouping) for name, use in state.direct.items()]
    return Graph(
        nodes,
        tuple(state.edges),
        _groups(nodes, grouping.count, constraints),
        tuple(each for each in direct if each.params_channel or each.values != (Run(None, 0, 1),)),
    )


def _direct(name: str, use: Use, grouping: Grouping) -> DirectTensor:
    values = () if use.labels is None else grouping.axis(use.labels)
    if use.labels is None or all(run.group is None for run in values):
        return DirectTensor(name, use.axis, (Run(None, 0, 1),), use.value.parameters)
    return DirectTensor(name, use.axis, values, use.value.parameters // len(use.labels))


def _groups(nodes: Sequence[Node], count: int, constraints: Constraints) -> tuple[Group, ...]:
    groups = [_group(nodes, number, constraints) for number in range(count)]
    names = [group.name for group in groups]
    return tuple(
        # A layer whose channels belong to several groups is the first of each.
        replace(group, name=f"{group.name}[{before}]") if (before := names[:number].count(group.name)) else group
        for number, group in enumerate(groups)
    )


def _group(nodes: Sequence[Node], number: int, constraints: Constraints) -> Group:
    layers = [node for node in nodes if node.kind in (CONV, LINEAR) and number in node.groups]
    layers = [node for node in layers if node.kind == CONV] or layers
    channels = max(run.start + run.count for node in layers for run in node.outputs if run.group == number)
    elements = [sum(run.count * run.each for run in node.outputs if run.group == number) for node in layers]
    copies = tuple(each // channels for each in elements)
    least, multiple = constraints.bounds(channels, copies)
    return Group(layers[0].name, tuple(node.name for node in layers), channels, copies, least, multiple)
