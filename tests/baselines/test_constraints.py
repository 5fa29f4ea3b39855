"""What must be left alone is left alone by every baseline and by the local search."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from networks_zoo import built
from sacp.baselines import random_ratios, slimming, uniform
from sacp.baselines.abcpruner import scaled
from sacp.baselines.task import Task, checked
from sacp.errors import InputError
from sacp.network.constraints import Constraints
from sacp.network.cost import Budget, cost_of_graph, costs_of_counts
from sacp.network.graph import Graph
from sacp.pruning.criteria import l1_order
from sacp.pruning.space import Space, kept_counts, rounded
from sacp.search import log_mass
from sacp.search.local import climb
from sacp.search.scorers import AdditiveScorer
from sacp.tracing.trace import trace

CONSTRAINTS = Constraints(("stages.0.1",), 4, 0.3)
CRITERION = {"function": "sacp.baselines.weights:l1", "images": 0}
SHAPE = (1, 3, 32, 32)


def constrained(name: str = "resnet20") -> tuple[Any, Graph]:
    network, free = built(name)
    graph = trace(network, SHAPE, CONSTRAINTS)
    whole = {layer for group in graph.groups for layer in group.layers}
    assert "stages.0.1.conv1" in {layer for group in free.groups for layer in group.layers} - whole
    return network.eval(), graph


def assert_held(graph: Graph, counts: np.ndarray) -> None:
    channels = np.array(graph.channels)
    assert ((counts == channels) | (counts % 4 == 0)).all()
    assert (counts >= 0.3 * channels).all()
    assert (counts < channels).any()


@pytest.mark.parametrize("share", [0.75, 0.5])
@pytest.mark.parametrize("select", [uniform.select, random_ratios.select, slimming.select])
def test_a_baseline_keeps_what_must_be_kept(select: Callable[[Task], Any], share: float) -> None:
    network, graph = constrained()
    target = round(share * cost_of_graph(graph).flops)
    task = Task(network, graph, target, 7, Space.of(graph, 10, 0), CRITERION, sparse=network)
    kept = select(task)
    assert checked(kept, task, "mine:select") is not None
    assert_held(graph, np.array([len(channels) for channels in kept]))


def test_every_structure_of_a_colony_keeps_what_must_be_kept() -> None:
    _, graph = constrained()
    target, rng = cost_of_graph(graph).flops // 2, np.random.default_rng(0)
    for _ in range(5):
        structure = scaled(graph, np.array(graph.channels) * rng.uniform(0.2, 1, len(graph.groups)), target)
        assert_held(graph, structure)
        assert abs(costs_of_counts(graph, structure[None])[0][0] / target - 1) <= 0.02


def test_a_users_baseline_that_does_not_is_refused_by_group() -> None:
    network, graph = constrained()
    counts = rounded(np.array(graph.channels) // 2, graph)
    target = int(costs_of_counts(graph, counts[None])[0][0])
    task = Task(network, graph, target, 7, Space.of(graph, 10, 0))
    order = l1_order(network, graph)
    right = [channels[:count] for channels, count in zip(order, counts, strict=True)]
    assert len(checked(right, task, "mine:select")) == len(counts)
    for number in (counts[2] - 1, 1):
        wrong = [*right[:2], order[2][:number], *right[3:]]
        message = f"it keeps {number} channels of group '{graph.groups[2].name}'; expected a multiple of 4 and"
        with pytest.raises(InputError, match=message):
            checked(wrong, task, "mine:select")


def test_the_local_search_stays_in_the_space_and_moves_from_width_to_width() -> None:
    network, graph = constrained()
    space, budget = Space.of(graph, 10, 0), Budget(flops=cost_of_graph(graph).flops // 2)
    scorer = AdditiveScorer(log_mass.values(network, graph, 10))
    drawn = space.draw(2000, 0)
    starts = drawn[budget.holds(*costs_of_counts(graph, kept_counts(drawn, graph, 10)))][:20]
    found, scores = climb(starts, scorer, graph, space, budget)
    allowed = [set(steps) for steps in space.allowed]
    assert all(set(column) <= steps for column, steps in zip(found.T.tolist(), allowed, strict=True))
    assert budget.holds(*costs_of_counts(graph, kept_counts(found, graph, 10))).all()
    assert scores.max() > scorer.score_chunk(starts).max()
    best = found[0]
    for group, steps in enumerate(space.allowed):  # no wider group is within the budget
        place = steps.index(best[group])
        if place:
            wider = best.copy()
            wider[group] = steps[place - 1]
            assert not budget.holds(*costs_of_counts(graph, kept_counts(wider[None], graph, 10)))[0]
