"""The way of an agent through the groups: what it sees, and how much of a group the FLOPs let it keep."""

from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from torch import nn

from sacp.baselines.ddpg import Vector
from sacp.baselines.episodes import Counts
from sacp.errors import InputError
from sacp.network.cost import costs_by_node, costs_of_counts
from sacp.network.graph import LINEAR, Graph, Node
from sacp.pruning.space import rounded

FEATURES = 10  # of a state


def least_counts(graph: Graph, share: float) -> Counts:
    """Channels of each group that stay in any case, [G]."""
    return rounded(np.ceil(share * np.array(graph.channels)).astype(np.int64), graph)


class Walk:
    """One step for each group, in the order of the first layers that read them."""

    def __init__(self, network: nn.Module, graph: Graph, target_flops: int, least_share: float) -> None:
        """Take the base and the share of each group that stays in any case, and is assumed of those still ahead.

        Raises:
            InputError: that share of all groups has more FLOPs than the target.
        """
        self.network, self.graph, self.target_flops = network, graph, target_flops
        self.least = least_counts(graph, least_share)
        flops = int(costs_of_counts(graph, self.least[None])[0][0])
        if flops > target_flops:
            raise InputError(
                f"amc.least_share: with {least_share} of every group the network has {flops} FLOPs, more than the "
                f"{target_flops} to match; expected a smaller share"
            )

    @cached_property
    def steps(self) -> list[int]:
        """Numbers of the groups, in their order."""
        first = [self.graph.nodes.index(self.reader(group)) for group in range(len(self.graph.groups))]
        return sorted(range(len(first)), key=lambda group: (first[group], group))

    def reader(self, group: int) -> Node:
        """The first layer that reads a group."""
        return next(node for node in self.graph.nodes if node.mixes and group in node.in_groups)

    def start(self) -> Counts:
        """Kept channels before the first step: the least of every group."""
        return self.least.copy()

    def take(self, step: int, share: float, counts: Counts) -> int:
        """Channels that the group of a step keeps: the share that is asked for, as far as the FLOPs allow.

        Args:
            step: its number.
            share: of its channels.
            counts: kept channels of the groups decided, and the least of those ahead, [G].
        """
        group = self.steps[step]
        channels = self.graph.channels[group]
        wanted = np.arange(1, channels + 1)
        tried = np.repeat(counts[None], channels, axis=0)
        tried[:, group] = wanted
        flops = costs_of_counts(self.graph, tried)[0]
        most = int(wanted[flops <= self.target_flops].max(initial=0))  # the least is among them
        asked = min(int(np.ceil(share * channels)), most)
        tried[0, group] = max(asked, int(self.least[group]))
        return int(rounded(tried[:1], self.graph)[0, group])

    def state(self, step: int, counts: Counts, share: float) -> Vector:
        """What the agent sees before a step, [10].

        Args:
            step: its number.
            counts: kept channels of the groups decided; those of others are not looked at, [G].
            share: that the step before it kept; 1 before the first.
        """
        ahead = self.steps[step:]
        undecided = counts.copy()
        undecided[ahead] = np.array(self.graph.channels)[ahead]
        saved = 1 - costs_of_counts(self.graph, undecided[None])[0][0] / self._base_flops
        return np.array([*self._fixed[step], saved, self._rest(step), share], np.float32)

    @cached_property
    def _fixed(self) -> NDArray[np.float64]:
        """What does not change of all states, each feature from 0 to 1 over the steps, [G, 7]."""
        rows = np.array([_features(step, self.reader(group), self.network) for step, group in enumerate(self.steps)])
        low, high = rows.min(axis=0), rows.max(axis=0)
        scaled: NDArray[np.float64] = (rows - low) / np.where(high > low, high - low, 1)
        return scaled

    @cached_property
    def _base_flops(self) -> int:
        return sum(self._flops_by_node)

    @cached_property
    def _flops_by_node(self) -> list[int]:
        return [cost.flops for cost in costs_by_node(self.graph, np.array(self.graph.channels, np.int64))]

    def _rest(self, step: int) -> float:
        """Share of the base's FLOPs in layers that read or give a group that is decided after this step."""
        ahead = set(self.steps[step + 1 :])
        nodes = zip(self.graph.nodes, self._flops_by_node, strict=True)
        return sum(flops for node, flops in nodes if ahead & {*node.in_groups, *node.groups}) / self._base_flops


def _features(step: int, node: Node, network: nn.Module) -> list[float]:
    """Number of the step; kind, inputs, outputs, stride, kernel and weights of a layer."""
    layer = network.get_submodule(node.name)
    weights = layer.get_parameter("weight").numel()
    stride, kernel = (getattr(layer, name, (1,))[0] for name in ("stride", "kernel_size"))
    return [step, node.kind == LINEAR, node.in_channels, node.channels, stride, kernel, weights]
