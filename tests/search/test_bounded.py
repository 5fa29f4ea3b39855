"""A good configuration and a bound on the best: against brute force, and against the exact search."""

import logging

import numpy as np
import pytest
from networks_zoo import any_network, built
from sacp.errors import InputError
from sacp.network.cost import Budget, cost_of_graph, costs_of_counts
from sacp.network.graph import Graph
from sacp.pruning.criteria import l1_norms
from sacp.pruning.space import Space, kept_counts
from sacp.search import bounded, exact, log_mass

LEVELS = 4


def problem(name: str, share: float, levels: int = LEVELS, threshold: float = 0, parameters: float | None = None):
    """Log masses of a network, its graph, the space, and a budget."""
    network, graph, _ = any_network(name)
    base = cost_of_graph(graph)
    most = None if parameters is None else int(parameters * base.parameters)
    values = log_mass.values_of(l1_norms(network, graph), graph, levels)
    return values, graph, Space.of(graph, levels, threshold), Budget(int(share * base.flops), most)


def brute_force(values: np.ndarray, graph: Graph, space: Space, budget: Budget) -> float:
    """The highest sum of all configurations within the budget."""
    every = np.indices((space.levels,) * len(graph.groups)).reshape(len(graph.groups), -1).T.astype(np.uint8)
    every = every[every @ np.array(space.weights) >= len(space.ways[0]) - 1]
    every = every[budget.holds(*costs_of_counts(graph, kept_counts(every, graph, space.levels)))]
    return float(values[np.arange(len(values)), every].sum(axis=1).max())


def assert_inside(found: bounded.Found, graph: Graph, space: Space, budget: Budget) -> None:
    assert budget.holds(*costs_of_counts(graph, kept_counts(found.steps, graph, space.levels))).all()
    assert found.steps[0] @ np.array(space.weights) >= len(space.ways[0]) - 1


@pytest.mark.parametrize("name", ["flat", "squeeze_excite", "concatenated", "in_groups", "linear_gate"])
@pytest.mark.parametrize("limits", [(0.3, None), (0.6, None), (0.8, 0.4)])
def test_what_is_found_is_near_the_best_of_all_and_the_bound_above_it(name, limits, monkeypatch):
    values, graph, space, budget = problem(name, limits[0], parameters=limits[1])
    best = brute_force(values, graph, space, budget)
    solved = bounded.best(values, graph, space, budget)
    assert solved.value == solved.bound == pytest.approx(best)
    monkeypatch.setattr(bounded, "MOST_LISTED", 0)  # too little for any exact search
    found = bounded.best(values, graph, space, budget)
    assert_inside(found, graph, space, budget)
    assert best + 1e-9 >= found.value >= 1.1 * best
    assert found.bound >= best - 1e-9
    monkeypatch.setattr(bounded, "MOST_STATES", 0)  # nor for its relaxation
    looser = bounded.best(values, graph, space, budget)
    assert looser.value <= best + 1e-9
    assert_inside(looser, graph, space, budget)
    assert looser.bound >= found.bound


def test_a_threshold_is_held(monkeypatch):
    values, graph, space, budget = problem("concatenated", 0.9, threshold=0.6)
    monkeypatch.setattr(bounded, "MOST_LISTED", 0)
    found = bounded.best(values, graph, space, budget)
    assert_inside(found, graph, space, budget)
    assert found.bound >= brute_force(values, graph, space, budget) - 1e-9


@pytest.mark.parametrize("share", [0.15, 0.5])
def test_a_deep_network_comes_near_to_its_exact_optimum(share, monkeypatch, caplog):
    network, graph = built("resnet56", 0.25)
    budget = Budget(int(share * cost_of_graph(graph).flops))
    values, space = log_mass.values(network, graph, 10), Space.of(graph, 10, 0)
    _, sums = exact.best(values, graph, space, budget, found=1)
    monkeypatch.setattr(bounded, "MOST_LISTED", 0)
    with caplog.at_level(logging.INFO):
        found = bounded.best(values, graph, space, budget)
    assert found.value <= sums[0] + 1e-9 <= found.bound + 1e-6
    assert found.value >= 1.01 * sums[0]
    assert f"found {found.value:.6g}, and nothing within the budget is above {found.bound:.6g}" in caplog.text


def test_a_budget_that_nothing_is_within_is_refused(monkeypatch):
    values, graph, space, _ = problem("flat", 0.5)
    monkeypatch.setattr(bounded, "MOST_LISTED", 0)
    with pytest.raises(InputError, match=r"^search\.budget: no configuration of the space is within 7 FLOPs$"):
        bounded.best(values, graph, space, Budget(7))
