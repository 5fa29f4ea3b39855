"""DDPG, an agent whose actions are numbers: an actor that acts, a critic that says what an action is worth.

Lillicrap et al., Continuous control with deep reinforcement learning, ICLR 2016; sizes, rates and the baseline of the
reward are those of AMC's code (`lib/agent.py`).
"""

import copy
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri
from torch import Tensor, nn
from torch.nn import functional as F

UNITS = 300
ACTOR_LR, CRITIC_LR = 1e-4, 1e-3  # of Adam
SOFT = 0.01  # share of the networks that moves into their targets at each update
BATCH = 64  # transitions
BASELINE = 0.5  # weight of a batch's mean reward in the moving average that is taken off
SIGMA, DECAY = 0.5, 0.95  # of the noise: after the warm-up, and its factor from episode to episode
Vector = NDArray[np.float32]


class Actor(nn.Module):
    """A state [B, F] -> actions [B, A], each in [0, 1], or within the bounds of another function at the end."""

    def __init__(self, features: int, actions: int, last: Callable[[Tensor], Tensor] = torch.sigmoid) -> None:
        super().__init__()
        self.last = last
        self.layers = nn.Sequential(
            nn.Linear(features, UNITS), nn.ReLU(), nn.Linear(UNITS, UNITS), nn.ReLU(), nn.Linear(UNITS, actions)
        )

    def forward(self, state: Tensor) -> Tensor:
        """Actions for states."""
        return self.last(self.layers(state))


class Critic(nn.Module):
    """A state [B, F] and actions [B, A] -> what they are worth, [B, 1]."""

    def __init__(self, features: int, actions: int) -> None:
        super().__init__()
        self.of_state, self.of_action = nn.Linear(features, UNITS), nn.Linear(actions, UNITS)
        self.layers = nn.Sequential(nn.ReLU(), nn.Linear(UNITS, UNITS), nn.ReLU(), nn.Linear(UNITS, 1))

    def forward(self, state: Tensor, action: Tensor) -> Tensor:
        """The worth of actions in states."""
        worth: Tensor = self.layers(self.of_state(state) + self.of_action(action))
        return worth


class Memory:
    """The last transitions: state, action, the state after it, reward, and whether the episode went on."""

    def __init__(self, features: int, actions: int, limit: int) -> None:
        widths = {"states": features, "actions": actions, "next": features, "rewards": 1, "goes_on": 1}
        self.columns = {name: np.zeros((limit, width), np.float32) for name, width in widths.items()}
        self.seen, self.limit = 0, limit

    def add(self, **values: Vector | float) -> None:
        """Remember a transition in the place of the oldest one."""
        for name, column in self.columns.items():
            column[self.seen % self.limit] = values[name]
        self.seen += 1

    def draw(self, rng: np.random.Generator) -> dict[str, Tensor]:
        """A batch of transitions, drawn uniformly with repetition; by column, [BATCH, width]."""
        rows = rng.integers(0, min(self.seen, self.limit), BATCH)
        return {name: torch.from_numpy(column[rows]) for name, column in self.columns.items()}


class Agent:
    """An actor and a critic with their targets, a memory, and the moving average of the rewards; on the CPU."""

    def __init__(self, actor: nn.Module, critic: nn.Module, memory: Memory) -> None:
        self.actor, self.critic, self.memory = actor, critic, memory
        self.targets = nn.ModuleDict({"actor": copy.deepcopy(actor), "critic": copy.deepcopy(critic)})
        self.optimizers = {
            "actor": torch.optim.Adam(actor.parameters(), ACTOR_LR),
            "critic": torch.optim.Adam(critic.parameters(), CRITIC_LR),
        }
        self.average: float | None = None

    @torch.no_grad()
    def action(self, state: Vector) -> Vector:
        """What the actor does in a state, [F] -> [A]."""
        found: Vector = self.actor(torch.from_numpy(state)[None])[0].numpy()
        return found

    def learn(self, rng: np.random.Generator) -> None:
        """Take one step of critic and actor on a batch of what is remembered. No discount: rewards come at the end."""
        batch = self.memory.draw(rng)
        mean = float(batch["rewards"].mean())
        self.average = mean if self.average is None else self.average + BASELINE * (mean - self.average)
        with torch.no_grad():
            after = self.targets["critic"](batch["next"], self.targets["actor"](batch["next"]))
            wanted = batch["rewards"] - self.average + batch["goes_on"] * after
        self._step("critic", F.mse_loss(self.critic(batch["states"], batch["actions"]), wanted))
        self._step("actor", -self.critic(batch["states"], self.actor(batch["states"])).mean())
        with torch.no_grad():
            for name, network in (("actor", self.actor), ("critic", self.critic)):
                for own, target in zip(network.parameters(), self.targets[name].parameters(), strict=True):
                    target.lerp_(own, SOFT)

    def _step(self, name: str, loss: Tensor) -> None:
        optimizer = self.optimizers[name]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    def state(self) -> dict[str, Any]:
        """All that has been learned and seen: tensors and plain values."""
        return {
            "networks": [self.actor.state_dict(), self.critic.state_dict(), self.targets.state_dict()],
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
            "memory": {name: torch.from_numpy(column) for name, column in self.memory.columns.items()},
            "seen": self.memory.seen,
            "average": self.average,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` returned."""
        for network, values in zip((self.actor, self.critic, self.targets), state["networks"], strict=True):
            network.load_state_dict(values)
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
        for name, column in self.memory.columns.items():
            column[:] = state["memory"][name].numpy()
        self.memory.seen, self.average = state["seen"], state["average"]


def sigma(episode: int, warmup: int) -> float:
    """Deviation of the noise in an episode after the warm-up."""
    return float(SIGMA * DECAY ** (episode - warmup))


def noisy(mean: Vector, deviation: float, rng: np.random.Generator) -> Vector:
    """Draws of normal numbers around these means, of those in [0, 1] alone; means in [0, 1], any shape."""
    low, high = ndtr(-mean / deviation), ndtr((1 - mean) / deviation)
    drawn = mean + deviation * ndtri(low + rng.uniform(size=mean.shape) * (high - low))
    found: Vector = np.clip(drawn, 0, 1).astype(np.float32)
    return found
