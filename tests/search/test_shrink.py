"""A network in memory becomes a smaller one within its budget, the best of its space."""

import math
from collections.abc import Callable
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
import pytest
import sacp
import torch
from networks_zoo import any_network
from sacp.errors import InputError
from sacp.network.cost import cost_of_graph, costs_of_counts
from sacp.pruning.criteria import l1_norms
from sacp.pruning.space import kept_counts
from sacp.search.log_mass import kept_mass
from sacp.tracing.trace import count


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
    counts = kept_counts(steps, graph, 10)
    flops, _ = costs_of_counts(graph, counts)
    weights = [len(group.layers) * group.channels**0.5 for group in graph.groups]
    scores = np.log(kept_mass(l1_norms(network, graph), counts)) @ weights
    best = np.argmax(np.where(flops <= 0.4 * cost_of_graph(graph).flops, scores, -np.inf))
    assert count(sacp.prune(network, shape, flops=0.4), shape).flops == flops[best]


@pytest.mark.parametrize(
    ("limits", "found"),
    [
        ({}, "none"), ({"flops": 0}, "{'flops': 0}"), ({"parameters": -0.5}, "{'parameters': -0.5}"),
        ({"flops": "a"}, "{'flops': 'a'}"), ({"flops": [0.2, 0.5]}, "{'flops': [0.2, 0.5]}"),
        ({"flops": math.nan}, "{'flops': nan}"), ({"flops": math.inf}, "{'flops': inf}"),
        ({"flops": True}, "{'flops': True}"), ({"flops": 1j}, "{'flops': 1j}"),
        ({"flops": 0.5, "parameters": "0.5"}, "{'flops': 0.5, 'parameters': '0.5'}"),
        ({"flops": np.zeros((2, 2))}, "{'flops': array("),
    ],
)  # fmt: skip
def test_a_budget_must_be_given_in_numbers_above_0(limits: dict[str, Any], found: str) -> None:
    network, _, shape = any_network("flat")
    with pytest.raises(InputError, match=r"; up to 1\.0, a share$") as caught:
        sacp.prune(network, shape, **limits)
    assert str(caught.value).startswith(f"budget: found {found}")
    assert ", expected flops or parameters above 0" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        *(({"levels": levels}, f"levels: found {levels!r}, expected an integer from 2 to 256")
          for levels in (0, 1, 257, -3, True, 2.5, "10", None)),
        ({"network": "net"}, "network: found 'net', expected a torch.nn.Module"),
        ({"network": torch.nn.Identity}, "network: found <class 'torch.nn.modules.linear.Identity'>, expected a torch"),
        ({"input_shape": (3, 8, 8)}, "input_shape: found (3, 8, 8), expected [1, C, H, W], or [1, ...] of other"),
        ({"input_shape": None}, "input_shape: found None, expected [1, C, H, W], or [1, ...] of other"),
        ({"input_shape": 8}, "input_shape: found 8, expected [1, C, H, W], or [1, ...] of other"),
    ],
)  # fmt: skip
def test_an_argument_of_another_form_is_refused_by_its_name(changed: dict[str, Any], message: str) -> None:
    network, _, shape = any_network("flat")
    with pytest.raises(InputError) as caught:
        sacp.prune(**{"network": network, "input_shape": shape, "flops": 0.5} | changed)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("levels", [2, 3, 256])
def test_any_number_of_levels_that_a_config_can_have_is_taken(levels: int) -> None:
    network, graph, shape = any_network("flat")
    assert count(sacp.prune(network, shape, flops=0.5, levels=levels), shape).flops <= cost_of_graph(graph).flops / 2


@pytest.mark.parametrize("number", [np.float32, np.float64, Fraction])
def test_a_share_can_be_any_real_number(number: Callable[[float], Any]) -> None:
    network, _, shape = any_network("flat")
    found, expected = (count(sacp.prune(network, shape, flops=share), shape) for share in (number(0.5), 0.5))
    assert found == expected


@pytest.mark.parametrize("number", [int, np.int64, np.uint32])
def test_an_absolute_budget_can_be_any_whole_number(number: Callable[[int], Any]) -> None:
    network, graph, shape = any_network("flat")
    most = cost_of_graph(graph).flops // 2
    found, expected = (count(sacp.prune(network, shape, flops=limit), shape) for limit in (number(most), 0.5))
    assert found == expected


def test_a_budget_that_nothing_meets_is_refused() -> None:
    network, _, shape = any_network("flat")
    narrowest = r"; the narrowest network has \d+ FLOPs and \d+ parameters$"
    for limits in ({"flops": 1e-6}, {"flops": 1}, {"flops": 50}, {"parameters": 3, "flops": 0.5}):
        with pytest.raises(InputError, match=f"^budget: no configuration of the space is within .*{narrowest}"):
            sacp.prune(network, shape, **limits)


def test_a_share_of_one_is_the_whole_network_and_an_example_says_its_shape() -> None:
    network, graph, shape = any_network("flat")
    whole = sacp.prune(network, torch.zeros(4, *shape[1:]), flops=1.0)
    assert count(whole, shape) == cost_of_graph(graph)
    assert count(sacp.prune(network, shape, flops=2e9), shape) == cost_of_graph(graph)


def test_a_layer_of_zeros_is_refused_by_name() -> None:
    network, _, shape = any_network("squeeze_excite")
    torch.nn.init.zeros_(network.get_parameter("squeeze.weight"))
    with pytest.raises(InputError, match="network: all weights of 'squeeze' are 0, so none of the channels is worth"):
        sacp.prune(network, shape, flops=0.5)


def test_some_filters_of_zeros_are_the_first_to_go() -> None:
    network, _, shape = any_network("flat")
    network.get_parameter("conv1.weight").data[[0, 3]] = 0
    smaller = sacp.prune(network, shape, flops=0.6, levels=6)
    assert bool(smaller.get_parameter("conv1.weight").abs().sum(dim=(1, 2, 3)).gt(0).all())
