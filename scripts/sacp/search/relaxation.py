"""Bounds on the scores of all configurations within the limits, from prices for their costs.

With a price for each cost, score + price * (bound - cost) is a bound on the score of every configuration within the
limits (Everett 1963), and its maximum is found by going through the states from the last group to the first.
"""

from collections.abc import Sequence
from functools import cached_property
from itertools import product

import numpy as np
from numpy.typing import NDArray

from sacp.search.problem import Values
from sacp.search.states import States

ROUNDS = 24  # of the search for a price
PRICES = (0.0, 0.6, 0.85, 1.0, 1.15, 1.6)  # at which a beginning is judged, as factors on the tightest price
FEW_PRICES = (0.85, 1.0, 1.15)  # where tables at all of these would be too large together
MOST_ENTRIES = 100_000_000  # of all tables: 800 MB


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
        values, added = self.states.problem.values[self.states.order[place]], self.states.added[place][:, rows]
        return values - np.tensordot(self.prices, added, 1)

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


def around(states: States) -> list[Relaxation]:
    """Without prices first, then around the prices at which the bound is about the lowest."""
    tightest = tightest_prices(states)
    entries = states.number * (states.problem.need + 1)
    factors = PRICES if entries * len(PRICES) ** sum(map(bool, tightest)) <= MOST_ENTRIES else FEW_PRICES
    every = product(*(factors if price else (0.0,) for price in tightest))
    return [Relaxation(states, [f * price for f, price in zip(each, tightest, strict=True)]) for each in every]


def tightest_prices(states: States) -> list[float]:
    """Prices found one after the other, by halving intervals: the bound is convex in each of them."""
    limits = states.problem.limits
    prices, span = [0.0] * len(limits), _span(states)
    for number in [*range(len(limits))] * (2 if len(limits) > 1 else 1):
        prices[number] = 0.0
        excess = _excess(states, prices, number, 0.0)
        if excess == 0:
            continue
        # The slope of the bound is the excess of its maximiser's cost, sign reversed.
        direction = 1.0 if excess > 0 else -1.0
        bound = limits[number].most if excess > 0 else limits[number].least
        near, far = 0.0, direction * span / max(1.0, float(bound or 0))
        for _ in range(ROUNDS):
            if direction * _excess(states, prices, number, far) <= 0:
                break
            near, far = far, far * 4
        for _ in range(ROUNDS):
            middle = (near + far) / 2
            if direction * _excess(states, prices, number, middle) > 0:
                near = middle
            else:
                far = middle
        prices[number] = far
    return prices


def _span(states: States) -> float:
    """How far values lie apart, over all groups."""
    return float(np.ptp(np.concatenate(states.problem.values)))


def _excess(states: States, prices: Sequence[float], number: int, price: float) -> float:
    """How far the cost of a relaxation's maximiser lies above its limit; below it, negative."""
    changed = list(prices)
    changed[number] = price
    limit = states.problem.limits[number]
    cost = int(limit.cost.of(Relaxation(states, changed).maximiser())[0])
    above = 0 if limit.most is None else max(0, cost - limit.most)
    return float(above + min(0, cost - limit.least))
