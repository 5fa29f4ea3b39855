"""Problems that hold every configuration of another and have fewer states: what bounds them bounds the other too."""

from collections.abc import Collection
from dataclasses import replace

import numpy as np

from sacp.solver.costs import CostTables, Integers, Limit
from sacp.solver.problem import Problem, Values
from sacp.solver.states import States, TooManyStatesError
from sacp.solver.tables import Score

SHARE = 4  # of the groups that others depend on, one in so many gets planes at a time


def states_of(problem: Problem, most: int, entries: int) -> States:
    """States of a problem or, where they would be too many, of a wider one.

    Args:
        problem: what is searched.
        most: states and places of all groups together.
        entries: of a table with the states and what is still to be removed.
    """
    wider = problem
    while True:
        try:
            states = States(wider, most)
            break
        except TooManyStatesError as error:
            if wider.score.pairs or any(limit.cost.pairs for limit in wider.limits):
                wider = _simpler(wider, error.place)
            else:
                most = sum(wider.sizes)  # one state before each group
    unit = -(-states.number * (problem.need + 1) // max(1, entries))
    return states if unit <= 1 else States(in_units(wider, unit), most)


def in_units(problem: Problem, unit: int) -> Problem:
    """What is removed counted in larger units, each group's rounded up and the least sum of all too."""
    removed = tuple(-(-own // unit) for own in problem.removed)
    return replace(problem, removed=removed, need=-(-problem.need // unit))


def _simpler(problem: Problem, place: int) -> Problem:
    """Planes in place of some of the pairs that meet over a place, or of any: of those whose planes are nearest."""
    every = {*problem.score.pairs, *(pair for limit in problem.limits for pair in limit.cost.pairs)}
    pairs = {pair for pair in every if pair[0] <= place < pair[1]} or every
    errors = dict.fromkeys((i for i, _ in pairs), 0.0)
    for i, j in pairs & problem.score.pairs.keys():
        own = problem.score.pairs[i, j]
        errors[i] += float(np.ptp(own - np.add(*_means(own)))) / (problem.score.span or 1.0)
    for limit in problem.limits:
        for i, j in pairs & limit.cost.pairs.keys():
            table = limit.cost.pairs[i, j]
            errors[i] += float(np.ptp(table - sum(_plane(table)))) / max(1, limit.most or limit.least)
    nearest = sorted(errors, key=lambda group: (errors[group], group))[: -(-len(errors) // SHARE)]
    chosen = {(i, j) for i, j in pairs if i in nearest}
    limits = tuple(with_planes(limit, chosen) for limit in problem.limits)
    return replace(problem, score=above(problem.score, chosen), limits=limits)


def above(score: Score, chosen: Collection[tuple[int, int]]) -> Score:
    """A score that is nowhere below this one, with sums in place of the tables of some pairs of groups."""
    unary, pairs = [table.copy() for table in score.unary], dict(score.pairs)
    for i, j in score.pairs.keys() & chosen:
        table = pairs.pop((i, j))
        first, second = _means(table)
        unary[i] += first[:, 0] + (table - first - second).max()
        unary[j] += second[0]
    return replace(score, unary=tuple(unary), pairs=pairs)


def with_planes(limit: Limit, chosen: Collection[tuple[int, int]]) -> Limit:
    """A limit that holds wherever this one does, with sums in place of the tables of some pairs of groups.

    A sum touches its table where one of the two groups is not pruned (McCormick 1976, for products). As far as it lies
    above or below the table elsewhere, the limit is moved.
    """
    cost, least, most = limit.cost, limit.least, limit.most
    unary, pairs = [table.copy() for table in cost.unary], dict(cost.pairs)
    for i, j in cost.pairs:
        if (i, j) in chosen:
            table = pairs.pop((i, j))
            first, second = _plane(table)
            unary[i] += first[:, 0]
            unary[j] += second[0]
            error = table - first - second
            least -= int(error.max())
            most = None if most is None else most - int(error.min())
    return Limit(CostTables(cost.constant, tuple(unary), pairs), least, most)


def _means(table: Values) -> tuple[Values, Values]:
    """Two parts whose sum is the nearest to a table, by least squares, [n, 1] and [1, m]."""
    rows: Values = table.mean(axis=1, keepdims=True)
    columns: Values = table.mean(axis=0, keepdims=True) - table.mean()
    return rows, columns


def _plane(table: Integers) -> tuple[Integers, Integers]:
    """Two parts whose sum is a table's first row and first column, [n, 1] and [1, m]."""
    return table[:, :1], table[:1] - table[0, 0]
