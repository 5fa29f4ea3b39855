"""Local search: better configurations next to good ones, for scores that no exact search is known for."""

import logging

import numpy as np
from numpy.typing import NDArray

from sacp.network.cost import Budget, costs_of_counts
from sacp.network.graph import Graph
from sacp.pruning.space import Space, Steps, kept_counts
from sacp.search.scorers import Scorer, score_all
from sacp.solver.moves import moves

log = logging.getLogger(__name__)
MOST_ROUNDS = 100
NEIGHBOURS_AT_A_TIME = 1 << 20


def climb(
    starts: Steps, scorer: Scorer, graph: Graph, space: Space, budget: Budget
) -> tuple[Steps, NDArray[np.float64]]:
    """Move each configuration to its best neighbour as long as that is better.

    A neighbour has one step more or less in one group, or one more in one group and one less in another: moves along a
    bound. The result is a local optimum for each start, not the best of the space.

    Args:
        starts: configurations within the space and the budget, [n, G].
        scorer: what is climbed.
        graph: the network's graph, for costs.
        space: the space, with its threshold.
        budget: bounds on costs.

    Returns:
        Distinct configurations [<= n, G] and their scores, best first.
    """
    changes, own = moves(starts.shape[1]), _Places(space)
    steps: Steps = np.unique(starts, axis=0)
    scores = score_all(scorer, steps).astype(np.float64)
    open_rows, rounds = np.arange(len(steps)), 0
    while len(open_rows) and rounds < MOST_ROUNDS:
        rounds += 1
        moved = []
        size = max(1, NEIGHBOURS_AT_A_TIME // len(changes))
        for part in np.split(open_rows, range(size, len(open_rows), size)):
            near, owner = own.beside(steps[part], changes)
            allowed = _allowed(near, graph, space, budget)
            owner, inside = owner[allowed], near[allowed]
            found = score_all(scorer, inside)
            order = np.lexsort((-found, owner))
            first = order[np.unique(owner[order], return_index=True)[1]]  # each owner's best neighbour
            better = first[found[first] > scores[part[owner[first]]]]
            rows = part[owner[better]]
            steps[rows], scores[rows] = inside[better], found[better]
            moved.append(rows)
        steps, kept = np.unique(steps, axis=0, return_index=True)
        scores = scores[kept]
        open_rows = np.flatnonzero(np.isin(kept, np.concatenate(moved)))
    log.info("local search: %d rounds, best score %.6g", rounds, scores.max())
    order = np.argsort(-scores, kind="stable")
    return steps[order], scores[order]


class _Places:
    """The steps of each group that the space has, by their places."""

    def __init__(self, space: Space) -> None:
        self.last = np.array([len(steps) - 1 for steps in space.allowed])
        self.steps = np.zeros((len(space.allowed), space.levels), np.uint8)  # by place
        self.places = np.zeros_like(self.steps)  # by step
        for group, steps in enumerate(space.allowed):
            self.steps[group, : len(steps)] = steps
            self.places[group, list(steps)] = np.arange(len(steps))

    def beside(self, steps: Steps, changes: NDArray[np.int16]) -> tuple[Steps, NDArray[np.int64]]:
        """Neighbours of configurations [n, G], and which of them each one belongs to, [m, G] and [m]."""
        groups = np.arange(steps.shape[1])
        places = (self.places[groups, steps].astype(np.int16)[:, None] + changes).reshape(-1, len(groups))
        inside = np.all((places >= 0) & (places <= self.last), axis=1)
        owner = np.repeat(np.arange(len(steps)), len(changes))
        return self.steps[groups, places[inside]], owner[inside]


def _allowed(steps: Steps, graph: Graph, space: Space, budget: Budget) -> NDArray[np.bool_]:
    """Which of these are configurations of the space within the budget, [n, G] -> [n]."""
    inside: NDArray[np.bool_] = steps @ np.array(space.weights, np.int64) >= len(space.ways[0]) - 1
    counts = kept_counts(steps[inside], graph, space.levels)
    inside[inside] = budget.holds(*costs_of_counts(graph, counts))
    return inside
