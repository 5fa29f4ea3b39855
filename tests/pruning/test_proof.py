"""A pruned network is proved against the masked original; whatever differs is refused, and the layer is named."""

import copy

import numpy as np
import pytest
import sacp
import torch
import torch.nn.functional as F
from networks_zoo import (
    CUSTOM_NETWORKS,
    CUSTOM_SHAPE,
    PAPER_NETWORKS,
    Custom,
    any_network,
    random_kept,
    randomised_norms,
)  # fmt: skip
from sacp.errors import InputError
from sacp.network.surgery import prune
from sacp.pruning import proof
from sacp.tracing.trace import trace, traced
from torch import nn


def conv(in_channels: int, out_channels: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, 3, padding=1)


def plain(rule=None) -> Custom:
    torch.manual_seed(0)
    layers = {"a": conv(3, 8), "norm": nn.BatchNorm2d(8), "b": conv(8, 6), "fc": nn.Linear(6, 5)}
    return Custom(rule or (lambda n, x: n.fc(F.relu(n.b(F.relu(n.norm(n.a(x))))).mean((2, 3)))), **layers)


KEPT = [np.array([0, 2, 3, 7]), np.array([1, 4, 5])]


def check(network: nn.Module, change=lambda smaller: None, shape=CUSTOM_SHAPE, **settings) -> None:
    """Prune a network, change the result, and prove it."""
    original = traced(network, shape)
    smaller = prune(network, original.graph, KEPT)
    change(smaller)
    proof.check(original, KEPT, smaller, shape, **settings)


@pytest.mark.parametrize("small_macs", [proof.SMALL_MACS, 0])
@pytest.mark.parametrize("name", [*PAPER_NETWORKS, *CUSTOM_NETWORKS])
def test_what_is_right_is_proved_in_both_precisions(name, small_macs, monkeypatch):
    monkeypatch.setattr(proof, "SMALL_MACS", small_macs)
    network, _, shape = any_network(name)
    original = traced(randomised_norms(network), shape)
    for seed in range(2):
        kept = random_kept(original.graph, np.random.default_rng(seed))
        proof.check(original, kept, prune(network, original.graph, kept), shape)


def swap(smaller):
    smaller.b.weight.data = smaller.b.weight.data.flip(1)


def swap_statistics(smaller):
    smaller.norm.running_mean.uniform_()


def unpruned(smaller):
    whole = plain()
    smaller.a, smaller.norm, smaller.b = whole.a, whole.norm, whole.b
    smaller.fc = whole.fc


def other_width(smaller):
    smaller.a, smaller.norm, smaller.b = conv(3, 5), nn.BatchNorm2d(5), conv(5, 3)


def wider_kernel(smaller):
    smaller.b = nn.Conv2d(4, 3, 5, padding=2)


def one_layer_less(smaller):
    smaller.rule = lambda n, x: n.fc(F.relu(n.b(F.relu(n.a(x)))).mean((2, 3)))


def more_at_the_end(smaller):
    rule = smaller.rule
    smaller.rule = lambda n, x: rule(n, x) * 2


def fails_in_training(smaller):
    smaller.norm.register_forward_pre_hook(lambda module, inputs: (inputs[0][:, :3],) if module.training else inputs)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (swap, "layer 'b' differs from the masked original by"),
        (swap_statistics, "layer 'b' differs from the masked original by"),
        (unpruned, "layer 'a' has 3 -> 8 channels when pruned, expected 3 -> 4"),
        (other_width, "layer 'a' has 3 -> 5 channels when pruned, expected 3 -> 4"),
        (wider_kernel, r"pruned, it costs Cost\(flops=\d+, parameters=\d+\), expected Cost\("),
        (one_layer_less, "pruned, it has other layers than before, among them 'norm'"),
        (more_at_the_end, "the output differs from the masked original by"),
        (lambda smaller: setattr(smaller, "left", conv(3, 8)), "it has 224 parameters outside its layers"),
        (lambda smaller: smaller.b.weight.data.fill_(float("nan")), "layer 'b' differs from the masked original"),
        (lambda smaller: setattr(smaller, "fc", nn.Linear(3, 4)), "layer 'fc' has 3 -> 4 channels when"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("precision", ["auto", "float64"])
def test_whatever_differs_is_refused_by_its_layer(change, message, precision):
    with pytest.raises(InputError, match=message) as caught:
        check(plain(), change, precision=precision)
    assert "\n" not in str(caught.value)


class OnlyInTraining(nn.Module):
    """Reads a number of channels in training that the module has been given."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.fc, self.width = conv(3, 8), conv(8, 6), nn.Linear(6, 5), 8

    def forward(self, x):
        x = self.a(x)
        if self.training:
            x = F.dropout(x, 0.1 if self.width else 0) + torch.zeros(1, self.width, 1, 1)
        return self.fc(self.b(x).mean((2, 3)))


@pytest.mark.parametrize(
    "rule",
    [
        lambda n, x: n.fc(n.b(n.a(x) * n.a.out_channels).mean((2, 3))),
        lambda n, x: n.fc(n.b(n.norm(n.a(x)) + n.norm.num_features).mean((2, 3))),
        lambda n, x: n.fc(n.b(F.leaky_relu(n.a(x), 1 / n.b.in_channels)).mean((2, 3))),
    ],
)
def test_numbers_of_channels_that_a_trace_does_not_show_are_found(rule):
    network, message = plain(rule), "layer 'b' differs from the masked original"
    trace(network, CUSTOM_SHAPE)  # nothing is to be seen there
    for precision in proof.PRECISIONS:
        with pytest.raises(InputError, match=message):
            check(network, precision=precision)
    with pytest.raises(InputError, match=message):
        sacp.prune(network, CUSTOM_SHAPE, flops=0.5)
    with pytest.raises(InputError, match=message):
        proof.rehearse(network, CUSTOM_SHAPE)


def test_what_fails_in_training_alone_is_refused():
    network = OnlyInTraining()
    with pytest.raises(InputError, match="in training"):
        sacp.prune(network.eval(), CUSTOM_SHAPE, flops=0.5)


def test_values_that_are_not_finite_are_refused_by_their_layer():
    network = plain()
    network.norm.running_var[2] = float("nan")
    with pytest.raises(InputError, match="layer 'b' gives NaN or infinite values"):
        check(network)
    network.norm.running_var[:] = torch.tensor([1, float("nan"), 1, 1, *[float("nan")] * 3, 1])
    check(network)  # what is removed does not matter


def test_rounding_in_float32_is_no_difference(monkeypatch):
    monkeypatch.setattr(proof, "SMALL_MACS", 0)
    monkeypatch.setattr(proof, "TOLERANCES", {torch.float32: 0.0, torch.float64: 1e-9})
    check(plain())
    with pytest.raises(InputError, match="layer 'b' differs"):
        check(plain(), swap)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_networks_of_any_precision_are_proved(dtype):
    check(plain().to(dtype))
    with pytest.raises(InputError, match="layer 'b' differs"):
        check(plain().to(dtype), swap)


@pytest.mark.parametrize("pool", [nn.AdaptiveAvgPool2d(1), nn.MaxPool2d(128)])
@pytest.mark.parametrize("small_macs", [1 << 40, 0])
def test_large_images_are_compared_small_where_the_network_takes_it(pool, small_macs, monkeypatch):
    monkeypatch.setattr(proof, "SMALL_MACS", small_macs)
    sizes, seen = set(), Custom(lambda n, x: sizes.add(tuple(x.shape[2:])) or x)
    network = Custom(lambda n, x: n.fc(n.norm(n.pool(n.b(n.a(x))).flatten(1))), a=conv(3, 8), b=conv(8, 6), pool=pool)
    network.norm, network.fc = nn.BatchNorm1d(6), nn.Linear(6, 2)  # the norm wants several images in training
    shape = (1, 3, 128, 128)
    original = traced(network, shape)
    smaller = prune(network, original.graph, KEPT)
    original.network.a.register_forward_hook(lambda module, inputs, output: seen(output))
    proof.check(original, KEPT, smaller, shape)
    assert sizes == {(26, 26)} if isinstance(pool, nn.AdaptiveAvgPool2d) else sizes == {(26, 26), (128, 128)}


@pytest.mark.parametrize("small_macs", [1 << 40, 0])
def test_a_network_that_takes_one_layout_alone_is_proved(small_macs, monkeypatch):
    monkeypatch.setattr(proof, "SMALL_MACS", small_macs)
    network = Custom(lambda n, x: n.fc(n.b(n.a(x)).view(x.size(0), -1)), a=conv(3, 8), b=conv(8, 6))
    network.fc = nn.Linear(6 * 8 * 8, 2)
    check(network)
    with pytest.raises(InputError, match="layer 'b' differs"):
        check(network, swap)


def test_images_that_are_cut_to_windows_are_compared_whole():
    def rule(n, x):
        b, c, h, w = (x := n.a(x)).shape
        x = x.view(b, c, h // 64, 64, w // 64, 64).permute(0, 2, 4, 1, 3, 5).reshape(-1, c, 64, 64)
        return n.fc(n.b(x).mean((2, 3)).view(b, 4, -1).mean(1))

    check(Custom(rule, a=conv(3, 8), b=conv(8, 6), fc=nn.Linear(6, 2)), shape=(1, 3, 128, 128))


def test_operations_in_place_do_not_disturb():
    def rule(n, x):
        x = F.relu(n.b(F.relu(n.norm(n.a(x)), inplace=True)), inplace=True)
        x = n.fc(x.mean((2, 3)))
        x = x.add_(1)
        return F.hardswish(x, inplace=True)

    network = plain(rule)
    check(network)
    with pytest.raises(InputError, match="layer 'b' differs"):
        check(network, swap)


def test_a_network_that_draws_in_evaluation_is_refused_as_such():
    network = plain(lambda n, x: n.fc(F.dropout(n.b(n.a(x))).mean((2, 3))))
    random = torch.get_rng_state()
    with pytest.raises(InputError, match=r"already 'fc' of the original gives other values each time"):
        check(network)
    assert torch.equal(torch.get_rng_state(), random)


def test_structures_of_tensors_are_compared():
    network = plain(lambda n, x: {"logits": n.fc(n.b(n.a(x)).mean((2, 3))), "all": [x, x]})
    check(network)

    def other(smaller):
        smaller.rule = lambda n, x: {"logits": n.fc(n.b(n.a(x)).mean((2, 3))), "all": [x, x + 1]}

    with pytest.raises(InputError, match="the output differs"):
        check(network, other)


def test_networks_and_randomness_are_left_as_they_were():
    network, original = plain().train(), traced(plain(), CUSTOM_SHAPE)
    smaller = prune(network, original.graph, KEPT)
    smaller.b.eval()
    before, random = [copy.deepcopy(each.state_dict()) for each in (network, smaller)], torch.get_rng_state()
    proof.check(original, KEPT, smaller, CUSTOM_SHAPE)
    for state, each in zip(before, (network, smaller), strict=True):
        assert all(torch.equal(value, each.state_dict()[name]) for name, value in state.items())
    assert (network.training, smaller.training, smaller.b.training) == (True, True, False)
    assert torch.equal(torch.get_rng_state(), random)


def test_a_network_without_weights_is_counted_alone():
    with torch.device("meta"):
        network = plain()
    original = traced(network, CUSTOM_SHAPE)
    proof.check(original, KEPT, prune(network, original.graph, KEPT), CUSTOM_SHAPE)


def test_the_rehearsal_returns_the_networks_graph():
    assert proof.rehearse(plain(), CUSTOM_SHAPE) == trace(plain(), CUSTOM_SHAPE)


@pytest.mark.parametrize("value", ["float16", 1, None])
def test_a_precision_of_another_name_is_refused(value):
    with pytest.raises(InputError, match=rf"^proof: found {value!r}, expected auto or float64$"):
        sacp.prune(plain(), CUSTOM_SHAPE, flops=0.5, proof=value)
