"""Episodes of an agent: it proposes kept channels, is told what they are worth, and learns; the best are kept."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sacp.baselines.ddpg import Agent
from sacp.compute.resume import Sidecar, stop_requests
from sacp.progress import Progress
from sacp.seeds import derive

Counts = NDArray[np.int64]  # kept channels of every group, [G]
Reward = Callable[[Counts], float]
PART = "episodes"  # of a saved state
MEMORY = 100  # episodes of AMC's length that an agent remembers


class Episodes(ABC):
    """An agent and what it has tried: a function of the seed, whether or not it was stopped on the way."""

    def __init__(self, agent: Agent, warmup: int, seed: int) -> None:
        """Take an agent, the episodes in which it acts at random, and the seed of all that is drawn in episodes."""
        self.agent, self.warmup, self.seed = agent, warmup, seed
        self.tried: list[tuple[list[int], float]] = []  # kept channels of an episode, and their reward

    def run(self, reward: Reward, episodes: int, sidecar: Sidecar) -> tuple[Counts, float]:
        """The best kept channels of so many episodes, [G], and their reward; the first of equal ones.

        Args:
            reward: of kept channels, in 0..1; asked once an episode.
            episodes: their number.
            sidecar: where the state is kept, after any episode.

        Raises:
            Stopped: a signal asked for an end; the state was saved.
        """
        if PART in sidecar.state:
            self.restore(sidecar.state[PART])
        progress = Progress("episodes", episodes - len(self.tried))
        with stop_requests() as stop:
            while len(self.tried) < episodes:
                number = len(self.tried)
                counts, value = self.episode(
                    reward, number, np.random.default_rng(derive(self.seed, "episode", number))
                )
                self.tried.append((counts.tolist(), value))
                progress.advance(1)
                sidecar.pause(stop, PART, self.state)
        best, most = max(self.tried, key=lambda each: each[1])
        return np.array(best, np.int64), most

    @abstractmethod
    def episode(self, reward: Reward, number: int, rng: np.random.Generator) -> tuple[Counts, float]:
        """Propose kept channels, learn from their reward, and return both."""

    def state(self) -> dict[str, Any]:
        """What has to be saved: tensors and plain values."""
        return {"agent": self.agent.state(), "tried": self.tried}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        self.agent.restore(state["agent"])
        self.tried = [(list(counts), value) for counts, value in state["tried"]]
