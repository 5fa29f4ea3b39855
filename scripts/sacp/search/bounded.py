"""A good configuration within a budget, and a bound on all others, where an exact search is too large.

Found: at a price for each cost, one group after the other takes its best step, until none changes; the price is that at
which the budget is just held. Then moves along the bound, of one group or of two at once, improve what is found.

Bound: each product of two kept counts is replaced by a plane below it, U_j k_i + U_i k_j - U_i U_j with U the unpruned
counts (McCormick 1976), and the price of the costs is chosen so that the bound is lowest.

Where the tables of the exact search's relaxation are small enough, it gives a tighter bound, and better starts.
"""

import logging
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sacp.errors import InputError, TooLargeError
from sacp.network.cost import Budget, Term, costs_of_counts, terms
from sacp.network.graph import Graph
from sacp.pruning.space import Space, Steps, counts_by_step, kept_counts
from sacp.search import exact

log = logging.getLogger(__name__)
MOST_LISTED = 100_000  # configurations of an exact search that is tried first
MOST_STATES = 1_000_000  # entries of one group's table in it
HALVINGS = 40  # of the interval of a price
MOST_MOVES = 10_000
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Found:
    """A configuration [1, G], its sum of values, and what no other within the budget exceeds: equal where solved."""

    steps: Steps
    value: float
    bound: float


def best(values: Values, graph: Graph, space: Space, budget: Budget) -> Found:
    """The best configuration within a budget, or a good one with a bound on the best.

    Args:
        values: what each group adds at each step, equal for equal numbers of kept channels, [G, levels].
        graph: the network's graph, for costs.
        space: the space; a threshold on the pruning ratio is held as well.
        budget: upper bounds on costs.

    Raises:
        InputError: nothing is within the budget.
    """
    try:
        steps, sums = exact.best(values, graph, space, budget, found=1, most=MOST_LISTED, states=MOST_STATES)
        return Found(steps, float(sums[0]), float(sums[0]))
    except TooLargeError as error:
        log.info("%s", error)
    problem = _Problem.of(values, graph, space, budget)
    bound, starts = problem.bound(), [problem.priced()]
    try:
        relaxed, near = exact.relaxed(values, graph, space, budget, MOST_STATES)
        bound = min(bound, relaxed)
        starts += [steps for steps in near.astype(np.int64) if problem.is_inside(steps)]
    except TooLargeError as error:
        log.info("%s", error)
    chosen = max((problem.improved(start) for start in starts), key=problem.value)
    found = Found(chosen[None].astype(np.uint8), problem.value(chosen), bound)
    log.info("search: found %.6g, and nothing within the budget is above %.6g", found.value, found.bound)
    return found


@dataclass(frozen=True)
class _Problem:
    """Sums of values, and costs as quadratic forms of kept counts k: k Q k + a k + c, one for each limited cost."""

    values: Values  # [G, levels]
    counts: Values  # kept channels at each step, [G, levels]
    quadratic: Values  # Q, symmetric, [L, G, G]
    linear: Values  # a, [L, G]
    constant: Values  # c, [L]
    limits: Values  # [L]
    weights: NDArray[np.int64]  # of the groups' steps in the pruning ratio, [G]
    need: int  # sum of weighted steps, at least
    graph: Graph
    space: Space
    budget: Budget

    @classmethod
    def of(cls, values: Values, graph: Graph, space: Space, budget: Budget) -> "_Problem":
        """The problem, with the costs that have a limit."""
        groups = len(graph.groups)
        counts = counts_by_step(graph, space.levels).astype(float)
        limits = {"flops": budget.flops, "params": budget.parameters}
        limited = {kind: limit for kind, limit in limits.items() if limit is not None}
        forms = [_form(terms(graph, f"{kind}_pair", f"{kind}_channel"), groups) for kind in limited]
        quadratic, linear, constant = (np.stack(parts) for parts in zip(*forms, strict=True))
        return cls(
            values, counts, quadratic, linear, constant, np.array([*limited.values()], float),
            np.array(space.weights), len(space.ways[0]) - 1, graph, space, budget,
        )  # fmt: skip

    def value(self, steps: NDArray[np.int64]) -> float:
        """Sum of values, [G] -> number."""
        return float(self.values[np.arange(len(steps)), steps].sum())

    def cost(self, kept: Values) -> Values:
        """Limited costs at kept counts [G], [L]."""
        costs: Values = np.einsum("g,lgh,h->l", kept, self.quadratic, kept) + self.linear @ kept + self.constant
        return costs

    def is_inside(self, steps: NDArray[np.int64]) -> bool:
        """Whether a configuration is within the budget and the space; exact, in integers."""
        counts = kept_counts(steps[None].astype(np.uint8), self.graph, self.space.levels)
        return bool(self.budget.holds(*costs_of_counts(self.graph, counts))[0] and steps @ self.weights >= self.need)

    def priced(self) -> NDArray[np.int64]:
        """The configuration at the lowest price at which it is within the budget, [G].

        Raises:
            InputError: not even the narrowest network is within it.
        """
        last = np.full(len(self.values), self.space.levels - 1)
        if not self.is_inside(last):
            raise InputError(f"search.budget: no configuration of the space is within {self.budget}")
        low, high, found = 0.0, 1.0, last
        while not self.is_inside(steps := self._ascended(high)) and high < 1e12:
            low, high = high, high * 4
        found = steps if self.is_inside(steps) else last
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            steps = self._ascended(middle)
            if self.is_inside(steps):
                high, found = middle, max(found, steps, key=self.value)
            else:
                low = middle
        return found

    def _ascended(self, price: float) -> NDArray[np.int64]:
        """Best steps of one group after the other, at a price for the costs as shares of their limits, [G]."""
        prices = price / np.maximum(self.limits, 1)
        quadratic, linear = np.tensordot(prices, self.quadratic, 1), prices @ self.linear
        steps = np.zeros(len(self.values), np.int64)
        kept = self.counts[:, 0].copy()
        for _ in range(MOST_MOVES):
            before = steps.copy()
            for group in range(len(steps)):
                others = 2 * (quadratic[group] @ kept - quadratic[group, group] * kept[group]) + linear[group]
                own = self.counts[group]
                steps[group] = np.argmax(self.values[group] - own * others - quadratic[group, group] * own**2)
                kept[group] = own[steps[group]]
            if (steps == before).all():
                break
        return steps

    def improved(self, steps: NDArray[np.int64]) -> NDArray[np.int64]:
        """Move to the best neighbour, one or two groups a step wider or narrower, as long as that is better, [G]."""
        steps, groups = steps.copy(), np.arange(len(steps))
        for _ in range(MOST_MOVES):
            kept = self.counts[groups, steps]
            slope = 2 * self.quadratic @ kept + self.linear  # [L, G]
            side = np.repeat([-1, 1], len(steps))
            owner = np.tile(groups, 2)
            there = steps[owner] + side
            at = np.clip(there, 0, self.space.levels - 1)
            width = self.counts[owner, at] - kept[owner]
            gain = np.where(there == at, self.values[owner, at] - self.values[owner, steps[owner]], -np.inf)
            cost = slope[:, owner] * width + self.quadratic[:, owner, owner] * width**2  # [L, moves]
            room = self.limits - self.cost(kept)
            left = steps @ self.weights - self.need
            both = gain[:, None] + gain
            together = cost[:, :, None] + cost[:, None, :]
            together += 2 * self.quadratic[:, owner][:, :, owner] * width[:, None] * width
            removed: Values = side * self.weights[owner].astype(float)
            fits = (together <= room[:, None, None]).all(axis=0) & (removed[:, None] + removed >= -left)
            both = np.where(fits & (owner[:, None] != owner), both, -np.inf)
            alone = np.where((cost <= room[:, None]).all(axis=0) & (removed >= -left), gain, -np.inf)
            first, second = np.unravel_index(int(np.argmax(both)), both.shape)
            moves = [int(first), int(second)] if both[first, second] > alone.max() else [int(np.argmax(alone))]
            moved = steps.copy()
            moved[owner[moves]] += side[moves]
            if self.value(moved) <= self.value(steps) + 1e-12 * abs(self.value(steps)) or not self.is_inside(moved):
                break
            steps = moved
        return steps

    def bound(self) -> float:
        """What no sum of values within the budget exceeds, from planes below the costs."""
        whole = self.counts[:, 0]
        # k_i k_j >= U_j k_i + U_i k_j - U_i U_j, and so of squares.
        slopes = 2 * self.quadratic @ whole + self.linear  # [L, G]
        rest = self.limits - self.constant + np.einsum("g,lgh,h->l", whole, self.quadratic, whole)

        def at(prices: Values) -> tuple[float, Values]:
            priced = self.values - (prices @ slopes)[:, None] * self.counts
            chosen = priced.argmax(axis=1)
            kept = self.counts[np.arange(len(chosen)), chosen]
            return float(priced.max(axis=1).sum() + prices @ rest), rest - slopes @ kept

        prices, lowest = np.zeros(len(self.limits)), at(np.zeros(len(self.limits)))[0]
        for _ in range(4 if len(prices) > 1 else 1):
            for number in range(len(prices)):
                low, high = 0.0, 1.0 / max(1.0, self.limits[number])
                trial = prices.copy()
                for _ in range(HALVINGS):
                    trial[number] = high
                    if at(trial)[1][number] >= 0:
                        break
                    low, high = high, high * 4
                for _ in range(HALVINGS):
                    trial[number] = (low + high) / 2
                    low, high = (trial[number], high) if at(trial)[1][number] < 0 else (low, trial[number])
                prices[number] = high
                lowest = min(lowest, at(prices)[0])
        return lowest


def _form(cost: list[Term], groups: int) -> tuple[Values, Values, float]:
    """Terms as a symmetric matrix, a vector and a number."""
    quadratic, linear, constant = np.zeros((groups, groups)), np.zeros(groups), 0.0
    for coefficient, i, j in cost:
        if i == j == groups:
            constant += coefficient
        elif groups in (i, j):
            linear[min(i, j)] += coefficient
        else:
            quadratic[i, j] += coefficient / 2
            quadratic[j, i] += coefficient / 2
    return quadratic, linear, constant
