"""The best configurations of the whole space for a score that is a sum over the groups, without a sample.

Maximise the sum over groups of values[g, step] under the threshold on the pruning ratio and, if asked for, bounds on
FLOPs and parameters. The threshold is linear: dynamic programming over the groups, with what is still to be removed as
its state, is exact. Costs are quadratic forms, whose terms couple groups that feed one another. They enter as a
relaxation (Everett 1963): with a price for each cost, score + price * (bound - cost) is a bound on the score of every
configuration within the budget, and its maximum is found by the same dynamic programming, with the steps of the groups
that later terms need in the state too. Then configurations are built up group by group; a beginning is dropped when, at
one of several prices, no completion reaches some level. Once enough of those within the budget reach that level,
nothing that was dropped can be better. So the result is exact with a budget too; the prices decide only how long the
list becomes.

Narrow groups keep equal numbers of channels at several steps, and configurations that keep equal numbers everywhere are
one network. Of such steps only the last is used: it meets the threshold wherever another does.
"""

import logging
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
from numpy.typing import NDArray

from sacp.errors import InputError, TooLargeError
from sacp.network.cost import Budget, Term, costs_of_counts, terms
from sacp.network.graph import Graph
from sacp.pruning.space import Space, Steps, counts_by_step, kept_counts

log = logging.getLogger(__name__)
MOST_STATES = 50_000_000  # entries of one group's table: 400 MB
MOST_ENTRIES = 100_000_000  # of all tables, for groups to be put in another order
MOST_LISTED = 500_000  # configurations that are listed at most
ROUNDS = 24  # of the search for a price
PRICES = (0.0, 0.6, 0.85, 1.0, 1.15, 1.6)  # at which a beginning is judged, as factors on the tightest price
WIDER, MUCH_WIDER = 1.15, 1.6  # factors on the depth of the list from one try to the next
SLACK = 1e-9  # rounding of sums of values
Values = NDArray[np.float64]


def best(
    values: Values, graph: Graph, space: Space, budget: Budget, found: int, distance: int = 1,
    enough: int | None = None, most: int = MOST_LISTED, states: int = MOST_STATES,
) -> tuple[Steps, Values]:  # fmt: skip
    """The `found` networks of the highest sums of values, best first: steps [n, G] and sums [n].

    Args:
        values: what each group adds at each step, equal for equal numbers of kept channels, [G, levels].
        graph: the network's graph, for costs.
        space: the space, with its threshold.
        budget: bounds on costs.
        found: how many to return; fewer if the space within the budget holds fewer.
        distance: groups in which any two of them differ at least; of those nearer, the better one stays.
        enough: return fewer than `found`, but no fewer than this, if more of them ask for a longer list.
        most: configurations that are listed at most.
        states: entries of one group's table at most.

    Raises:
        TooLargeError: the problem is too large to be solved exactly.
        InputError: nothing is within the budget.
    """
    problem = _Problem(values, graph, space, budget, states)
    relaxations = problem.relaxations()
    top = min(relaxed.top for relaxed in relaxations)
    # The first list is as short as rounding allows; each is a little deeper than the one before.
    depth = 1e-6 * (1 + abs(top))
    while True:
        level = top - depth if top - depth >= relaxations[0].floor else -np.inf
        listed = _listed(relaxations, level, most)
        chosen, sums = problem.inside(listed)
        sure = sums >= level
        chosen, sums = apart(chosen[sure], sums[sure], found, distance)
        if len(chosen) >= (enough or found) or level == -np.inf:
            break
        depth *= WIDER if 10 * len(listed) > found else MUCH_WIDER
    if not len(chosen):
        raise InputError(f"search.budget: no configuration of the space is within {budget}")
    log.info("exact search: %d listed, %d kept, scores %.6g to %.6g", len(listed), len(chosen), sums[0], sums[-1])
    return chosen, sums


def relaxed(
    values: Values, graph: Graph, space: Space, budget: Budget, states: int = MOST_STATES
) -> tuple[float, Steps]:
    """What no sum of values within the budget exceeds, by the relaxation alone, and configurations near it, [n, G].

    Raises:
        TooLargeError: its tables are too large.
    """
    problem = _Problem(values, graph, space, budget, states)
    relaxations = problem.relaxations()
    return min(each.top for each in relaxations), np.concatenate([each.maximiser() for each in relaxations])


def apart(steps: Steps, sums: Values, found: int, distance: int) -> tuple[Steps, Values]:
    """The `found` best, each in at least `distance` groups unlike those before it."""
    order = np.argsort(-sums, kind="stable")
    steps, sums = steps[order], sums[order]
    if distance > 1:
        left, kept = np.arange(len(steps)), list[int]()
        while len(left) and len(kept) < found:
            kept.append(int(left[0]))
            left = left[(steps[left] != steps[left[0]]).sum(axis=1) >= distance]
        steps, sums = steps[kept], sums[kept]
    return steps[:found], sums[:found]


@dataclass(frozen=True)
class _Problem:
    """What is maximised, and under which bounds."""

    values: Values
    graph: Graph
    space: Space
    budget: Budget
    states: int

    @cached_property
    def costs(self) -> list[list[Term]]:
        """FLOPs and parameters as terms in kept counts."""
        return [terms(self.graph, f"{kind}_pair", f"{kind}_channel") for kind in ("flops", "params")]

    @cached_property
    def bounds(self) -> list[tuple[float, float]]:
        """Least and most FLOPs, and parameters."""
        budget = self.budget
        most = [np.inf if limit is None else float(limit) for limit in (budget.flops, budget.parameters)]
        return [(float(budget.least_flops), most[0]), (float(budget.least_parameters), most[1])]

    def inside(self, steps: Steps) -> tuple[Steps, Values]:
        """Those within the budget, and their sums of values."""
        counts = kept_counts(steps, self.graph, self.space.levels)
        steps = steps[self.budget.holds(*costs_of_counts(self.graph, counts))]
        return steps, self.values[np.arange(len(self.values)), steps].sum(axis=1)

    def relaxations(self) -> list["_Relaxation"]:
        """Without prices first, then around the prices at which the bound is about the lowest."""
        tightest = self._tightest()
        every = list(product(*(PRICES if price else (0.0,) for price in tightest)))
        order = self._hubs_first(len(every))
        return [
            _Relaxation(self, [f * price for f, price in zip(factors, tightest, strict=True)], order)
            for factors in every
        ]

    def _hubs_first(self, number: int) -> list[int]:
        """Groups in an order in which those that most others pair with come first, if tables of this number allow it.

        A stream ties a stage together: once it is known, a bound on the rest is close.
        """
        pairs = {(i, j) for cost in self.costs for _, i, j in cost if i != j and len(self.values) not in (i, j)}
        groups, hubs, left = list(range(len(self.values))), list[int](), set(pairs)
        while left:
            hubs.append(max(groups, key=lambda group: sum(group in pair for pair in left)))
            left = {pair for pair in left if hubs[-1] not in pair}
        entries = self.space.levels ** len(hubs) * len(self.space.ways[0]) * len(groups) * number
        return [*hubs, *(group for group in groups if group not in hubs)] if entries <= MOST_ENTRIES else groups

    def _tightest(self) -> list[float]:
        """Prices found one after the other, by halving intervals: the bound is convex in each of them."""
        prices = [0.0, 0.0]
        limited = [number for number, (least, most) in enumerate(self.bounds) if least > 0 or most < np.inf]
        for number in limited * (2 if len(limited) > 1 else 1):
            prices[number] = 0.0
            excess = self._excess(prices, number, 0.0)
            if excess == 0:
                continue
            # The slope of the bound is the excess of its maximiser's cost, sign reversed.
            direction = 1.0 if excess > 0 else -1.0
            near, far = 0.0, direction * np.ptp(self.values) / max(1.0, self.bounds[number][direction > 0])
            for _ in range(ROUNDS):
                if direction * self._excess(prices, number, far) <= 0:
                    break
                near, far = far, far * 4
            for _ in range(ROUNDS):
                middle = (near + far) / 2
                if direction * self._excess(prices, number, middle) > 0:
                    near = middle
                else:
                    far = middle
            prices[number] = far
        return prices

    def _excess(self, prices: list[float], number: int, price: float) -> float:
        """How far the cost of a relaxation's maximiser lies above its bounds; below them it is negative."""
        changed = list(prices)
        changed[number] = price
        steps = _Relaxation(self, changed).maximiser()
        counts = kept_counts(steps, self.graph, self.space.levels)
        cost, (least, most) = float(costs_of_counts(self.graph, counts)[number][0]), self.bounds[number]
        return max(0.0, cost - most) + min(0.0, cost - least)


class _Relaxation:
    """Sums of values with costs priced, and their maximum for every state. Groups go by their place in `order`."""

    def __init__(self, problem: _Problem, prices: list[float], order: list[int] | None = None) -> None:
        space, graph = problem.space, problem.graph
        self.groups, self.levels, self.states = len(graph.groups), space.levels, problem.states
        self.order = order or list(range(self.groups))
        self.weights, self.need = [space.weights[group] for group in self.order], len(space.ways[0]) - 1
        place = {group: number for number, group in enumerate([*self.order, self.groups])}
        kept = counts_by_step(graph, self.levels)
        counts = np.vstack([kept[self.order].astype(float), np.ones((1, self.levels))])  # [G + 1, levels]
        self.constant = 0.0
        self.own = np.where(space.distinct(kept), problem.values, -np.inf)[self.order]  # [G, levels]
        self.pairs: list[dict[int, Values]] = [{} for _ in range(self.groups)]  # later: earlier -> [earlier, later]
        for price, cost, (least, most) in zip(prices, problem.costs, problem.bounds, strict=True):
            if not price:
                continue
            self.constant += price * (most if price > 0 else least)
            for coefficient, *pair in cost:
                i, j = sorted(place[group] for group in pair)
                if i == self.groups:
                    self.constant -= price * coefficient
                elif j in (i, self.groups):
                    self.own[i] -= price * coefficient * counts[i] * counts[j]
                else:
                    term = -price * coefficient * counts[i][:, None] * counts[j]
                    self.pairs[j][i] = self.pairs[j].get(i, 0) + term
        self.open = self._open_groups()
        self.tables = self._tables()
        self.top = float(self.tables[0][..., self.need].max()) + self.constant

    def _open_groups(self) -> list[tuple[int, ...]]:
        """For each group, the earlier ones whose steps its own terms or later ones need."""
        needed = [set(pairs) for pairs in self.pairs]
        return [
            tuple(e for e in range(group) if any(e in needed[later] for later in range(group, self.groups)))
            for group in range(self.groups + 1)
        ]

    def _tables(self) -> list[Values]:
        """Highest sum that the groups from each one on can add: [levels for each open group, need + 1]."""
        tables: list[Values] = [np.full(self.need + 1, -np.inf)]
        tables[0][0] = 0.0
        state = np.arange(self.need + 1)
        for group in reversed(range(self.groups)):
            before, after = self.open[group], self.open[group + 1]
            size = self.levels ** len(before) * (self.need + 1)
            if size > self.states:
                raise TooLargeError(
                    f"search: an exact search under this budget has tables of {size:.2g} entries, more than "
                    f"{self.states}; use 'search: local', fewer levels, or no budget"
                )
            table: Values = np.full((self.levels,) * len(before) + (self.need + 1,), -np.inf)
            for step in range(self.levels):
                later = tables[0]
                if group in after:
                    later = np.take(later, step, axis=after.index(group))
                # Axes of the groups that stay open; those that close here get one of length 1.
                shape = [*(self.levels if e in after else 1 for e in before), self.need + 1]
                reached = later.reshape(shape)[..., np.maximum(0, state - step * self.weights[group])]
                np.maximum(table, reached + self._added(group, step)[..., None], out=table)
            tables.insert(0, table)
        return tables

    def _added(self, group: int, step: int) -> Values:
        """What a group adds at a step, by the steps of the open groups: [levels or 1 for each of them]."""
        before = self.open[group]
        total = np.full((1,) * len(before), self.own[group, step])
        for earlier, term in self.pairs[group].items():
            shape = [1] * len(before)
            shape[before.index(earlier)] = self.levels
            total = total + term[:, step].reshape(shape)
        return total

    def added(self, group: int, step: int, steps: Steps) -> Values:
        """What a group adds at a step to partial configurations, [n, group] -> [n]."""
        before = self.open[group]
        added = np.broadcast_to(self._added(group, step), (self.levels,) * len(before))
        values: Values = np.broadcast_to(added[tuple(steps[:, e] for e in before)], len(steps))
        return values

    def ahead(self, group: int, step: int, steps: Steps, state: NDArray[np.int64]) -> Values:
        """Highest sum of the groups behind this one, at this step, for partial configurations [n, group] -> [n]."""
        index = tuple(np.full(len(steps), step) if e == group else steps[:, e] for e in self.open[group + 1])
        values: Values = self.tables[group + 1][(*index, state)]
        return values

    def maximiser(self) -> Steps:
        """A configuration of the highest bound, [1, G]."""
        steps, state = np.empty((1, 0), np.uint8), self.need
        for group in range(self.groups):
            totals = [
                self.added(group, step, steps)[0]
                + self.ahead(group, step, steps, np.array([max(0, state - step * self.weights[group])]))[0]
                for step in range(self.levels)
            ]
            step = int(np.argmax(totals))
            steps = np.hstack([steps, np.array([[step]], np.uint8)])
            state = max(0, state - step * self.weights[group])
        return self.in_order(steps)

    def in_order(self, steps: Steps) -> Steps:
        """Steps [n, G] by place as steps by number of the group."""
        return steps[:, np.argsort(self.order)]

    @cached_property
    def floor(self) -> float:
        """No bound of a configuration is lower."""
        low = np.where(self.own > -np.inf, self.own, np.inf).min(axis=1).sum() + self.constant
        return float(low + sum(term.min() for pairs in self.pairs for term in pairs.values()))


def _listed(relaxations: list[_Relaxation], level: float, most: int) -> Steps:
    """All configurations whose bound reaches the level in every relaxation, [n, G]."""
    first = relaxations[0]
    steps, state = np.empty((1, 0), np.uint8), np.array([first.need])
    sums = np.array([[relaxed.constant] for relaxed in relaxations])  # [R, n]
    slack = SLACK * (1 + max(abs(relaxed.top) for relaxed in relaxations))
    for group in range(first.groups):
        grown = []
        for step in range(first.levels):
            rows, left = np.arange(len(steps)), np.maximum(0, state - step * first.weights[group])
            totals = np.empty_like(sums)
            for number, relaxed in enumerate(relaxations):
                here = steps[rows]
                totals[number, rows] = sums[number, rows] + relaxed.added(group, step, here)
                bound = totals[number, rows] + relaxed.ahead(group, step, here, left[rows])
                rows = rows[(bound >= level - slack) & (bound > -np.inf)]
            new = np.full((len(rows), 1), step, np.uint8)
            grown.append((np.hstack([steps[rows], new]), left[rows], totals[:, rows]))
        steps, state = np.concatenate([g[0] for g in grown]), np.concatenate([g[1] for g in grown])
        sums = np.concatenate([g[2] for g in grown], axis=1)
        if len(steps) > most:
            raise TooLargeError(
                f"search: more than {most} configurations come so near to the best that none can be left "
                "out, and too few of them are within the budget; ask for fewer (search.found), a smaller "
                "search.distance, one budget instead of two, or a wider one"
            )
    return first.in_order(steps)
