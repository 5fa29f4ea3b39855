"""OTO: its formulas by hand, zero channels that go without a trace, and the training that makes them."""

from typing import Any

import numpy as np
import pytest
import torch
from learning_tasks import ends_alike, task
from networks_zoo import any_network, built, randomised_norms
from sacp.baselines import oto, oto_scores
from sacp.baselines.channel_parameters import ChannelParameters
from sacp.baselines.learning import settled
from sacp.baselines.oto_scores import Products
from sacp.network.constraints import Constraints
from sacp.network.cost import costs_of_counts
from sacp.network.graph import Kept
from sacp.network.surgery import prune
from torch import nn
from trainings import same_weights

DHSPG = {"optimiser": "dhspg", "start": 0, "penalty": 0.001, "half_space": 0.95, "end": 0.5, "periods": 3}
HESSO = DHSPG | {"optimiser": "hesso"}


def products(x: list[float], d: list[float]) -> Products:
    first, second = torch.tensor([x], dtype=torch.float64), torch.tensor([d], dtype=torch.float64)
    return Products(*((a * b).sum(1) for a, b in ((first, first), (first, second), (second, second))))


def test_a_step_of_dhspg_by_hand():
    # <x, d> = -1.4 < 0: the bounds are 1.4 / 5 = 0.28 and 0.37 * 5 / 1.4 = 1.321; 2 * 0.28 is cut to 10 * 0.001.
    found = products([3, 4], [-0.6, 0.1])
    assert oto_scores.penalty(found, 0.001).item() == pytest.approx(0.01)
    # Without the cut it lies between the bounds; above the upper one, their mean is taken.
    assert oto_scores.penalty(found, 1.0).item() == pytest.approx(1.0)
    assert oto_scores.penalty(found, 2.0).item() == pytest.approx((0.28 + 0.37 * 5 / 1.4) / 2)
    assert oto_scores.penalty(products([3, 4], [0.6, 0.1]), 0.001).item() == 0.001  # it shrinks already
    lambdas = torch.tensor([0.01], dtype=torch.float64)
    # x' = (3.0594, 3.9892): <x', x> / <x, x> = 25.135 / 25 = 1.0054
    assert not oto_scores.leaves_half_space(found, lambdas, 0.1, 1.0053)
    assert oto_scores.leaves_half_space(found, lambdas, 0.1, 1.0055)


def test_redundant_are_small_channels_and_those_that_a_step_shrinks():
    def found(*pairs: tuple[list[float], list[float]]) -> torch.Tensor:
        each = [products(*pair) for pair in pairs]
        joined = Products(*(torch.cat([getattr(one, name) for one in each]) for name in ("xx", "xd", "dd")))
        return oto_scores.redundancy(joined, torch.full((len(pairs),), 2.0, dtype=torch.float64))

    shrinking, growing = found(([3, 4], [3, 4]), ([3, 4], [-3, -4]))
    # Cosines 1 and -1 over their norm; the inverse means are alike.
    assert (shrinking.item(), growing.item()) == pytest.approx((1 / 2**0.5, 0), abs=1e-7)
    small, large = found(([0.3, 0.4], [1, 0]), ([3, 4], [1, 0]))
    assert small > large


def test_importance_is_the_mean_of_five_scores_over_their_norms():
    xx, xd, dd = (torch.tensor(values, dtype=torch.float64) for values in ([9.0, 16.0], [3.0, 0.0], [1.0, 1.0]))
    found = oto_scores.importance(Products(xx, xd, dd), torch.tensor([1.0, 2.0], dtype=torch.float64))
    # Norms 3, 4; per parameter 3, 2; cosines + 1: 2, 1; Taylor's terms 3, 0 and 4.5, 0.
    expected = np.mean([[3 / 5, 4 / 5], np.array([3, 2]) / 13**0.5, np.array([2, 1]) / 5**0.5, [1, 0], [1, 0]], axis=0)
    assert found.numpy() == pytest.approx(expected, rel=1e-6)


def test_fading_is_linear_and_ends_in_zero():
    factors = [oto_scores.fading(step, 4) for step in range(4)]
    assert factors == pytest.approx([3 / 4, 2 / 3, 1 / 2, 0])
    assert np.cumprod(factors) == pytest.approx([0.75, 0.5, 0.25, 0])


def zeroed(network: nn.Module, graph: Any, removed: np.ndarray) -> Kept:
    """Make all parameters of some channels [Z] zero, in place; the channels that are left."""
    parameters = ChannelParameters(network, graph)
    parameters.scale(torch.as_tensor(~removed, dtype=torch.float64))
    ends = np.cumsum(graph.channels)[:-1]
    return [np.flatnonzero(~part) for part in np.split(removed, ends)]


@pytest.mark.parametrize("name", ["resnet20", "vgg11", "depthwise", "concatenated", "squeeze_excite", "transformer"])
def test_a_network_without_its_zero_channels_computes_the_same(name):
    network, graph, shape = any_network(name)
    randomised_norms(network).eval()
    removed = np.random.default_rng(0).random(sum(graph.channels)) < 0.4
    removed[np.concatenate([[0], np.cumsum(graph.channels)[:-1]])] = False  # one is left of each group
    images = torch.randn(4, *shape[1:])
    with torch.no_grad():
        whole = network(images)
        kept = zeroed(network, graph, removed)
        expected = network(images)
        assert torch.allclose(prune(network, graph, kept).eval()(images), expected, atol=1e-5)
    assert not torch.allclose(expected, whole, atol=1e-3)


def test_the_parameters_of_a_channel_are_those_that_the_surgery_takes_with_it():
    network, graph = built("resnet20", 0.5)
    sizes = ChannelParameters(network, graph).sizes
    group, first = graph.groups[0], int(sizes[0])
    # The stem's stream: each of its convolutions, with scale and shift of its batch norm.
    expected = sum(network.get_submodule(name).weight[0].numel() + 2 for name in group.layers)
    assert first == expected


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("options", [DHSPG, HESSO], ids=["dhspg", "hesso"])
def test_channels_are_kept_at_the_target_and_the_others_are_zero(options, own):
    given = task(options, own_weights=own)
    before = {name: value.clone() for name, value in given.base.state_dict().items()}
    learned = oto.select(given)
    kept = settled(learned, given, "oto")
    counts = np.array([[len(channels) for channels in kept]])
    assert abs(costs_of_counts(given.graph, counts)[0][0] / given.target_flops - 1) <= 0.02
    assert all(torch.equal(value, before[name]) for name, value in given.base.state_dict().items())
    assert len(learned.judged) == 1
    if not own:
        assert learned.network is None
        assert len(learned.history) == (1 if options is DHSPG else 2)  # no longer than it takes to choose
        return
    assert len(learned.history) == 3
    assert not same_weights(learned.network, given.base)
    parameters = ChannelParameters(learned.network, given.graph)
    norms = parameters.by_group(parameters.products(parameters.values(), parameters.values()))
    assert [np.flatnonzero(each).tolist() for each in norms] == [channels.tolist() for channels in kept]
    images = torch.randn(4, 1, 8, 8)
    network = learned.network.eval()
    with torch.no_grad():
        assert torch.allclose(prune(network, given.graph, kept).eval()(images), network(images), atol=1e-5)


def test_what_is_kept_does_not_depend_on_whose_weights_go_on():
    for options in (DHSPG | {"start": 0.4}, HESSO):
        own, base = (oto.select(task(options, own_weights=each)).kept for each in (True, False))
        assert all(map(np.array_equal, own, base))


@pytest.mark.parametrize("options", [DHSPG, HESSO], ids=["dhspg", "hesso"])
def test_constraints_hold(options):
    given = task(options, 0.7, Constraints(("stages.0.0.conv1",), 2, 0.4))
    kept = settled(oto.select(given), given, "oto")
    for channels, whole in zip(kept, given.graph.channels, strict=True):
        assert len(channels) == whole or (len(channels) % 2 == 0 and len(channels) >= 0.4 * whole)


def test_dhspg_brings_channels_to_zero_by_itself_where_its_penalty_is_strong(caplog):
    learned = oto.select(task(DHSPG | {"penalty": 10.0}, own_weights=True))
    assert learned.network is not None
    assert "had not come to zero" not in caplog.text
    caplog.clear()
    oto.select(task(DHSPG | {"penalty": 1e-6, "half_space": 0.0}, own_weights=True))
    assert "chosen channels had not come to zero" in caplog.text


def test_hesso_leaves_nothing_to_the_end(caplog):
    oto.select(task(HESSO, own_weights=True))
    assert "had not come to zero" not in caplog.text


@pytest.mark.parametrize("number", [0, 1, 3, 4, 5, 8, 11])
@pytest.mark.parametrize("options", [DHSPG | {"penalty": 10.0}, HESSO], ids=["dhspg", "hesso"])
def test_stopped_at_any_step_it_ends_in_the_same_bits(tmp_path, monkeypatch, options, number):
    ends_alike(oto.select, options, number, tmp_path / "state.pt", monkeypatch)
