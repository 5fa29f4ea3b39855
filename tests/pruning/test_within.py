"""What lies within a budget, against trying all configurations of small spaces."""

from functools import cache
from itertools import product

import numpy as np
import pytest
from checkout import ROOT
from networks_zoo import built
from sacp.network.cost import Budget, cost_of_graph, costs_of_counts
from sacp.network.graph import Graph
from sacp.pruning import space as spaces
from sacp.pruning import within
from sacp.pruning.space import Space, Steps, kept_counts
from sacp.seeds import derive

LEVELS, ALL = 4, 10**9


@cache
def graph() -> Graph:
    """Of ResNet-8 at a quarter of its width: 6 groups, the narrowest of 4 channels."""
    return built("resnet8", 0.25)[1]


@cache
def enumerated(threshold: float) -> Steps:
    """Every configuration that reaches the threshold."""
    steps = np.array(list(product(range(LEVELS), repeat=len(graph().groups))), np.uint8)
    space = space_of(threshold)
    return steps[steps @ np.array(space.weights) >= len(space.ways[0]) - 1]


def space_of(threshold: float) -> Space:
    return Space.of(graph(), LEVELS, threshold)


def inside(steps: Steps, budget: Budget) -> Steps:
    """Those within the budget."""
    return steps[budget.holds(*costs_of_counts(graph(), kept_counts(steps, graph(), LEVELS)))]


@pytest.mark.parametrize("threshold", [0, 0.3, 0.6, 0.75])
def test_no_configuration_takes_more_than_the_largest_and_without_a_threshold_it_is_the_base(threshold: float) -> None:
    bound = within.largest(graph(), space_of(threshold))
    flops, parameters = costs_of_counts(graph(), kept_counts(enumerated(threshold), graph(), LEVELS))
    assert flops.max() <= bound.flops < 2 * flops.max()
    assert parameters.max() <= bound.parameters < 2 * parameters.max()
    if threshold == 0:
        assert bound == cost_of_graph(graph())


@pytest.mark.parametrize("threshold", [0, 0.5])
@pytest.mark.parametrize("limits", [{"flops": 0.2}, {"parameters": 0.1, "flops": 0.3}, {"flops": 0.001}])
def test_networks_within_a_budget_are_counted_as_by_trying_all(threshold: float, limits: dict[str, float]) -> None:
    budget = Budget.of(limits, cost_of_graph(graph()))
    found = inside(enumerated(threshold), budget)
    networks = len(np.unique(kept_counts(found, graph(), LEVELS), axis=0))
    assert within.near_smallest(graph(), space_of(threshold), budget, ALL) == networks
    assert within.near_smallest(graph(), space_of(threshold), budget, 3) == min(3, networks)
    assert (networks > 3) == (limits["flops"] != 0.001)


@pytest.mark.parametrize("size", [50, 1500])  # a small part of the space, and more than half of it
def test_the_sample_is_counted_as_it_will_be_drawn(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(spaces, "BLOCK_ROWS", 8)
    monkeypatch.setattr(within, "BLOCK_ROWS", 8)
    space, budget = space_of(0.3), Budget.of({"flops": [0.2, 0.4]}, cost_of_graph(graph()))
    assert size < space.count
    found = len(inside(space.sample(size, 7), budget))
    assert 5 < found < size
    for wanted in (1, found, found + 1):
        assert within.in_sample(graph(), space, budget, size, 7, wanted) == min(wanted, found)


def test_no_more_is_drawn_than_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = list[int]()
    draw = Space.draw
    monkeypatch.setattr(Space, "draw", lambda self, size, seed: drawn.append(size) or draw(self, size, seed))
    monkeypatch.setattr(Space, "sample", lambda *arguments: pytest.fail("all were drawn"))
    monkeypatch.setattr(spaces, "BLOCK_ROWS", 8)
    monkeypatch.setattr(within, "BLOCK_ROWS", 8)
    budget = Budget.of({"flops": 0.5}, cost_of_graph(graph()))
    assert within.in_sample(graph(), space_of(0.3), budget, 1000, 7, 20) == 20
    assert drawn == [8, 32]


def test_planning_and_the_job_draw_the_same_sample() -> None:
    for path in ("scripts/sample_configs.py", "scripts/sacp/plan/preflight.py"):
        assert 'seed, "search set")' in (ROOT / path).read_text()
    assert derive(0, "search set") != derive(0, "training set")
