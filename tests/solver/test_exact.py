"""The exact search against brute force over the whole space, and against samples of spaces that no one can list."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks_zoo import PAPER_NETWORKS, any_network
from sacp.errors import InputError
from sacp.network.cost import Budget, cost_of_graph, costs_of_counts
from sacp.network.graph import Graph
from sacp.pruning.space import Space, kept_counts, pruning_ratio
from sacp.search import log_mass
from sacp.solver import exact

THRESHOLDS = {"vgg16": 0.6, "resnet18": 0.7, "resnet56": 0.3}
SMALL = ("resnet8", "flat", "squeeze_excite", "depthwise")


def whole_space(graph: Graph, levels: int, threshold: float) -> np.ndarray:
    steps = np.array(list(product(range(levels), repeat=len(graph.groups))), np.uint8)
    return steps[pruning_ratio(steps, graph.weights, levels) >= threshold - 1e-12]


def spread(rng: np.random.Generator, graph: Graph, levels: int) -> np.ndarray:
    """Values [G, levels] that fall with the kept channels; at steps that keep as many they are equal."""
    steps = np.repeat(np.arange(levels)[:, None], len(graph.groups), axis=1)
    lost = np.array(graph.channels) - kept_counts(steps, graph, levels)  # [levels, G]
    falls = [np.cumsum(rng.exponential(size=channels)) for channels in graph.channels]
    return -np.stack([fall[missing] for fall, missing in zip(falls, lost.T, strict=True)])


def distinct(steps: np.ndarray, graph: Graph, levels: int) -> np.ndarray:
    """One configuration for each network among these, the one that prunes most by its steps."""
    steps = steps[np.argsort(-steps.sum(axis=1, dtype=int), kind="stable")]
    return steps[np.unique(kept_counts(steps, graph, levels), axis=0, return_index=True)[1]]


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(SMALL),
    seed=st.integers(0, 10**6),
    levels=st.integers(2, 12),
    threshold=st.sampled_from([0, 0.2, 0.3, 0.5]),
    flops=st.none() | st.tuples(st.floats(0, 0.4), st.floats(0.4, 0.9)),
    parameters=st.none() | st.floats(0.3, 0.9),
    found=st.integers(1, 40),
    distance=st.integers(1, 3),
)
def test_the_best_are_those_of_brute_force(name, seed, levels, threshold, flops, parameters, found, distance) -> None:
    _, graph, _ = any_network(name)
    levels = min(levels, 3 if len(graph.groups) > 2 else levels)  # brute force lists levels ** groups
    values = spread(np.random.default_rng(seed), graph, levels)
    limits = {"flops": flops, "parameters": parameters}
    budget = Budget.of({key: limit for key, limit in limits.items() if limit is not None}, cost_of_graph(graph))
    every = distinct(whole_space(graph, levels, threshold), graph, levels)
    inside = every[budget.holds(*costs_of_counts(graph, kept_counts(every, graph, levels)))]
    sums = values[np.arange(len(values)), inside].sum(axis=1)
    expected = list[int]()
    for place in np.argsort(-sums, kind="stable"):
        if all((inside[place] != inside[other]).sum() >= distance for other in expected):
            expected.append(int(place))
    space = Space.of(graph, levels, threshold)
    if not expected:
        with pytest.raises(InputError, match="no configuration of the space is within"):
            exact.best(values, graph, space, budget, found, distance)
        return
    chosen, scores = exact.best(values, graph, space, budget, found, distance)
    assert len(chosen) == min(found, len(expected))
    assert scores == pytest.approx(sums[expected[:found]])
    assert np.array_equal(chosen, inside[expected[:found]])


@pytest.mark.parametrize("limits", [{}, {"flops": 0.3}, {"flops": [0.29, 0.3]}])
@pytest.mark.parametrize("name", PAPER_NETWORKS)
def test_the_optimum_of_the_papers_networks_beats_a_sample(name: str, limits: dict) -> None:
    network, graph, _ = any_network(name, width=1.0)
    space, budget = Space.of(graph, 10, THRESHOLDS[name]), Budget.of(limits, cost_of_graph(graph))
    values = log_mass.values(network, graph, 10)
    chosen, scores = exact.best(values, graph, space, budget, 100)
    assert len(np.unique(chosen, axis=0)) == 100
    assert (np.diff(scores) <= 0).all()
    drawn = np.concatenate([space.draw(100_000, 0), chosen])
    inside = budget.holds(*costs_of_counts(graph, kept_counts(drawn, graph, 10)))
    assert inside[-100:].all()
    assert (pruning_ratio(chosen, graph.weights, 10) >= THRESHOLDS[name] - 1e-12).all()
    assert values[np.arange(len(values)), drawn[inside]].sum(axis=1).max() == pytest.approx(scores[0])


def test_a_problem_that_is_too_large_says_what_to_do() -> None:
    _, graph, _ = any_network("resnet8")
    values = spread(np.random.default_rng(0), graph, 10)
    space = Space.of(graph, 10, 0.3)
    with pytest.raises(InputError, match=r"more than 100 configurations .* ask for fewer \(search\.found\)"):
        exact.best(values, graph, space, Budget(), 1000, most=100)
    with pytest.raises(InputError, match=r"tables of .* entries, more than 100; use 'search: local'"):
        exact.best(values, graph, space, Budget.of({"flops": 0.2}, cost_of_graph(graph)), 10, states=100)
