"""ATO: its formulas by hand, gates against surgery, a controller that meets its target, and the training."""

import math

import numpy as np
import pytest
import torch
from learning_tasks import ends_alike, flops_of, task
from networks_zoo import any_network, built, randomised_norms
from sacp.baselines import ato
from sacp.baselines.ato_controller import Controller, Shares, gumbel, hard_gates, price, soft_gates
from sacp.baselines.channel_parameters import ChannelParameters
from sacp.baselines.inner import Gates, inner_groups
from sacp.baselines.learning import settled
from sacp.baselines.spaces import nearest_counts
from sacp.network.constraints import Constraints
from sacp.network.surgery import prune

OPTIONS = {"start": 0, "shrink": 0.2, "freeze": 0.5, "every": 1, "subset": 0.5, "weight": 4, "pull": 10}


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        (0.8, 4 * math.log(1.6)),
        (0.3, 4 * math.log(5 / 3)),
        (0.5, 4 * math.log(0.5 / 0.495)),
        (0.502, 4 * math.log(1.01)),
    ],
)
def test_the_price_of_a_share_by_hand(share, expected):
    found = torch.tensor(share, requires_grad=True)
    cost = price(found, 0.5, 4)
    assert cost.item() == pytest.approx(expected, rel=1e-5)
    cost.backward()
    assert found.grad.item() == pytest.approx({0.8: 5, 0.3: -4 / 0.3}.get(share, 0), rel=1e-5)


def test_gates_by_hand():
    logits, none = torch.tensor([0.0, -6.0], requires_grad=True), torch.zeros(2)
    assert soft_gates(logits, none)[0].item() == pytest.approx(0.99945, abs=1e-5)
    gates = hard_gates(logits, none)
    assert gates.tolist() == [1, 0]
    gates.sum().backward()
    soft = torch.sigmoid(torch.tensor([3.0, -3.0]) / 0.4)
    assert torch.allclose(logits.grad, soft * (1 - soft) / 0.4)
    assert torch.equal(gumbel(5, 1), gumbel(5, 1))
    assert gumbel(100_000, 2).mean().item() == pytest.approx(0.5772, abs=0.02)  # Euler's constant


@pytest.mark.parametrize(("norm", "left"), [(1.0, 0.75), (0.2, 0.0)])
def test_what_is_off_shrinks_by_hand(norm, left):
    given = task(OPTIONS)
    training = ato.Training(given)
    training.optimizer.param_groups[0]["lr"] = 0.1
    parameters = training.parameters
    squares = parameters.products(parameters.values(), parameters.values())
    parameters.scale(norm / squares.sqrt())
    # A quarter of what is off lies in the second group: pull 10 * share 0.25 * lr 0.1 is 0.25.
    first, second = (sum(given.graph.channels[:number]) for number in (1, 2))
    training.on[:6], training.on[first : first + 2] = False, False
    assert first == 8
    assert second > first + 2
    training._shrink()
    norms = parameters.products(parameters.values(), parameters.values()).sqrt()
    assert norms[first].item() == pytest.approx(left, abs=1e-6)
    assert norms[0].item() == pytest.approx(max(0, norm - 0.75), abs=1e-6)
    assert norms[7].item() == pytest.approx(norm)


def test_inner_groups_are_those_that_one_layer_makes():
    _, graph = built("resnet20", 0.5)
    found = [group.name for group, is_inner in zip(graph.groups, inner_groups(graph), strict=True) if is_inner]
    assert len(found) == 9
    assert all(name.endswith("conv1") and "." in name for name in found)
    assert inner_groups(built("vgg11", 0.25)[1]).all()


@pytest.mark.parametrize("name", ["resnet20", "vgg11", "flat", "depthwise", "concatenated"])
def test_gates_of_zero_are_what_the_surgery_takes_away(name):
    network, graph, shape = any_network(name)
    randomised_norms(network).eval()
    free = inner_groups(graph)
    rng = np.random.default_rng(0)
    halves = [np.sort(rng.permutation(number)[: max(1, number // 2)]) for number in graph.channels]
    whole = [np.arange(number) for number in graph.channels]
    kept = [half if is_free else every for half, every, is_free in zip(halves, whole, free, strict=True)]
    left = [np.isin(every, each) for every, each in zip(whole, kept, strict=True)]
    gates = torch.as_tensor(np.concatenate(left)).float()
    images = torch.randn(4, *shape[1:])
    with torch.no_grad():
        gated = Gates(network, graph, free)(images, gates)
        assert torch.allclose(prune(network, graph, kept).eval()(images), gated, atol=1e-5)
        assert not torch.allclose(gated, network(images), atol=1e-3)
        assert torch.equal(Gates(network, graph, free)(images, torch.ones_like(gates)), network(images))


def test_shares_are_those_of_the_counted_flops():
    _, graph = built("resnet20", 0.5)
    free = inner_groups(graph)
    shares = Shares(graph, free.tolist())
    counts = np.where(free, 3, graph.channels)
    gates = torch.cat([torch.arange(n) < 3 for n in shares.channels]).double()
    expected = (flops_of(graph, counts) - shares.fixed) / shares.most
    assert shares(gates).item() == pytest.approx(expected)
    assert shares.of_flops(flops_of(graph, counts)) == pytest.approx(expected)
    assert shares(torch.ones_like(gates)).item() == pytest.approx(1)
    assert shares.of_flops(0) == 0.01


def test_a_controller_without_a_network_reaches_its_target():
    _, graph = built("resnet20", 0.5)
    shares = Shares(graph, inner_groups(graph).tolist())
    torch.manual_seed(0)
    controller = Controller(shares.channels)
    adam, number = torch.optim.AdamW(controller.parameters(), 1e-3, weight_decay=1e-2), sum(shares.channels)
    for step in range(500):
        cost = 2 * price(shares(hard_gates(controller(), gumbel(number, step))), 0.5, 4)
        adam.zero_grad()
        cost.backward()
        adam.step()
    with torch.no_grad():
        found = [shares(hard_gates(controller(), gumbel(number, 1000 + draw))).item() for draw in range(20)]
    assert np.mean(found) == pytest.approx(0.5, abs=0.03)


def test_the_nearest_counts_leave_other_groups_whole_and_meet_what_can_be_met():
    _, graph = built("resnet20", 0.5)
    free, rng = inner_groups(graph), np.random.default_rng(0)
    scores = [rng.random(number) for number in graph.channels]
    whole = flops_of(graph, np.array(graph.channels))
    counts = nearest_counts(graph, scores, free, whole // 2)
    assert (counts[~free] == np.array(graph.channels)[~free]).all()
    assert abs(flops_of(graph, counts) / (whole // 2) - 1) <= 0.01
    assert nearest_counts(graph, scores, free, whole).tolist() == graph.channels
    assert (nearest_counts(graph, scores, free, 1)[free] == 1).all()


@pytest.mark.parametrize("own", [True, False])
def test_channels_are_kept_at_the_target_and_the_others_are_zero(own):
    given = task(OPTIONS, 0.7, own_weights=own)
    learned = ato.select(given)
    assert not learned.nearest
    kept, free = settled(learned, given, "ato"), inner_groups(given.graph)
    counts = np.array([len(channels) for channels in kept])
    assert (counts[~free] == np.array(given.graph.channels)[~free]).all()
    assert abs(flops_of(given.graph, counts) / given.target_flops - 1) <= 0.02
    assert len(learned.history) == (3 if own else 2)
    if not own:
        assert learned.network is None
        return
    parameters = ChannelParameters(learned.network, given.graph)
    norms = parameters.by_group(parameters.products(parameters.values(), parameters.values()))
    assert [np.flatnonzero(each).tolist() for each in norms] == [channels.tolist() for channels in kept]
    network, images = learned.network.eval(), torch.randn(4, 1, 8, 8)
    with torch.no_grad():
        assert torch.allclose(prune(network, given.graph, kept).eval()(images), network(images), atol=1e-5)


def test_a_target_beyond_its_space_is_missed_as_little_as_can_be(caplog):
    given = task(OPTIONS, 0.1)
    learned = ato.select(given)
    kept, free = settled(learned, given, "ato"), inner_groups(given.graph)
    assert learned.nearest
    assert all(len(channels) == 1 for channels, is_free in zip(kept, free, strict=True) if is_free)
    assert "the nearest that the channels it can remove allow" in caplog.text


def test_constraints_hold():
    given = task(OPTIONS, 0.8, Constraints(("stages.0.0.conv1",), 2, 0.4))
    for channels, whole in zip(settled(ato.select(given), given, "ato"), given.graph.channels, strict=True):
        assert len(channels) == whole or (len(channels) % 2 == 0 and len(channels) >= 0.4 * whole)


@pytest.mark.parametrize("number", [0, 2, 4, 5, 6, 9, 11])
def test_stopped_at_any_step_it_ends_in_the_same_bits(tmp_path, monkeypatch, number):
    ends_alike(ato.select, OPTIONS, number, tmp_path / "state.pt", monkeypatch, share=0.7)
