"""Node features of the network graph (method section 3.2), and those that carry the lost L1 mass instead."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sacp.network.graph import LINEAR, Graph
from sacp.pruning.criteria import Norms, Order
from sacp.pruning.space import Steps, kept_counts

DEFICIT = "deficit"  # the kind of features that the paper does not have


class NodeFeatures:
    """Node features of section 3.2: +1 kept, -1 pruned, 0 above C_l; fully connected all ones.

    Every node carries the row of its group; constant rows follow the groups, one for each constant node. `rows` [V]
    is the number of each node's row, from 0 to G + K - 1.
    """

    def __init__(self, graph: Graph, levels: int) -> None:
        self.levels = levels
        self.channels = torch.tensor(graph.channels)
        self.d = graph.max_channels
        self.is_channel = torch.arange(self.d) < self.channels[:, None]  # [G, d]
        constants = [node for node in graph.nodes if node.group is None]
        numbers = iter(range(len(graph.groups), len(graph.groups) + len(constants)))
        self.rows = torch.tensor([next(numbers) if node.group is None else node.group for node in graph.nodes])
        self.constants = torch.stack(
            [
                # Nodes outside the groups are never pruned: ones over their channels.
                (torch.arange(self.d) < (self.d if node.kind == LINEAR else node.channels)).float()
                for node in constants
            ]
        )  # [K, d]

    def counts(self, steps: Steps) -> Tensor:
        """Kept channels, [B, G] -> int64 [B, G]."""
        return torch.from_numpy(kept_counts(steps, self.channels.numpy(), self.levels))

    def table(self, order: Order) -> Tensor:
        """Rows of all groups at all steps, with kept sets from the top of `order`, then the constants.

        Shape: [G * levels + K, d]; group g at step t has the number g * levels + t.
        """
        steps: NDArray[np.uint8] = np.repeat(np.arange(self.levels, dtype=np.uint8)[:, None], len(order), axis=1)
        ranks = torch.full((len(order), self.d), self.d)
        for group, channels in enumerate(order):
            ranks[group, torch.from_numpy(channels)] = torch.arange(len(channels))
        values = self._values(ranks < self.counts(steps)[..., None])  # [levels, G, d]
        return torch.cat([values.transpose(0, 1).flatten(0, 1), self.constants])

    def index(self, steps: Steps) -> Tensor:
        """Numbers of the table's rows that configurations take, [B, G] -> int64 [B, G + K]."""
        first = torch.arange(len(self.channels)) * self.levels
        constants = len(first) * self.levels + torch.arange(len(self.constants))
        return torch.cat([torch.from_numpy(steps).long() + first, constants.expand(len(steps), -1)], dim=1)

    def unpruned(self) -> Tensor:
        """Numbers of the table's rows that the unpruned network takes, whatever the order, [1, G + K]."""
        return self.index(np.zeros((1, len(self.channels)), np.uint8))

    def random_rows(self, counts: Tensor, generator: torch.Generator) -> Tensor:
        """Rows of the groups with kept sets drawn afresh, counts [B, G] -> [B, G, d]."""
        keys = torch.randint(2**48, (*counts.shape, self.d), generator=generator)
        keys.mul_(self.d).add_(torch.arange(self.d))  # no two channels of a group share a key
        keys[:, ~self.is_channel] = torch.iinfo(torch.int64).max  # behind all real channels
        # numpy sorts values alone, ten times as fast as torch, which sorts positions along.
        last_kept = torch.from_numpy(np.sort(keys.numpy(), axis=-1)).gather(-1, counts[..., None] - 1)
        return self._values(keys <= last_kept)

    def _values(self, kept: Tensor) -> Tensor:
        """+1 kept, -1 pruned, 0 above C_l. [..., G, d] -> float32."""
        return kept.float().mul_(2).sub_(1).mul_(self.is_channel)


class DeficitFeatures(NodeFeatures):
    """Node features that say how much is lost, not which channels: -ln(kept share of the group's L1 mass) below C_l.

    The original's are zeros but for the fully connected layers' ones. Channel numbers mean nothing to a permutation of
    channels, and neither does this feature.
    """

    def __init__(self, graph: Graph, levels: int, norms: Norms) -> None:
        super().__init__(graph, levels)
        self.mass = torch.zeros(len(norms), self.d, dtype=torch.float64)  # each channel's share of its group's
        for group, values in enumerate(norms):
            self.mass[group, : len(values)] = torch.from_numpy(values / values.sum())
        linear = [node.kind == LINEAR for node in graph.nodes if node.group is None]
        self.constants *= torch.tensor(linear, dtype=torch.bool)[:, None]

    def _values(self, kept: Tensor) -> Tensor:
        """Deficit of each group's kept set at its channels, 0 above C_l. [..., G, d] -> float32."""
        share = (kept * self.mass).sum(dim=-1, keepdim=True).clamp(max=1)
        return (-share.log()).float() * self.is_channel


def node_features(graph: Graph, levels: int, kind: str, norms: Norms) -> NodeFeatures:
    """Node features of a kind, mask or deficit; `norms` are the channels' L1 norms, per group [C_g]."""
    if kind == DEFICIT:
        return DeficitFeatures(graph, levels, norms)
    return {"mask": NodeFeatures}[kind](graph, levels)
