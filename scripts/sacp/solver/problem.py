"""What a search maximises, and under which limits.

Groups go by places: numbers of the steps that a search has to look at, which `Space.distinct` names. Where kept
channels are rounded these are few, and all tables small.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sacp.network.cost import Budget
from sacp.network.graph import Graph
from sacp.pruning.space import Space, Steps, counts_by_step
from sacp.solver.costs import Integers, Limit, limits_of
from sacp.solver.tables import Score, as_score

Values = NDArray[np.float64]
Places = NDArray[np.uint8]  # [n, G]


@dataclass(frozen=True)
class Problem:
    """The score that is maximised over the places of all groups, the limits on it, and the least that is removed."""

    score: Score
    steps: tuple[Integers, ...]  # [places] for each group, ascending
    removed: tuple[Integers, ...]  # at each place, in the units of the space's weights
    need: int  # least sum of `removed`
    limits: tuple[Limit, ...]
    name: str  # of the budget, for messages

    @classmethod
    def of(
        cls, values: Values | Score, graph: Graph, space: Space, budget: Budget, others: Sequence[Limit] = ()
    ) -> "Problem":
        """The problem of a network.

        Args:
            values: what each group adds at each step, equal for equal numbers of kept channels, [G, levels]; or tables
                of the groups and of pairs of them, with a place for every step.
            graph: the network's graph, for costs.
            space: the space, with its threshold.
            budget: bounds on costs.
            others: limits on other costs, whose tables have a place for every step.
        """
        kept = counts_by_step(graph, space.levels)
        steps = tuple(np.flatnonzero(distinct) for distinct in space.distinct(kept))
        counts = [own[places] for own, places in zip(kept, steps, strict=True)]
        return cls(
            as_score(values).at(steps),
            steps,
            tuple(weight * places for weight, places in zip(space.weights, steps, strict=True)),
            len(space.ways[0]) - 1,
            (*limits_of(graph, counts, budget), *(limit.at(steps) for limit in others)),
            str(budget),
        )

    @property
    def groups(self) -> int:
        """G."""
        return len(self.score.unary)

    @property
    def sizes(self) -> list[int]:
        """Places of each group, [G]."""
        return [len(own) for own in self.score.unary]

    def sums(self, places: Places) -> Values:
        """Scores of configurations, [n, G] -> [n]."""
        return self.score.of(places)

    def costs(self, places: Places) -> Integers:
        """Limited costs of configurations, [n, G] -> [n, L]."""
        costs = [limit.cost.of(places) for limit in self.limits]
        return np.stack(costs, axis=1) if costs else np.zeros((len(places), 0), np.int64)

    def inside(self, places: Places) -> NDArray[np.bool_]:
        """Which configurations are within the space and all limits, [n, G] -> [n]."""
        removed = sum(own[here] for own, here in zip(self.removed, places.T, strict=True))
        held: NDArray[np.bool_] = removed >= self.need
        for limit in self.limits:
            held[held] = limit.holds(limit.cost.of(places[held]))
        return held

    def as_steps(self, places: Places) -> Steps:
        """Configurations by their steps, [n, G] -> [n, G]."""
        own = [steps[here] for steps, here in zip(self.steps, places.T, strict=True)]
        return np.stack(own, axis=1).astype(np.uint8)
