"""Which beginnings no longer matter where only the best configuration is asked for.

Two beginnings in one state have the same completions. So of two, one that costs no more and has no lower a sum makes
the other needless.
"""

import numpy as np
from numpy.typing import NDArray

from sacp.solver.beginnings import Beginnings
from sacp.solver.costs import Integers
from sacp.solver.states import States

BINS = 64  # of all costs but the first, for comparing beginnings


def undominated(states: States, grown: Beginnings, place: int) -> NDArray[np.int64]:
    """Rows of the beginnings that no other in the same state makes needless, ascending."""
    number = len(grown)
    if number < 2 or not states.problem.limits:
        return np.arange(number)
    costs, free = _compared(states, grown, place)
    group = np.unique(np.stack([grown.state, grown.need], axis=1), axis=0, return_inverse=True)[1].ravel()
    order = np.lexsort((-grown.sums, costs[:, 0], group))
    # A maximum that runs over rows ordered by group and cost; a group's numbers are above those of all before it.
    rank = group * number + np.unique(grown.sums, return_inverse=True)[1].ravel()
    highest, lowest = _bins(costs[:, 1:], group)
    needless = np.zeros(number, bool)
    for edge in np.unique(lowest):
        is_below = (highest < edge) if costs.shape[1] > 1 else np.ones(number, bool)
        best = np.maximum.accumulate(np.where(free & is_below, rank, -1)[order])
        needless[order[1:]] |= (best[:-1] >= rank[order[1:]]) & (lowest[order[1:]] == edge)
    return np.flatnonzero(~needless)


def _compared(states: States, grown: Beginnings, place: int) -> tuple[Integers, NDArray[np.bool_]]:
    """Costs by which beginnings are compared, [n, L], and which are above the least costs, whatever follows, [n]."""
    costs, free = grown.costs.copy(), np.ones(len(grown), bool)
    for number, limit in enumerate(states.problem.limits):
        so_far = grown.costs[:, number] + limit.cost.constant
        free &= so_far + states.least[place][grown.state, number] >= limit.least
        if limit.most is None:
            costs[:, number] = 0
        else:  # below the limit, whatever follows, a cost no longer matters
            safe = so_far + states.most[place][grown.state, number] <= limit.most
            costs[safe, number] = np.iinfo(np.int64).min
    return costs, free


def _bins(costs: Integers, group: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The highest and the lowest of the bins that costs [n, any] fall into, of about equal size in each group, [n]."""
    sizes = np.bincount(group)
    starts = np.cumsum(sizes) - sizes
    bins = np.zeros((len(costs), max(1, costs.shape[1])), np.int64)
    for number, cost in enumerate(costs.T):
        order = np.lexsort((cost, group))
        bins[order, number] = (np.arange(len(cost)) - starts[group[order]]) * BINS // sizes[group[order]]
    return bins.max(axis=1), bins.min(axis=1)
