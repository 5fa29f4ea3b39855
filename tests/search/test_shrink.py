"""A network in memory becomes a smaller one within its budget, the best of its space."""

from itertools import product

import numpy as np
import pytest
import sacp
import torch
from networks_zoo import any_network
from sacp.errors import InputError
from sacp.network.cost import cost_of_graph, costs_of_counts, count
from sacp.pruning.criteria import l1_norms
from sacp.pruning.space import kept_counts
from sacp.search.log_mass import kept_mass


@pytest.mark.parametrize("limits", [{"flops": 0.5}, {"parameters": 0.3}, {"flops": 0.5, "parameters": 0.4}])
@pytest.mark.parametrize("name", ["resnet20", "depthwise", "squeeze_excite"])
def test_a_pruned_network_is_within_its_budget_and_runs(name: str, limits: dict[str, float]) -> None:
    network, graph, shape = any_network(name)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    smaller = sacp.prune(network, shape, **limits)
    cost, base = count(smaller, shape), cost_of_graph(graph)
    for kind, share in limits.items():
        assert getattr(cost, kind) <= share * getattr(base, kind)
    assert smaller.eval()(torch.zeros(shape)).shape == network.eval()(torch.zeros(shape)).shape
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())


def test_it_is_the_best_of_its_space() -> None:
    network, graph, shape = any_network("squeeze_excite")
    steps = np.array(list(product(range(10), repeat=len(graph.groups))), np.uint8)
    counts = kept_counts(steps, graph.channels, 10)
    flops, _ = costs_of_counts(graph, counts)
    weights = [len(group.layers) * group.channels**0.5 for group in graph.groups]
    scores = np.log(kept_mass(l1_norms(network, graph), counts)) @ weights
    best = np.argmax(np.where(flops <= 0.4 * cost_of_graph(graph).flops, scores, -np.inf))
    assert count(sacp.prune(network, shape, flops=0.4), shape).flops == flops[best]


@pytest.mark.parametrize("limits", [{}, {"flops": 0}, {"parameters": -0.5}])
def test_a_budget_must_be_given(limits: dict[str, float]) -> None:
    network, _, shape = any_network("flat")
    with pytest.raises(InputError, match="expected flops or parameters above 0; below 1, a share"):
        sacp.prune(network, shape, **limits)


def test_a_budget_that_nothing_meets_is_refused() -> None:
    network, _, shape = any_network("flat")
    with pytest.raises(InputError, match="no configuration of the space is within"):
        sacp.prune(network, shape, flops=1e-6)
