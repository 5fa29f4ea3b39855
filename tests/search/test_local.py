"""Local search: it stays inside the space and its bounds, and ends where no move helps."""

import numpy as np
import pytest
from networks_zoo import any_network
from sacp.network.cost import Budget, cost_of_graph, costs_of_counts
from sacp.pruning.space import Space, kept_counts, pruning_ratio
from sacp.search import log_mass
from sacp.search.local import climb
from sacp.search.scorers import AdditiveScorer
from sacp.solver import exact

LEVELS, THRESHOLD = 10, 0.4


@pytest.fixture(scope="module")
def climbed():
    network, graph, _ = any_network("resnet14", 0.5)
    space = Space.of(graph, LEVELS, THRESHOLD)
    budget = Budget.of({"flops": [0.3, 0.33]}, cost_of_graph(graph))
    values = log_mass.values(network, graph, LEVELS)
    drawn = space.draw(20_000, 0)
    inside = budget.holds(*costs_of_counts(graph, kept_counts(drawn, graph, LEVELS)))
    starts = drawn[inside][:20]
    return graph, space, budget, values, starts, *climb(starts, AdditiveScorer(values), graph, space, budget)


def test_what_is_found_is_in_the_space_within_the_budget_and_better(climbed) -> None:
    graph, _, budget, values, starts, found, scores = climbed
    assert budget.holds(*costs_of_counts(graph, kept_counts(found, graph, LEVELS))).all()
    assert (pruning_ratio(found, graph.weights, LEVELS) >= THRESHOLD - 1e-12).all()
    assert len(np.unique(found, axis=0)) == len(found) <= len(starts)
    assert scores == pytest.approx(values[np.arange(len(values)), found].sum(axis=1), rel=1e-5)
    assert (np.diff(scores) <= 0).all()
    assert scores[-1] > values[np.arange(len(values)), starts].sum(axis=1).max()


def test_no_single_move_improves_what_is_found(climbed) -> None:
    graph, space, budget, values, _, found, scores = climbed
    own = np.arange(len(values))
    for steps, score in zip(found[:3], scores[:3], strict=True):
        for up in range(len(steps)):
            for down in range(len(steps)):
                near = steps.astype(int)
                near[up] += 1
                near[down] -= 1
                near = near if up != down else steps.astype(int) - (np.arange(len(steps)) == up)
                if near.min() < 0 or near.max() >= LEVELS:
                    continue
                row = near[None].astype(np.uint8)
                inside = budget.holds(*costs_of_counts(graph, kept_counts(row, graph, LEVELS)))[0]
                if inside and near @ np.array(space.weights) >= len(space.ways[0]) - 1:
                    assert values[own, near].sum() <= score + 1e-4


def test_the_exact_search_is_never_worse(climbed) -> None:
    graph, space, budget, values, _, _, scores = climbed
    _, best = exact.best(values, graph, space, budget, 1)
    assert best[0] >= scores[0] - 1e-4
