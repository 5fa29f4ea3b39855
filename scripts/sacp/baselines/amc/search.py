"""The episodes of AMC: the agent walks through the groups, and learns one step for each of them."""

import numpy as np
import torch

from sacp.baselines.amc.walk import FEATURES, Walk
from sacp.baselines.ddpg import Actor, Agent, Critic, Memory, Vector, noisy, sigma
from sacp.baselines.episodes import MEMORY, Counts, Episodes, Reward
from sacp.seeds import derive


class Search(Episodes):
    """An agent whose actions are shares of the groups, one after the other."""

    def __init__(self, walk: Walk, warmup: int, seed: int) -> None:
        """Take the way through the groups, the episodes in which shares are drawn at random, and the seed."""
        self.walk = walk
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive(seed, "agent"))
            actor, critic = Actor(FEATURES, 1), Critic(FEATURES, 1)
        super().__init__(Agent(actor, critic, Memory(FEATURES, 1, MEMORY * len(walk.steps))), warmup, seed)

    def episode(self, reward: Reward, number: int, rng: np.random.Generator) -> tuple[Counts, float]:
        """Walk once through the groups, look at what is left, and learn from it."""
        counts, share, states, actions = self.walk.start(), 1.0, list[Vector](), list[Vector]()
        for step, group in enumerate(self.walk.steps):
            states.append(self.walk.state(step, counts, share))
            actions.append(self._action(states[-1], number, rng))
            counts[group] = self.walk.take(step, float(actions[-1][0]), counts)
            share = counts[group] / self.walk.graph.channels[group]
        value = reward(counts)
        # What is remembered is the action as it was asked for, as in the authors' code, with the end's reward.
        for step, (state, action) in enumerate(zip(states, actions, strict=True)):
            is_last = step + 1 == len(states)
            after = state if is_last else states[step + 1]  # behind the last step nothing is expected
            self.agent.memory.add(states=state, actions=action, next=after, rewards=value, goes_on=float(not is_last))
            if number >= self.warmup:
                self.agent.learn(rng)
        return counts, value

    def _action(self, state: Vector, number: int, rng: np.random.Generator) -> Vector:
        """A share at random during the warm-up, then one near the actor's."""
        if number < self.warmup:
            return rng.uniform(size=1).astype(np.float32)
        return noisy(self.agent.action(state), sigma(number, self.warmup), rng)
