"""The graph that the agent sees, with a node for every filter, and its embedding."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sacp.baselines.ddpg import Actor, Critic
from sacp.network.graph import CONV, Graph

FEATURES = 50  # of a node, drawn once from a normal distribution
EMBEDDING = 30


@dataclass(frozen=True)
class FilterGraph:
    """Nodes for the input, for what each layer gives, and for each filter of a convolution between the two."""

    size: int  # nodes
    edges: NDArray[np.int64]  # without direction, each once, [2, E]
    groups: NDArray[np.int64]  # of a filter's channel, by node; -1 where a node is in every pruned network, [size]
    places: NDArray[np.float64]  # of the channel in its group, 0..1, by node, [size]

    @classmethod
    def of(cls, graph: Graph) -> "FilterGraph":
        """The graph of a whole network."""
        count = 1 + len(graph.nodes)  # the input, and what each layer gives
        edges, groups, places = list[tuple[int, int]](), [-1] * count, [0.0] * count
        before: dict[int, list[int]] = {number: [] for number in range(len(graph.nodes))}
        for source, target in graph.edges:
            before[target].append(1 + source)
        for number, node in enumerate(graph.nodes):
            sources, given = before[number] or [0], 1 + number
            if node.kind != CONV:
                edges += [(source, given) for source in sources]
                continue
            first = len(groups)
            for run in node.outputs:
                channels = np.repeat(np.arange(run.start, run.start + run.count), run.each)
                groups += [-1 if run.group is None else run.group] * len(channels)
                places += (
                    [0.0] * len(channels) if run.group is None else (channels / graph.channels[run.group]).tolist()
                )
            for own in range(first, len(groups)):
                edges += [*((source, own) for source in sources), (own, given)]
        return cls(len(groups), np.array(edges, np.int64).T, np.array(groups), np.array(places))


class Encoder(nn.Module):
    """One graph convolution, the mean over the nodes, and a linear layer: kept shares [B, G] -> embeddings [B, 30].

    A pruned network has no nodes for what was removed; which filters are left makes no difference, so the first are.
    """

    edges: Tensor
    groups: Tensor
    places: Tensor
    features: Tensor

    def __init__(self, graph: FilterGraph, features: Tensor) -> None:
        """Take the graph and the features of its nodes, [size, F]."""
        super().__init__()
        both = np.concatenate([graph.edges, graph.edges[::-1]], axis=1)
        for name, value in (
            ("edges", torch.from_numpy(both)), ("groups", torch.from_numpy(graph.groups)),
            ("places", torch.from_numpy(graph.places).float()), ("features", features),
        ):  # fmt: skip
            self.register_buffer(name, value, persistent=False)
        self.convolution, self.linear = nn.Linear(features.shape[1], EMBEDDING), nn.Linear(EMBEDDING, EMBEDDING)

    def forward(self, shares: Tensor) -> Tensor:
        """Embeddings of the network with these shares of its groups."""
        different, numbers = shares.unique(dim=0, return_inverse=True)  # a constant state is embedded once
        pooled = torch.stack([self._pooled(row) for row in different])
        found: Tensor = torch.tanh(self.linear(pooled))[numbers]
        return found

    def _pooled(self, shares: Tensor) -> Tensor:
        """Mean over the nodes of D^-1/2 (A + I) D^-1/2 X W after ReLU, [G] -> [30]."""
        is_left = (self.groups < 0) | (self.places < shares[self.groups.clamp(min=0)] - 1e-6)
        source, target = self.edges[:, is_left[self.edges].all(dim=0)]
        degrees = torch.bincount(target, minlength=len(is_left)) + 1  # with the loop of each node to itself
        scaled = self.features / degrees.sqrt()[:, None]
        mixed = scaled.index_add(0, target, scaled[source]) / degrees.sqrt()[:, None]
        return torch.relu(self.convolution(mixed[is_left])).mean(dim=0)


class EncodedActor(nn.Module):
    """Kept shares [B, G] -> actions [B, A] in [-1, 1], by an encoder of its own."""

    def __init__(self, encoder: Encoder, actions: int) -> None:
        super().__init__()
        self.encoder, self.actor = encoder, Actor(EMBEDDING, actions, torch.tanh)

    def forward(self, state: Tensor) -> Tensor:
        """Actions for states."""
        found: Tensor = self.actor(self.encoder(state))
        return found


class EncodedCritic(nn.Module):
    """Kept shares [B, G] and actions [B, A] -> what they are worth, [B, 1] in [-1, 1], by an encoder of its own."""

    def __init__(self, encoder: Encoder, actions: int) -> None:
        super().__init__()
        self.encoder, self.critic = encoder, Critic(EMBEDDING, actions)

    def forward(self, state: Tensor, action: Tensor) -> Tensor:
        """The worth of actions in states."""
        return torch.tanh(self.critic(self.encoder(state), action))
