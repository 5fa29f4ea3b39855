"""Beginnings of configurations, grown group by group."""

from dataclasses import dataclass, fields
from typing import Self

import numpy as np
from numpy.typing import NDArray

from sacp.solver.costs import Integers
from sacp.solver.problem import Values
from sacp.solver.relaxation import Relaxation
from sacp.solver.states import States

SLACK = 1e-9  # rounding of sums of values


@dataclass(frozen=True)
class Beginnings:
    """Places of the first groups, and what follows from them."""

    places: NDArray[np.uint8]  # [n, groups so far]
    state: NDArray[np.int64]  # [n]
    need: Integers  # what is still to be removed, [n]
    costs: Integers  # without the constants, [n, L]
    sums: Values  # of values, [n]

    def at(self, rows: NDArray[np.int64]) -> Self:
        """Some of them."""
        return type(self)(*(getattr(self, field.name)[rows] for field in fields(self)))

    def __len__(self) -> int:
        return len(self.sums)


def start(states: States) -> Beginnings:
    """The empty beginning."""
    zero = np.zeros(1, np.int64)
    costs = np.zeros((1, len(states.problem.limits)), np.int64)
    return Beginnings(np.zeros((1, 0), np.uint8), zero, zero + states.problem.need, costs, np.zeros(1))


def longer(
    relaxations: list[Relaxation], grown: Beginnings, group: int, level: float, within: bool = False
) -> tuple[Beginnings, Values]:
    """Beginnings with one group more whose bounds reach a level at all prices, and their bounds, [n].

    With `within`, those that no completion brings within each limit by itself are dropped as well.
    """
    states = relaxations[0].states
    following, removed = states.next[group][grown.state], states.removed[group]  # [n, places]
    places, rows = (part.ravel() for part in np.indices(following.T.shape))
    state, need = following[rows, places].astype(np.int64), np.maximum(0, grown.need[rows] - removed[places])
    costs = grown.costs[rows] + states.added[group][:, grown.state[rows], places].T
    sums = grown.sums[rows] + states.gained[group][grown.state[rows], places]
    able = _able(states, costs, state, group + 1) if within else np.ones(len(rows), bool)
    left, bounds = np.flatnonzero(able), np.full(len(rows), np.inf)
    for relaxed in relaxations:
        reached = sums[left] - costs[left] @ relaxed.prices + relaxed.constant
        bounds[left] = np.minimum(bounds[left], reached + relaxed.tables[group + 1][state[left], need[left]])
        left = left[(bounds[left] >= level) & (bounds[left] > -np.inf)]
    chosen = np.hstack([grown.places[rows[left]], places[left, None].astype(np.uint8)])
    return Beginnings(chosen, state[left], need[left], costs[left], sums[left]), bounds[left]


def _able(states: States, costs: Integers, state: NDArray[np.int64], place: int) -> NDArray[np.bool_]:
    """Which beginnings can still be within each limit, [n]."""
    able = np.ones(len(state), bool)
    for number, limit in enumerate(states.problem.limits):
        so_far = costs[:, number] + limit.cost.constant
        able &= so_far + states.most[place][state, number] >= limit.least
        if limit.most is not None:
            able &= so_far + states.least[place][state, number] <= limit.most
    return able
