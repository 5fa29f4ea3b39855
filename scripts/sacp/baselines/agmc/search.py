"""The episodes of AGMC: the agent names the pruned share of all groups at once, and they are scaled to the FLOPs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from sacp.baselines.agmc.encoder import FEATURES, EncodedActor, EncodedCritic, Encoder, FilterGraph
from sacp.baselines.ddpg import Agent, Memory, Vector, noisy, sigma
from sacp.baselines.episodes import MEMORY, Counts, Episodes, Reward
from sacp.baselines.inner import is_inner
from sacp.baselines.match_flops import approached
from sacp.network.graph import Graph
from sacp.seeds import derive

LEAST = 0.2  # share of a group that stays, as far as the FLOPs allow
LEAST_PRUNED = 1e-3  # of a group: shares of nothing cannot be scaled
FACTORS = np.geomspace(1e-3, 1e3, 6001)  # tried to scale the pruned shares
MOST_AT_RANDOM = 0.3  # pruned share in the warm-up
CONSTANT, MEAN, SHARED = "constant", "mean", "shared"  # of the options


@dataclass(frozen=True)
class Options:
    """What the paper, the code and sense do not agree on; see the schema."""

    actions: str
    exploration: str
    state: str


def action_of_group(graph: Graph, actions: str) -> NDArray[np.int64]:
    """Which action decides each group, [G]: all streams of a residual network have one together, or each its own."""
    has_own = is_inner(graph) | (actions != SHARED)
    numbers = np.cumsum(has_own) - int(has_own.all())  # from 0, or from 1 where 0 is that of the streams
    found: NDArray[np.int64] = np.where(has_own, numbers, 0)
    return found


def scaled(graph: Graph, pruned: Sequence[float] | NDArray[np.floating], target_flops: int) -> Counts:
    """Kept channels [G] at the target's FLOPs: the pruned shares of all groups, [G], times one factor."""
    shares = np.maximum(np.asarray(pruned, np.float64), LEAST_PRUNED)
    channels = np.array(graph.channels, np.int64)
    kept = np.clip(1 - FACTORS[:, None] * shares, LEAST, 1)
    return approached(graph, np.rint(kept * channels).astype(np.int64), target_flops, "structure of the agent (agmc)")


class Search(Episodes):
    """An agent that acts once in an episode."""

    def __init__(self, graph: Graph, target_flops: int, options: Options, warmup: int, seed: int) -> None:
        """Take the graph, the FLOPs to match, and the episodes in which shares are drawn at random."""
        self.graph, self.target_flops, self.options = graph, target_flops, options
        self.of_group = action_of_group(graph, options.actions)
        self.actions = int(self.of_group.max()) + 1
        seen = FilterGraph.of(graph)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive(seed, "agent"))
            features = torch.randn(seen.size, FEATURES)
            actor = EncodedActor(Encoder(seen, features), self.actions)
            critic = EncodedCritic(Encoder(seen, features), self.actions)
        memory = Memory(len(graph.groups), self.actions, MEMORY * self.actions)
        super().__init__(Agent(actor, critic, memory), warmup, seed)

    def episode(self, reward: Reward, number: int, rng: np.random.Generator) -> tuple[Counts, float]:
        """Prune once, look at what is left, and learn from it."""
        state = self._state(number)
        action = self._action(state, number, rng)
        counts = scaled(self.graph, action[self.of_group], self.target_flops)
        value = reward(counts)
        self.agent.memory.add(states=state, actions=action, next=state, rewards=value, goes_on=0.0)
        # ASSUME: as many steps as AMC takes in an episode, one for each action; the authors' loop is commented out.
        for _ in range(self.actions if number >= self.warmup else 0):
            self.agent.learn(rng)
        return counts, value

    def _state(self, number: int) -> Vector:
        """Kept shares of the network whose graph the agent sees, [G]: the base, or that of the episode before."""
        if self.options.state == CONSTANT or not number:
            return np.ones(len(self.graph.groups), np.float32)
        found: Vector = (np.array(self.tried[-1][0]) / self.graph.channels).astype(np.float32)
        return found

    def _action(self, state: Vector, number: int, rng: np.random.Generator) -> Vector:
        """Pruned shares, [A]: at random during the warm-up, then near those of the actor."""
        if number < self.warmup:
            return rng.uniform(0, MOST_AT_RANDOM, self.actions).astype(np.float32)
        mean = np.clip(self.agent.action(state), 0, 1)
        if self.options.exploration == MEAN:
            mean = np.full_like(mean, mean.mean())
        return noisy(mean, sigma(number, self.warmup), rng)
