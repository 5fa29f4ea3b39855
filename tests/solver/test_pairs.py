"""Scores with terms of two groups: the exact search and the bounded one against all configurations, one by one."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks_zoo import any_network
from sacp.errors import TooLargeError
from sacp.network.cost import Budget, cost_of_graph, costs_of_counts
from sacp.network.graph import Graph
from sacp.pruning.space import Space, counts_by_step, kept_counts, pruning_ratio
from sacp.search.scorers import AdditiveScorer
from sacp.solver import bounded, exact
from sacp.solver.tables import Tables

FORMS = {
    "chain": lambda groups: [(i, i + 1) for i in range(groups - 1)],
    "ring": lambda groups: [*((i, i + 1) for i in range(groups - 1)), (0, groups - 1)],
    "star": lambda groups: [(0, i) for i in range(1, groups)],
    "two streams": lambda groups: [(i, j) for i in range(2) for j in range(2, groups)],
    "all": lambda groups: [(i, j) for j in range(groups) for i in range(j)],
}
SIZES = ({}, {}, {"WIDTHS": (1, 3)}, {"MOST_STATES": 30}, {"MOST_STATES": 0, "WIDTHS": (5, 50)})
SLACK = 1e-6


def score_of(form: str, graph: Graph, levels: int, rng: np.random.Generator) -> Tables:
    """Random tables of groups and pairs, equal where kept channels are; some fall with pruning, some do not."""
    counts = counts_by_step(graph, levels)
    unary = tuple(rng.normal(size=own.max() + 1)[own] for own in counts)
    shape = graph.channels
    rising = rng.random() < 0.5
    pairs = {}
    for i, j in FORMS[form](len(graph.groups)):
        table = rng.normal(size=(shape[i] + 1, shape[j] + 1))
        if rising:
            table = np.abs(table).cumsum(0).cumsum(1)
        pairs[i, j] = table[np.ix_(counts[i], counts[j])]
    return Tables(0, unary, pairs)


def brute_force(
    score: Tables, graph: Graph, levels: int, threshold: float, budget: Budget
) -> tuple[np.ndarray, np.ndarray]:
    """All different networks within the budget, best first, and their scores, counted term by term."""
    kept = counts_by_step(graph, levels)
    last = [[t for t in range(levels) if t == levels - 1 or own[t] != own[t + 1]] for own in kept]
    every = np.array(list(product(*last)), np.uint8)
    every = every[pruning_ratio(every, graph.weights, levels) >= threshold - 1e-12]
    every = every[budget.holds(*costs_of_counts(graph, kept_counts(every, graph, levels)))]
    sums = [
        sum(table[t] for table, t in zip(score.unary, row, strict=True))
        + sum(table[row[i], row[j]] for (i, j), table in score.pairs.items())
        for row in every
    ]
    order = np.argsort(-np.array(sums), kind="stable")
    return every[order], np.array(sums)[order]


@st.composite
def problems(draw: st.DrawFn):
    _, graph, _ = any_network(draw(st.sampled_from(["flat", "squeeze_excite", "concatenated", "resnet8", "in_groups"])))
    levels = draw(st.integers(2, 5 if len(graph.groups) < 5 else 3))
    score = score_of(
        draw(st.sampled_from(list(FORMS))), graph, levels, np.random.default_rng(draw(st.integers(0, 999)))
    )
    most = draw(st.floats(0.3, 0.9))
    limits = draw(
        st.sampled_from([{}, {"flops": most}, {"flops": [0.7 * most, most]}, {"flops": most, "parameters": 0.7}])
    )
    return score, graph, levels, draw(st.sampled_from([0, 0.3])), Budget.of(limits, cost_of_graph(graph))


@settings(max_examples=120, deadline=None)
@given(drawn=problems(), found=st.sampled_from([1, 5, 30]), distance=st.integers(1, 2))
def test_the_exact_search_finds_the_best(drawn, found, distance) -> None:
    score, graph, levels, threshold, budget = drawn
    every, sums = exact.apart(*brute_force(score, graph, levels, threshold, budget), found, distance)
    if not len(every):
        return
    chosen, scores = exact.best(score, graph, Space.of(graph, levels, threshold), budget, found, distance)
    assert scores == pytest.approx(sums)
    assert np.array_equal(chosen, every)
    assert AdditiveScorer(score).score_chunk(chosen) == pytest.approx(sums, rel=1e-5, abs=1e-5)


@settings(max_examples=150, deadline=None)
@given(drawn=problems(), sizes=st.sampled_from(SIZES), found=st.sampled_from([1, 1, 5]))
def test_what_is_found_with_a_bound_is_never_above_it_and_the_best_where_it_says_so(drawn, sizes, found) -> None:
    score, graph, levels, threshold, budget = drawn
    every, sums = brute_force(score, graph, levels, threshold, budget)
    if not len(every):
        return
    with pytest.MonkeyPatch.context() as patch:
        for name, size in sizes.items():
            patch.setattr(bounded, name, size)
        try:
            chosen = bounded.best(score, graph, Space.of(graph, levels, threshold), budget, found)
        except TooLargeError:
            assert sizes
            return
    known = {row.tobytes(): value for row, value in zip(every, sums, strict=True)}
    assert [known[row.tobytes()] for row in chosen.steps] == pytest.approx(list(chosen.sums))
    assert chosen.value - SLACK <= sums[0] <= chosen.bound + SLACK
    assert chosen.solved or sizes
    if chosen.solved:
        assert chosen.sums == pytest.approx(sums[:found])
