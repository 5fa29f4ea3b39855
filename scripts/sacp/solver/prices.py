"""Prices for costs at which beginnings of configurations are judged.

Around the prices of the lowest bound on all configurations, other prices give lower bounds on those that begin with
more or less of a cost than others.
"""

from collections.abc import Sequence
from itertools import product

import numpy as np
from scipy.optimize import linprog

from sacp.solver.problem import Values
from sacp.solver.relaxation import Relaxation
from sacp.solver.states import States

ROUNDS = 24  # of the search for a price by halving
PRICES = (0.0, 0.6, 0.85, 1.0, 1.15, 1.6)  # at which a list is made, as factors on the tightest prices
FACTORS = (0.4, 0.7, 0.85, 1.0, 1.15, 1.4, 2.0)  # on the prices of the lowest bound
FEW_FACTORS = (0.85, 1.0, 1.15)  # where tables at all of these would be too large together
MOST_ENTRIES = 100_000_000  # of all tables: 800 MB
MOST_RELAXATIONS = 64
MOST_CUTS = 60  # of the bound as a function of the prices
NEAR = 1e-7  # share of the lowest bound that prices may miss it by
HIGHEST = 1e3  # price of all that a limit allows, in units of all that values can change


def around(states: States) -> list[Relaxation]:
    """Without prices first, then around those of a list."""
    return _at_factors(states, tightest_prices(states), PRICES)


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
    """How far values lie apart, over all groups, and over all pairs."""
    score = states.problem.score
    own, pairs = np.concatenate(score.unary), [table.ravel() for table in score.pairs.values()]
    return float(np.ptp(own)) + (float(np.ptp(np.concatenate(pairs))) if pairs else 0.0)


def _excess(states: States, prices: Sequence[float], number: int, price: float) -> float:
    """How far the cost of a relaxation's maximiser lies above its limit; below it, negative."""
    changed = list(prices)
    changed[number] = price
    limit = states.problem.limits[number]
    cost = int(limit.cost.of(Relaxation(states, changed).maximiser())[0])
    above = 0 if limit.most is None else max(0, cost - limit.most)
    return float(above + min(0, cost - limit.least))


def nearby(states: States) -> list[Relaxation]:
    """At the prices of the lowest bound, and around them."""
    return _at_factors(states, lowest_bound_prices(states), FACTORS)


def _at_factors(states: States, prices: Sequence[float], factors: Sequence[float]) -> list[Relaxation]:
    number = len(factors) ** sum(map(bool, prices))
    if number > MOST_RELAXATIONS or states.number * (states.problem.need + 1) * number > MOST_ENTRIES:
        factors = FEW_FACTORS
    every = product(*(factors if price else (0.0,) for price in prices))
    return [Relaxation(states, [f * price for f, price in zip(each, prices, strict=True)]) for each in every]


def lowest_bound_prices(states: States) -> list[float]:
    """Prices at which the bound on all configurations is about the lowest, by cutting planes (Kelley 1960).

    The bound is the highest of planes in the prices, one for each configuration. The plane of the maximiser at some
    prices is added to those that are known, and the next prices are where the highest of these is lowest.
    """
    limits, units = states.problem.limits, _units(states)
    best, prices, found, planes, heights = np.inf, np.zeros(len(limits)), np.zeros(len(limits)), [], []
    for _ in range(MOST_CUTS if limits else 0):
        relaxed = Relaxation(states, list(prices))
        if relaxed.top < best:
            best, found = relaxed.top, prices
        chosen = relaxed.maximiser()
        # A price above 0 is one for what is left below the most, a price below 0 for what lies above the least.
        costs = states.problem.costs(chosen)[0]
        below = [0 if limit.most is None else limit.most - cost for limit, cost in zip(limits, costs, strict=True)]
        above = [cost - limit.least for limit, cost in zip(limits, costs, strict=True)]
        planes.append([*(np.array([*below, *above]) * np.tile(units, 2)), -1.0])
        heights.append(-states.problem.sums(chosen)[0])
        solution = _lowest(states, np.array(planes), np.array(heights))
        if solution is None or best - solution[-1] <= NEAR * (1 + abs(best)):
            break
        prices = (solution[: len(limits)] - solution[len(limits) : -1]) * units
    return [float(price) for price in found]


def _lowest(states: States, planes: Values, heights: Values) -> Values | None:
    """Prices in their units, for the most and for the least of each limit, and the lowest height over planes."""
    most = [(0.0, 0.0 if limit.most is None else HIGHEST) for limit in states.problem.limits]
    least = [(0.0, HIGHEST if limit.least > 0 else 0.0) for limit in states.problem.limits]
    objective = np.zeros(planes.shape[1])
    objective[-1] = 1.0
    solved = linprog(objective, planes, heights, bounds=[*most, *least, (None, None)])
    if not solved.success:
        return None
    return np.array(solved.x, np.float64)


def _units(states: States) -> Values:
    """Prices at which all that a limit allows costs as much as values can change, [L]."""
    span = states.problem.score.span or 1.0
    bounds = [limit.most or limit.least for limit in states.problem.limits]
    units: Values = span / np.maximum(1.0, np.array(bounds, float))
    return units
