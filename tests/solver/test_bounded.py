"""Good configurations and a bound on the best: against brute force, and against the exact search."""

import logging
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks_zoo import any_network, built
from sacp.errors import InputError, TooLargeError
from sacp.network.constraints import Constraints
from sacp.network.cost import Budget, cost_of_graph, costs_of_counts
from sacp.network.graph import Graph
from sacp.pruning.criteria import l1_norms
from sacp.pruning.space import Space, Steps, counts_by_step, kept_counts
from sacp.search import log_mass
from sacp.solver import bounded, exact
from sacp.solver.costs import CostTables, Limit
from sacp.tracing.trace import traced

LEVELS = 4
SMALL = ("flat", "squeeze_excite", "concatenated", "in_groups", "linear_gate", "depthwise")
TINY = ({"WIDTHS": (1, 3)}, {"MOST_STATES": 30}, {"MOST_STATES": 0, "WIDTHS": (5, 50)}, {"MOST_ENTRIES": 20}, {})
SLACK = 1e-6


def problem(name: str, share: float, levels: int = LEVELS, threshold: float = 0, parameters: float | None = None):
    """Log masses of a network, its graph, the space, and a budget."""
    network, graph, _ = any_network(name)
    base = cost_of_graph(graph)
    most = None if parameters is None else int(parameters * base.parameters)
    values = log_mass.values_of(l1_norms(network, graph), graph, levels)
    return values, graph, Space.of(graph, levels, threshold), Budget(int(share * base.flops), most)


def inside(steps: Steps, graph: Graph, space: Space, budget: Budget, others=()) -> np.ndarray:
    """Which configurations are of the space and within all limits; other limits are costed group by group."""
    held = steps @ np.array(space.weights, np.int64) >= len(space.ways[0]) - 1
    held &= budget.holds(*costs_of_counts(graph, kept_counts(steps, graph, space.levels)))
    for limit in others:
        for row, place in enumerate(steps):
            cost = limit.cost.constant + sum(int(own[x]) for own, x in zip(limit.cost.unary, place, strict=True))
            cost += sum(int(table[place[i], place[j]]) for (i, j), table in limit.cost.pairs.items())
            held[row] &= limit.least <= cost <= (cost if limit.most is None else limit.most)
    return held


def brute_force(values: np.ndarray, graph: Graph, space: Space, budget: Budget, others=()) -> tuple[Steps, np.ndarray]:
    """All different networks within the budget, best first, and their sums of values."""
    places = [np.flatnonzero(own) for own in space.distinct(counts_by_step(graph, space.levels))]
    every = np.stack(np.meshgrid(*places, indexing="ij"), axis=-1).reshape(-1, len(places)).astype(np.uint8)
    every = every[inside(every, graph, space, budget, others)]
    sums = values[np.arange(len(values)), every].sum(axis=1)
    order = np.argsort(-sums, kind="stable")
    return every[order], sums[order]


def assert_good(found: bounded.Found, best: np.ndarray, values: np.ndarray, number: int, distance: int) -> None:
    """What holds of all that is found, solved or not; `best` are the sums of all within the budget, falling."""
    assert 1 <= len(found.steps) <= number
    assert np.allclose(found.sums, values[np.arange(len(values)), found.steps].sum(axis=1))
    assert (np.diff(found.sums) <= 0).all()
    assert all((a != b).sum() >= distance for a, b in combinations(found.steps, 2))
    assert found.value <= best[0] + SLACK
    assert found.bound >= best[0] - SLACK
    assert found.value <= found.bound


@st.composite
def problems(draw: st.DrawFn):
    """Constrained networks, random values and budgets, often with lower bounds."""
    network, _, shape = any_network(draw(st.sampled_from(SMALL)))
    plain = traced(network, shape).graph
    layers = [group.layers[0] for group in plain.groups]
    constraints = Constraints(
        tuple(draw(st.sets(st.sampled_from(layers), max_size=len(layers) - 1))),
        draw(st.sampled_from([1, 2, 3, 4])), draw(st.sampled_from([1, 3, 0.4])),
    )  # fmt: skip
    graph = traced(network, shape, constraints).graph
    levels = draw(st.integers(2, 5))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    counts = counts_by_step(graph, levels)
    falls = [np.cumsum(rng.exponential(size=group.channels)) for group in graph.groups]
    values = np.stack([fall[own - 1] for fall, own in zip(falls, counts, strict=True)])
    base, limits = cost_of_graph(graph), {}
    for kind in draw(st.sets(st.sampled_from(["flops", "parameters"]))):
        most = draw(st.floats(0.2, 0.95))
        limits[kind] = [draw(st.sampled_from([0, 0.5, 0.9])) * most, most]
    return values, graph, Space.of(graph, levels, 0), Budget.of(limits, base), rng


def random_limit(graph: Graph, levels: int, rng: np.random.Generator) -> Limit:
    """A limit on a cost that is no product of kept counts, with tables over all steps."""
    groups = range(len(graph.groups))
    unary = tuple(rng.integers(0, 50, levels) for _ in groups)
    pairs = {pair: rng.integers(0, 50, (levels, levels)) for pair in combinations(groups, 2) if rng.random() < 0.6}
    tables = CostTables(int(rng.integers(0, 9)), unary, pairs)
    middle = int(tables.of(rng.integers(0, levels, (50, len(groups)))).mean())
    return Limit(tables, int(rng.choice([0, 0.8 * middle])), middle)


@settings(max_examples=80, deadline=None)
@given(
    drawn=problems(), sizes=st.sampled_from(TINY), found=st.sampled_from([1, 1, 4, 30]), distance=st.integers(1, 2),
    others=st.integers(0, 2),
)  # fmt: skip
def test_what_is_found_is_within_all_limits_and_the_bound_above_the_best(drawn, sizes, found, distance, others) -> None:
    values, graph, space, budget, rng = drawn
    limits = [random_limit(graph, space.levels, rng) for _ in range(others)]
    every, sums = brute_force(values, graph, space, budget, limits)
    with pytest.MonkeyPatch.context() as patch:
        for name, size in sizes.items():
            patch.setattr(bounded, name, size)
        if not len(every):
            with pytest.raises(InputError, match="no configuration"):
                bounded.best(values, graph, space, budget, found, distance, others=limits)
            return
        try:
            chosen = bounded.best(values, graph, space, budget, found, distance, others=limits)
        except TooLargeError:
            assert sizes
            return
    assert inside(chosen.steps, graph, space, budget, limits).all()
    assert_good(chosen, sums, values, found, distance)
    if not sizes:
        assert chosen.solved
    if chosen.solved:
        assert np.allclose(chosen.sums, exact.apart(every, sums, found, distance)[1])
        assert chosen.value == pytest.approx(chosen.bound)


@pytest.mark.parametrize("name", ["flat", "squeeze_excite", "concatenated", "in_groups", "linear_gate"])
@pytest.mark.parametrize("limits", [(0.3, None), (0.6, None), (0.8, 0.4)])
@pytest.mark.parametrize("sizes", TINY)
def test_what_is_found_is_near_the_best_of_all(name, limits, sizes, monkeypatch) -> None:
    values, graph, space, budget = problem(name, limits[0], parameters=limits[1])
    best = brute_force(values, graph, space, budget)[1][0]
    for key, size in sizes.items():
        monkeypatch.setattr(bounded, key, size)
    found = bounded.best(values, graph, space, budget)
    assert best + SLACK >= found.value >= 1.1 * best
    assert found.bound >= best - SLACK
    assert sizes or found.solved


@pytest.mark.parametrize("sizes", TINY)
def test_a_threshold_is_held(sizes, monkeypatch) -> None:
    values, graph, space, budget = problem("concatenated", 0.9, threshold=0.6)
    for key, size in sizes.items():
        monkeypatch.setattr(bounded, key, size)
    found = bounded.best(values, graph, space, budget)
    assert inside(found.steps, graph, space, budget).all()
    assert found.bound >= brute_force(values, graph, space, budget)[1][0] - SLACK


@pytest.mark.parametrize("share", [0.15, 0.5])
def test_a_deep_network_is_solved_and_comes_near_to_its_optimum_where_it_is_not(share, monkeypatch, caplog) -> None:
    network, graph = built("resnet56", 0.25)
    budget = Budget(int(share * cost_of_graph(graph).flops))
    values, space = log_mass.values(network, graph, 10), Space.of(graph, 10, 0)
    _, sums = exact.best(values, graph, space, budget, found=1)
    solved = bounded.best(values, graph, space, budget)
    assert solved.solved
    assert solved.value == solved.bound == pytest.approx(sums[0])
    monkeypatch.setattr(bounded, "WIDTHS", (20,))
    with caplog.at_level(logging.INFO):
        found = bounded.best(values, graph, space, budget)
    assert found.value <= sums[0] + SLACK <= found.bound + 2 * SLACK
    assert found.value >= 1.01 * sums[0]
    assert f"found {found.value:.6g}, and nothing within the budget is above {found.bound:.6g}" in caplog.text


def test_two_budgets_of_a_deep_network_are_solved() -> None:
    network, graph = built("resnet56", 0.25)
    base = cost_of_graph(graph)
    budget = Budget(base.flops // 2, base.parameters // 2)
    values, space = log_mass.values(network, graph, 10), Space.of(graph, 10, 0)
    found = bounded.best(values, graph, space, budget)
    assert inside(found.steps, graph, space, budget).all()
    assert found.solved
    assert found.value == found.bound
    few = bounded.best(values, graph, space, budget, 30, 2)
    assert few.value == found.value
    assert inside(few.steps, graph, space, budget).all()


def test_as_many_as_are_asked_for_are_found_where_they_cannot_be_listed(monkeypatch) -> None:
    network, graph = built("resnet56", 0.25)
    budget = Budget.of({"flops": [0.48, 0.5]}, cost_of_graph(graph))
    values, space = log_mass.values(network, graph, 10), Space.of(graph, 10, 0)
    monkeypatch.setattr(bounded, "WIDTHS", (500,))
    found = bounded.best(values, graph, space, budget, 200, 2)
    assert len(found.steps) == 200
    assert inside(found.steps, graph, space, budget).all()
    assert_good(found, found.sums, values, 200, 2)
    expected = exact.best(values, graph, space, budget, 1)[1]
    assert found.value <= expected[0] + SLACK <= found.bound + 2 * SLACK


def test_a_budget_that_nothing_is_within_is_refused() -> None:
    values, graph, space, _ = problem("flat", 0.5)
    with pytest.raises(InputError, match=r"^search\.budget: no configuration of the space is within 7 FLOPs$"):
        bounded.best(values, graph, space, Budget(7))
