"""Scores of measured sensitivities: special cases, weights by hand, and the optimum against all configurations."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks_zoo import any_network
from sacp.errors import InputError
from sacp.network.cost import Budget, cost_of_graph, costs_of_counts
from sacp.pruning.space import Space, kept_counts
from sacp.search import log_mass
from sacp.search.sensitivity import linear, values, values_of
from sacp.solver import bounded


def test_log_mass_is_a_special_case() -> None:
    network, graph, _ = any_network("resnet20")
    ones = np.ones(len(graph.groups))
    for channels, positions in ((0.5, 0.0), (0.0, 0.3)):
        settings = {"form": "log", "channels": channels, "layers": 1, "positions": positions, "exponent": 0}
        found = values(network, graph, 10, ones, **settings)
        np.testing.assert_allclose(found, log_mass.values(network, graph, 10, channels, positions))


def test_weights_by_hand() -> None:
    network, graph, _ = any_network("resnet20")
    sensitivity = np.arange(1.0, len(graph.groups) + 1)
    found = values(network, graph, 10, sensitivity)
    logs = log_mass.log_mass_by_step(log_mass.masses(network, graph), graph, 10)
    relative = sensitivity / sensitivity.mean()
    for group, own in enumerate(graph.groups):
        weight = len(own.layers) ** 0.5 * own.channels**0.75 * relative[group]
        np.testing.assert_allclose(found[group], weight * (1 - 1 / np.exp(logs[group])))
    assert (found[:, 0] == 0).all()
    assert (np.diff(found, axis=1) <= 1e-12).all()


def test_scores_are_made_linear_by_hand() -> None:
    e = np.e
    scores = np.array([-1.0, -(e**2), np.nan, -1 / e, 0.0, 1e-17])
    found = linear(scores, {"form": "inverse"})
    # The networks that lose nothing are as good as the best of the others, with -ln(1 / e) = 1.
    np.testing.assert_allclose(found, [0, -2, np.nan, 1, 1, 1])
    assert (linear(np.zeros(3), {"form": "inverse"}) == 0).all()
    np.testing.assert_array_equal(linear(scores, {"form": "log"}), scores)


@given(st.lists(st.floats(-1e30, 0), min_size=2))
def test_what_is_linear_has_the_order_of_the_scores(scores: list[float]) -> None:
    rising = np.sort(np.array(scores))
    assert (np.diff(linear(rising, {"form": "inverse"})) >= 0).all()
    assert np.isfinite(linear(rising, {"form": "inverse"})).all()


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_the_exact_optimum_is_that_of_all_configurations(data: st.DataObject) -> None:
    network, graph, _ = any_network("squeeze_excite")
    sensitivity = np.array([data.draw(st.floats(0, 10)) for _ in graph.groups])
    levels, share = data.draw(st.integers(3, 8)), data.draw(st.floats(0.3, 0.9))
    table = values_of(log_mass.masses(network, graph), graph, levels, sensitivity)
    every = np.array(list(product(range(levels), repeat=len(graph.groups))), np.uint8)
    flops, _ = costs_of_counts(graph, kept_counts(every, graph, levels))
    most = int(share * cost_of_graph(graph).flops)
    sums = table[np.arange(len(graph.groups)), every].sum(axis=1)
    found = bounded.best(table, graph, Space.of(graph, levels, 0), Budget(flops=most))
    assert found.solved
    assert found.value == pytest.approx(sums[flops <= most].max(), abs=1e-9)


@pytest.mark.parametrize("wrong", [[1.0], [1.0, -1.0, 1.0], [np.nan, 1.0, 1.0], [[1.0, 1.0, 1.0]]])
def test_sensitivities_of_another_network_are_refused(wrong: list[float]) -> None:
    network, graph, _ = any_network("squeeze_excite")
    with pytest.raises(
        InputError, match=rf"^sensitivity: found .*, expected a number from 0 for each of {len(graph.groups)} "
    ):
        values(network, graph, 10, np.array(wrong))


def test_an_unknown_form_is_refused() -> None:
    network, graph, _ = any_network("squeeze_excite")
    with pytest.raises(InputError, match="form: found 'cube', expected log or inverse"):
        values(network, graph, 10, np.ones(len(graph.groups)), form="cube")
