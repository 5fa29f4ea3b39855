"""Node features of the network graph (method section 3.2), and those that carry the lost L1 mass instead."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sacp.network.graph import LINEAR, Axis, Graph
from sacp.pruning.criteria import Norms, Order
from sacp.pruning.space import Steps, kept_counts

DEFICIT = "deficit"  # the kind of features that the paper does not have


class NodeFeatures:
    """Node features of section 3.2: +1 kept, -1 pruned, 0 above C_l; fully connected all ones.

    A node carries the row of its group. Where its channels are of several groups, or in another order, as after a
    concatenation, it carries the sum of rows of its own, one for each group, with that group's channels in their
    places. Channels that go in step side by side count once. Constant rows follow, one for each constant node.

    members [V, R + K]: which rows each node carries. rows [V]: the number of its row, if each carries one; else None.
    groups [R]: whose step each row but the constant ones goes by; the first G are the groups themselves.
    """

    def __init__(self, graph: Graph, levels: int) -> None:
        self.graph, self.levels = graph, levels
        self.channels = torch.tensor(graph.channels)
        self.d = graph.max_channels
        self.is_channel = torch.arange(self.d) < self.channels[:, None]  # [G, d]
        known = {(group, tuple(range(size))): group for group, size in enumerate(graph.channels)}
        carried, constants, places = list[list[int]](), dict[int, Tensor](), list[Tensor]()
        for number, node in enumerate(graph.nodes):
            groups, channels = _side_by_side(node.outputs)
            rows = []
            for group in node.groups:
                own = np.where(groups == group, channels, -1)
                key = (group, tuple(own[: np.flatnonzero(own >= 0)[-1] + 1].tolist()))
                if key not in known:
                    known[key] = len(known)
                    places.append(torch.nn.functional.pad(torch.from_numpy(own), (0, self.d - len(own)), value=-1))
                rows.append(known[key])
            if not node.groups:  # never pruned: ones over its channels
                width = self.d if node.kind == LINEAR else node.channels
                constants[number] = (torch.arange(self.d) < width).float()
            elif (groups < 0).any():
                ones = torch.from_numpy(groups < 0).float()
                constants[number] = torch.nn.functional.pad(ones, (0, self.d - len(ones)))
            carried.append(rows)
        for row, number in enumerate(constants):
            carried[number].append(len(known) + row)
        self.groups = torch.tensor([group for group, _ in known])
        self.places = torch.stack(places) if places else torch.zeros(0, self.d, dtype=torch.int64)  # [R - G, d]
        self.constants = torch.stack([*constants.values()]) if constants else torch.zeros(0, self.d)  # [K, d]
        self.members = torch.zeros(len(carried), len(known) + len(constants))
        for number, rows in enumerate(carried):
            self.members[number, rows] = 1
        self.rows = None if any(len(rows) > 1 for rows in carried) else torch.tensor([row for (row,) in carried])

    def of_nodes(self, rows: Tensor, nodes: Sequence[int] | slice = slice(None)) -> Tensor:
        """What nodes carry of rows [B, R + K, h], or of products with them: [B, n, h]."""
        if self.rows is None:
            return self.members[nodes] @ rows
        return rows[:, self.rows[nodes]]

    def counts(self, steps: Steps) -> Tensor:
        """Kept channels, [B, G] -> int64 [B, G]."""
        return torch.from_numpy(kept_counts(steps, self.graph, self.levels))

    def table(self, order: Order) -> Tensor:
        """Rows at all steps, with kept sets from the top of `order`, then the constants.

        Shape: [R * levels + K, d]; row r at step t of its group has the number r * levels + t.
        """
        steps: NDArray[np.uint8] = np.repeat(np.arange(self.levels, dtype=np.uint8)[:, None], len(order), axis=1)
        ranks = torch.full((len(order), self.d), self.d)
        for group, channels in enumerate(order):
            ranks[group, torch.from_numpy(channels)] = torch.arange(len(channels))
        values = self._in_places(self._values(ranks < self.counts(steps)[..., None]))  # [levels, R, d]
        return torch.cat([values.transpose(0, 1).flatten(0, 1), self.constants])

    def index(self, steps: Steps) -> Tensor:
        """Numbers of the table's rows that configurations take, [B, G] -> int64 [B, R + K]."""
        first = torch.arange(len(self.groups)) * self.levels
        constants = len(first) * self.levels + torch.arange(len(self.constants))
        steps_of_rows = torch.from_numpy(steps).long()
        if len(self.places):
            steps_of_rows = steps_of_rows[:, self.groups]
        return torch.cat([steps_of_rows + first, constants.expand(len(steps), -1)], dim=1)

    def unpruned(self) -> Tensor:
        """Numbers of the table's rows that the unpruned network takes, whatever the order, [1, R + K]."""
        return self.index(np.zeros((1, len(self.channels)), np.uint8))

    def random_rows(self, counts: Tensor, generator: torch.Generator) -> Tensor:
        """Rows with kept sets of the groups drawn afresh, counts [B, G] -> [B, R, d]."""
        keys = torch.randint(2**48, (*counts.shape, self.d), generator=generator)
        keys.mul_(self.d).add_(torch.arange(self.d))  # no two channels of a group share a key
        keys[:, ~self.is_channel] = torch.iinfo(torch.int64).max  # behind all real channels
        # numpy sorts values alone, ten times as fast as torch, which sorts positions along.
        last_kept = torch.from_numpy(np.sort(keys.numpy(), axis=-1)).gather(-1, counts[..., None] - 1)
        return self._in_places(self._values(keys <= last_kept))

    def _in_places(self, values: Tensor) -> Tensor:
        """Rows of groups, and those with the groups' channels in other places. [..., G, d] -> [..., R, d]."""
        if not len(self.places):
            return values
        own = values[..., self.groups[len(self.channels) :], :]
        moved = own.gather(-1, self.places.clamp(min=0).expand_as(own)) * (self.places >= 0)
        return torch.cat([values, moved], dim=-2)

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
        constants = [node for node in graph.nodes if any(run.group is None for run in node.outputs)]
        linear = [node.kind == LINEAR and not node.groups for node in constants]
        self.constants *= torch.tensor(linear, dtype=torch.bool)[:, None]

    def _values(self, kept: Tensor) -> Tensor:
        """Deficit of each group's kept set at its channels, 0 above C_l. [..., G, d] -> float32."""
        share = (kept * self.mass).sum(dim=-1, keepdim=True).clamp(max=1)
        return (-share.log()).float() * self.is_channel


def _side_by_side(axis: Axis) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Group, -1 for none, and number in it of each channel of an axis; those in step side by side once. [C] and [C]."""
    groups = [np.full(run.count, -1 if run.group is None else run.group) for run in axis]
    channels = [np.arange(run.start, run.start + run.count) for run in axis]
    return np.concatenate(groups), np.concatenate(channels)


def node_features(graph: Graph, levels: int, kind: str, norms: Norms) -> NodeFeatures:
    """Node features of a kind, mask or deficit; `norms` are the channels' L1 norms, per group [C_g]."""
    if kind == DEFICIT:
        return DeficitFeatures(graph, levels, norms)
    return {"mask": NodeFeatures}[kind](graph, levels)
