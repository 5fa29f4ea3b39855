"""Bounds on the scores of all configurations within the limits, from prices for their costs.

With a price for each cost, score + price * (bound - cost) is a bound on the score of every configuration within the
limits (Everett 1963), and its maximum is found by going through the states from the last group to the first.
"""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sacp.solver.problem import Values
from sacp.solver.states import States


class Relaxation:
    """Sums of values with costs priced, and their maximum from every state on."""

    def __init__(self, states: States, prices: Sequence[float]) -> None:
        problem = states.problem
        self.states, self.need, self.prices = states, problem.need, np.array(prices, float)
        self.constant = 0.0
        for price, limit in zip(prices, problem.limits, strict=True):
            if price:
                bound = limit.most if price > 0 else limit.least
                assert bound is not None
                self.constant += price * (bound - limit.cost.constant)
        self.tables = self._tables()
        self.top = float(self.tables[0][0, self.need]) + self.constant

    def _own(self, place: int, rows: slice | int = slice(None)) -> Values:
        """What each place of a group adds to the priced sum, by the state before it, [n, places]."""
        own: Values = self.states.gained[place][rows] - np.tensordot(self.prices, self.states.added[place][:, rows], 1)
        return own

    def _tables(self) -> list[Values]:
        """Highest sums of the groups from each one on: [n, need + 1] before each group and at the end."""
        tables = [np.full((1, self.need + 1), -np.inf)]
        tables[0][0, 0] = 0.0
        state = np.arange(self.need + 1)
        for group in reversed(range(len(self.states.order))):
            own, following = self._own(group), self.states.next[group]
            table = np.full((len(own), self.need + 1), -np.inf)
            for place, less in enumerate(self.states.removed[group]):
                reached = tables[0][following[:, place]]
                if self.need:
                    reached = reached[:, np.maximum(0, state - less)]
                np.maximum(table, own[:, place, None] + reached, out=table)
            tables.insert(0, table)
        return tables

    def maximiser(self) -> NDArray[np.uint8]:
        """A configuration of the highest bound by its places, [1, G]."""
        found, state, need = [], 0, self.need
        for group, removed in enumerate(self.states.removed):
            behind = np.maximum(0, need - removed)
            following = self.states.next[group][state]
            place = int(np.argmax(self._own(group, state) + self.tables[group + 1][following, behind]))
            found.append(place)
            state, need = int(following[place]), int(behind[place])
        return self.states.in_groups(np.array([found], np.uint8))

    @cached_property
    def floor(self) -> float:
        """No bound of a configuration is lower."""
        return float(sum(self._own(group).min() for group in range(len(self.states.order))) + self.constant)
