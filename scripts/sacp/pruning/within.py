"""Which configurations of a space lie within a budget: known before anything is trained, as no weight matters.

A search that has too few of them fails when the base is trained. Planning asks here instead, where a second or two
passes (measured: 1 to 3 s for the paper's three networks, on one busy core, most of it for the tables of the space's
exact draws); an exact search takes up to a minute, and is not tried.
"""

import numpy as np
from numpy.typing import NDArray

from sacp.network.cost import Budget, Cost, costs_of_counts, terms
from sacp.network.graph import Graph
from sacp.pruning.space import BLOCK_ROWS, Space, Steps, counts_by_step, kept_counts

ROUNDING = 0.5  # more than the sums of doubles err by
MOST_DRAWN = 10_000_000  # rows: seconds, and a gigabyte


def narrowest(graph: Graph, levels: int) -> Cost:
    """Costs below which no configuration is: they fall with every step, so it is that of all last steps."""
    last = np.full((1, len(graph.groups)), levels - 1)
    flops, parameters = costs_of_counts(graph, kept_counts(last, graph, levels))
    return Cost(int(flops[0]), int(parameters[0]))


def largest(graph: Graph, space: Space) -> Cost:
    """Costs that no configuration of the space exceeds; the bound is not tight.

    A product of kept counts, k_i k_j, is at most the mean of k_i^2 C_j / C_i and k_j^2 C_i / C_j, and equal to it where
    both groups are pruned alike. The sum of these is largest where a dynamic programme over the groups says so.
    """
    counts = counts_by_step(graph, space.levels)
    return Cost(*(_largest(graph, space, counts, f"{kind}_pair", f"{kind}_channel") for kind in ("flops", "params")))


def _largest(graph: Graph, space: Space, counts: NDArray[np.int64], pair: str, channel: str) -> int:
    constant, channels = len(graph.groups), graph.channels
    linear, square = np.zeros(constant + 1), np.zeros(constant + 1)  # coefficients of k_i and k_i^2
    for coefficient, i, j in terms(graph, pair, channel):  # i <= j
        if j == constant:
            linear[i] += coefficient
        else:
            square[i] += coefficient * channels[j] / channels[i] / 2
            square[j] += coefficient * channels[i] / channels[j] / 2
    state = np.arange(len(space.ways[0]))
    most = np.where(state == 0, 0.0, -np.inf)
    for group, weight in enumerate(space.weights):
        own = linear[group] * counts[group] + square[group] * counts[group] ** 2
        most = np.max([own[t] + most[np.maximum(0, state - t * weight)] for t in space.allowed[group]], axis=0)
    return int(most[-1] + linear[constant] + ROUNDING)


def in_sample(graph: Graph, space: Space, budget: Budget, size: int, seed: int, wanted: int) -> int:
    """How many of the sample are within the budget, counted no further than to `wanted`.

    What is drawn is the beginning of what `Space.sample` draws, and all of it where that says too little; of more than
    `MOST_DRAWN` as many are taken for granted as are wanted.

    Args:
        graph: the network's graph, for costs.
        space: the space.
        budget: bounds on costs.
        size: rows of the sample.
        seed: of the sample.
        wanted: where counting ends.
    """
    rows = BLOCK_ROWS
    while rows < min(size, MOST_DRAWN) and 2 * size < space.count:
        if _number(graph, space, budget, space.draw(rows, seed)) >= wanted:
            return wanted
        rows *= 4
    if size > MOST_DRAWN:
        return wanted
    return min(wanted, _number(graph, space, budget, space.sample(size, seed)))


def _number(graph: Graph, space: Space, budget: Budget, steps: Steps) -> int:
    """Different configurations among these within the budget."""
    inside = [
        block[budget.holds(*costs_of_counts(graph, kept_counts(block, graph, space.levels)))]
        for block in np.split(steps, range(BLOCK_ROWS, len(steps), BLOCK_ROWS))
    ]
    return len(np.unique(np.concatenate(inside), axis=0))


def near_smallest(graph: Graph, space: Space, budget: Budget, wanted: int) -> int:
    """How many different networks of the space are within a budget that has no lower bounds, counted up to `wanted`.

    Costs fall and ratios rise with every step, so that the smallest network is reached from every other without
    leaving the budget or the space, and every other from it.
    """
    # Steps that keep a number of channels of their own, from the last on; place 0 is the smallest network.
    own = [np.flatnonzero(distinct)[::-1] for distinct in space.distinct(counts_by_step(graph, space.levels))]
    last, units = np.array([len(each) - 1 for each in own]), np.eye(len(own), dtype=np.int64)
    places, found = np.zeros((1, len(own)), np.int64), 0
    while len(places) and found < wanted:
        here = np.stack([each[place] for each, place in zip(own, places.T, strict=True)], axis=1)
        inside = budget.holds(*costs_of_counts(graph, kept_counts(here, graph, space.levels)))
        inside &= here @ np.array(space.weights, np.int64) >= len(space.ways[0]) - 1
        found += int(np.count_nonzero(inside))
        near = (places[inside, None] + units).reshape(-1, len(own))
        places = np.unique(near[(near <= last).all(axis=1)], axis=0)
    return min(wanted, found)
