import copy
import threading
from functools import partial

import numpy as np
import pytest
import torch
import torchvision
from networks_zoo import (
    CUSTOM_NETWORKS,
    CUSTOM_SHAPE,
    PAPER_NETWORKS,
    Custom,
    any_network,
    flat,
    masked_where_read,
    random_kept,
    randomised_norms,
)  # fmt: skip
from sacp.errors import InputError
from sacp.network import surgery
from sacp.network.cost import Cost, costs_of_counts
from sacp.network.graph import kept_elements, places
from sacp.network.surgery import prune, resized, widths
from sacp.pruning.criteria import kept_channels, random_order
from sacp.pruning.space import kept_counts
from sacp.tracing.trace import count, trace
from torch import nn


def conv(in_channels: int, out_channels: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, 3, padding=1)


ALL_NETWORKS = [*PAPER_NETWORKS, *CUSTOM_NETWORKS]


def zero_removed(module, inputs, output, mask):
    return output * mask.view(1, -1, *[1] * (output.dim() - 2))


def masked(network: nn.Module, graph, kept) -> nn.Module:
    """Return a copy of the network that zeroes the removed channels after every batch norm, and where they are read."""
    result = masked_where_read(network, graph, kept)
    for node in graph.nodes:
        if node.kind == "bn" and node.groups:
            mask = torch.zeros(node.channels, dtype=torch.float64)
            mask[kept_elements(node.outputs, kept)] = 1
            result.get_submodule(node.name).register_forward_hook(partial(zero_removed, mask=mask))
    return result


def prepared(name: str):
    """Return a network in double precision whose norms are not the identity, its graph and a batch of images."""
    torch.manual_seed(11)
    network, graph, shape = any_network(name)
    images = torch.randn(4, *shape[1:], dtype=torch.float64)
    return randomised_norms(network).double().eval(), graph, images


def kept_at(graph, step: int):
    steps = np.full(len(graph.groups), step)
    return kept_channels(random_order(graph, np.random.default_rng(3)), kept_counts(steps, graph, 10))


def one_of_each(graph):
    return [channels[:1] for channels in random_order(graph, np.random.default_rng(4))]


CONFIGURATIONS = {
    "random 0": lambda graph: random_kept(graph, np.random.default_rng(0)),
    "random 1": lambda graph: random_kept(graph, np.random.default_rng(1)),
    "random 2": lambda graph: random_kept(graph, np.random.default_rng(2), levels=4),
    "last step": lambda graph: kept_at(graph, 9),
    "one channel": one_of_each,
}


def assert_same_state(before, after) -> None:
    assert list(before) == list(after)
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("configuration", CONFIGURATIONS)
@pytest.mark.parametrize("name", ALL_NETWORKS)
def test_pruned_network_equals_the_masked_one(name, configuration):
    network, graph, images = prepared(name)
    kept = CONFIGURATIONS[configuration](graph)
    with torch.no_grad():
        smaller, zeroed, whole = (
            prune(network, graph, kept)(images),
            masked(network, graph, kept)(images),
            network(images),
        )
    torch.testing.assert_close(smaller, zeroed, rtol=1e-9, atol=1e-9)
    assert not torch.allclose(zeroed, whole, atol=1e-3)  # the mask does something


@pytest.mark.parametrize("name", ALL_NETWORKS)
def test_nothing_pruned_is_the_same_network(name):
    network, graph, images = prepared(name)
    same = prune(network, graph, kept_at(graph, 0))
    assert_same_state(network.state_dict(), same.state_dict())
    with torch.no_grad():
        assert torch.equal(same(images), network(images))


@pytest.mark.parametrize("name", PAPER_NETWORKS)
def test_pruned_network_trains(name):
    network, graph, images = prepared(name)
    smaller = prune(network.train(), graph, kept_at(graph, 9))
    smaller(images).square().sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in smaller.parameters())
    assert all(parameter.grad is None for parameter in network.parameters())


@pytest.mark.parametrize("name", ALL_NETWORKS)
def test_original_is_untouched_and_shares_no_memory(name):
    network, graph, _ = prepared(name)
    before = copy.deepcopy(network.state_dict())
    for kept in (kept_at(graph, 0), kept_at(graph, 5)):
        smaller = prune(network, graph, kept)
        for tensor in smaller.state_dict().values():
            tensor.fill_(3)
    assert_same_state(before, network.state_dict())


@pytest.mark.parametrize("name", ["resnet18", "depthwise"])
def test_training_flags_are_kept_and_inherited(name):
    network, graph, _ = prepared(name)
    for module in list(network.modules())[::2]:
        module.training = True
    flags = [module.training for module in network.modules()]
    smaller = prune(network, graph, kept_at(graph, 5))
    assert {True, False} == set(flags)
    assert [module.training for module in network.modules()] == flags
    assert [module.training for module in smaller.modules()] == flags


@pytest.mark.parametrize("name", ["resnet18", "depthwise"])
def test_frozen_parameters_stay_frozen(name):
    network, graph, _ = prepared(name)
    for parameter in list(network.parameters())[::2]:
        parameter.requires_grad = False
    flags = [parameter.requires_grad for parameter in network.parameters()]
    smaller = prune(network, graph, kept_at(graph, 5))
    assert [parameter.requires_grad for parameter in network.parameters()] == flags
    assert [parameter.requires_grad for parameter in smaller.parameters()] == flags


def test_weights_biases_and_statistics_are_those_of_the_kept_channels():
    network = randomised_norms(flat())
    graph = trace(network, CUSTOM_SHAPE)
    old = network.state_dict()
    new = prune(network, graph, [np.array([0, 2, 5]), np.array([1, 4])]).state_dict()
    assert torch.equal(new["conv1.weight"], old["conv1.weight"][[0, 2, 5]])
    assert torch.equal(new["conv2.weight"], old["conv2.weight"][[1, 4]][:, [0, 2, 5]])
    assert torch.equal(new["conv2.bias"], old["conv2.bias"][[1, 4]])
    for name in ("weight", "bias", "running_mean", "running_var"):
        assert torch.equal(new[f"norm1.{name}"], old[f"norm1.{name}"][[0, 2, 5]])
    # Each channel is flattened to 2x2 positions: channel 1 owns the columns 4 to 7, channel 4 the columns 16 to 19.
    assert torch.equal(new["classifier.weight"], old["classifier.weight"][:, [4, 5, 6, 7, 16, 17, 18, 19]])
    assert torch.equal(new["classifier.bias"], old["classifier.bias"])


@pytest.mark.parametrize("part", [1, 7, 1 << 18])
@pytest.mark.parametrize("kind", [nn.Conv2d, nn.ConvTranspose2d])
def test_weights_that_are_cut_by_parts_are_those_of_the_kept_channels(kind, part, monkeypatch):
    monkeypatch.setattr(surgery, "PART", part)
    layers = {"a": conv(3, 8), "b": kind(8, 6, 3), "fc": nn.Linear(6, 2)}
    network = Custom(lambda n, x: n.fc(n.b(n.a(x)).mean((2, 3))), **layers)
    first, second = np.array([0, 2, 3, 7]), np.array([1, 4, 5])
    smaller = prune(network, trace(network, CUSTOM_SHAPE), [first, second])
    rows, columns = (second, first) if kind is nn.Conv2d else (first, second)
    assert torch.equal(smaller.b.weight, network.b.weight[rows][:, columns])
    assert smaller.b.weight.is_contiguous()


def test_factors_multiply_the_kept_channels_where_they_are_read():
    network = randomised_norms(flat())
    graph = trace(network, CUSTOM_SHAPE)
    kept = [np.array([0, 2, 5]), np.array([1, 4])]
    plain = prune(network, graph, kept).state_dict()
    scaled = prune(network, graph, kept, [np.array([2.0, 0.5, -1]), np.array([3.0, 1])]).state_dict()
    changed = {"conv2.weight", "classifier.weight"}
    assert_same_state(*({key: state[key] for key in state if key not in changed} for state in (plain, scaled)))
    factors = torch.tensor([2, 0.5, -1]).view(1, 3, 1, 1)
    assert torch.equal(scaled["conv2.weight"], plain["conv2.weight"] * factors)
    # 2x2 positions of each channel: four columns of channel 1, then four of channel 4.
    assert torch.equal(scaled["classifier.weight"], plain["classifier.weight"] * torch.tensor([3.0] * 4 + [1.0] * 4))


def scale_inputs(module, inputs, factors):
    return inputs[0] * factors


@pytest.mark.parametrize("name", ALL_NETWORKS)
def test_factors_in_the_weights_equal_factors_of_what_they_read(name):
    network, graph, images = prepared(name)
    kept, rng = random_kept(graph, np.random.default_rng(2), levels=4), np.random.default_rng(1)
    scales = [rng.uniform(0.5, 2, len(channels)) for channels in kept]
    scaled, plain = prune(network, graph, kept, scales), prune(network, graph, kept)
    hooked = copy.deepcopy(plain)
    for node in graph.nodes:
        original = network.get_submodule(node.name) if node.kind in ("conv", "linear") else None
        if original is not None and node.in_groups and node.mixes:
            every = np.ones(node.in_channels)
            for group in node.in_groups:
                of_channels = np.ones(graph.groups[group].channels)
                of_channels[kept[group]] = scales[group]
                elements, channels = places(node.inputs, group)
                every[elements] = of_channels[channels]
            factors = torch.from_numpy(every[kept_elements(node.inputs, kept)])
            factors = factors if node.kind == "linear" else factors.view(-1, 1, 1)
            hooked.get_submodule(node.name).register_forward_pre_hook(partial(scale_inputs, factors=factors))
    with torch.no_grad():
        torch.testing.assert_close(scaled(images), hooked(images), rtol=1e-9, atol=1e-9)
        assert not torch.allclose(scaled(images), plain(images), atol=1e-3)


def test_depthwise_convolution_keeps_one_filter_per_channel():
    network, graph, _ = prepared("depthwise")
    kept = [np.array([1, 3, 11]), np.array([0])]
    smaller = prune(network, graph, kept)
    assert (smaller[3].groups, smaller[3].in_channels, smaller[3].out_channels) == (3, 3, 3)
    assert torch.equal(smaller[3].weight, network[3].weight[[1, 3, 11]])
    assert (smaller[3].stride, smaller[3].padding) == (network[3].stride, network[3].padding)


def test_options_of_the_layers_survive():
    norm = nn.BatchNorm2d(6, eps=0.01, momentum=None)
    layers = [nn.Conv2d(3, 6, 3, 2, 2, dilation=2, padding_mode="circular"), norm, nn.ReLU()]
    network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4, bias=False))
    smaller = prune(network, trace(network, CUSTOM_SHAPE), [np.array([0, 1])])
    options = ("stride", "padding", "dilation", "padding_mode", "kernel_size")
    assert all(getattr(smaller[0], option) == getattr(network[0], option) for option in options)
    assert (smaller[1].eps, smaller[1].momentum, smaller[5].bias) == (0.01, None, None)


def test_a_layer_under_two_names_is_cut_once_and_stays_one_layer():
    network = flat()
    network.body = nn.Sequential(network.conv1, network.norm1)
    network.helpers = nn.ModuleList([network.conv2, network.classifier])
    kept = [np.array([0, 2, 5]), np.array([1, 4])]
    smaller, plain = (
        prune(network, trace(network, CUSTOM_SHAPE), kept),
        prune(network, trace(network, CUSTOM_SHAPE), kept),
    )
    assert smaller.body[0] is smaller.conv1
    assert smaller.helpers[1] is smaller.classifier
    assert sum(parameter.numel() for parameter in smaller.parameters()) == count(smaller, CUSTOM_SHAPE).parameters
    loaded = resized(network, {name: value.clone() for name, value in smaller.state_dict().items()})
    assert loaded.body[0] is loaded.conv1
    assert_same_state(loaded.state_dict(), plain.state_dict())


def test_layers_that_forward_calls_by_their_second_names_are_cut():
    layers = [conv(3, 8), nn.ReLU(), conv(8, 6), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 5)]
    network = Custom(lambda n, x: n.body(x), first=layers[0], second=layers[2], body=nn.Sequential(*layers)).eval()
    images, kept = torch.randn(2, 3, 8, 8), [np.array([1, 2, 7]), np.array([0, 5])]
    graph = trace(network, CUSTOM_SHAPE)
    smaller = prune(network, graph, kept)
    assert count(smaller, CUSTOM_SHAPE) == Cost(*(int(cost[0]) for cost in costs_of_counts(graph, np.array([[3, 2]]))))
    plain = prune(nn.Sequential(*layers), trace(nn.Sequential(*layers), CUSTOM_SHAPE), kept)
    assert torch.equal(smaller(images), plain(images))


def test_a_batch_norm_without_affine_parameters_is_cut_with_its_statistics():
    layers = [conv(3, 8), nn.BatchNorm2d(8, affine=False), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    network = nn.Sequential(*layers, nn.Linear(8, 5)).eval()
    network[1].running_mean.uniform_(-1, 1)
    network[1].running_var.uniform_(0.5, 2)
    kept, images = np.array([1, 4, 6]), torch.randn(2, 3, 8, 8)
    smaller = prune(network, trace(network, CUSTOM_SHAPE), [kept])
    assert smaller[1].num_features == 3
    assert torch.equal(smaller[1].running_var, network[1].running_var[[1, 4, 6]])
    with torch.no_grad():
        torch.testing.assert_close(smaller[:2](images), network[:2](images)[:, kept])


def test_what_else_a_layer_has_survives():
    class Named(nn.Linear):
        role = "head"

    network = flat()
    network.classifier.__class__ = Named
    network.conv1.note = ["mine"]
    network.conv1.register_forward_hook(lambda module, inputs, output: output * 2)
    images, graph = torch.randn(2, 3, 8, 8), trace(flat(), CUSTOM_SHAPE)
    smaller = prune(network, graph, [np.array([0, 2, 5]), np.array([1, 4])])
    assert (smaller.classifier.role, smaller.conv1.note) == ("head", ["mine"])
    assert smaller.conv1.note is not network.conv1.note
    assert torch.equal(smaller.conv1(images), network.conv1(images)[:, [0, 2, 5]])


def test_empty_hooks_and_collections_of_a_copy_are_its_own():
    network = flat()
    network.conv1.seen = network.classifier.seen = {}
    smaller = prune(network, trace(flat(), CUSTOM_SHAPE), [np.array([0, 2, 5]), np.array([1, 4])])
    smaller.conv1.register_forward_hook(lambda module, inputs, output: output * 2)
    smaller.conv1.seen["images"] = 2
    assert (len(network.conv1._forward_hooks), network.conv1.seen) == (0, {})
    assert smaller.classifier.seen is smaller.conv1.seen  # what two layers share they still share


def test_layers_whose_format_has_versions_are_not_taken_for_old_ones():
    network = torchvision.models.mnasnet0_5(
        num_classes=3
    ).eval()  # reads a state dict without a version as one of its first
    graph = trace(network, (1, 3, 64, 64))
    smaller = prune(network, graph, kept_at(graph, 5))
    assert smaller(torch.zeros(1, 3, 64, 64)).shape == (1, 3)
    assert smaller.layers[0].out_channels == network.layers[0].out_channels // 2


def test_a_network_that_cannot_be_copied_is_refused():
    network = flat()
    network.lock = threading.Lock()
    with pytest.raises(InputError, match="network: Custom cannot be copied"):
        prune(network, trace(flat(), CUSTOM_SHAPE), [np.array([0]), np.array([1])])


def test_resized_refuses_a_kernel_of_another_size():
    state = flat().state_dict()
    state["conv1.weight"] = state["conv1.weight"][..., :1]
    with pytest.raises(InputError, match="weights do not fit the network"):
        resized(flat(), state)


@pytest.mark.parametrize("name", ["conv1.bias", "conv2.bias", "norm1.running_var", "classifier.bias"])
def test_resized_refuses_tensors_of_one_layer_that_do_not_fit_together(name):
    network = flat()
    state = network.state_dict()
    state[name] = torch.ones(3)
    with pytest.raises(InputError, match="weights do not fit the network"):
        resized(network, state)


def test_resized_refuses_the_weights_of_another_network():
    with pytest.raises(InputError, match="weights do not fit the network"):
        resized(flat(), any_network("resnet18")[0].state_dict())


def test_resized_refuses_a_weight_with_the_wrong_number_of_dimensions():
    state = flat().state_dict()
    state["conv1.weight"] = state["conv1.weight"].flatten()
    with pytest.raises(InputError, match="weights do not fit the network"):
        resized(flat(), state)


@pytest.mark.parametrize("name", ALL_NETWORKS)
def test_widths_are_the_output_channels_of_the_built_layers(name):
    network, graph, _ = prepared(name)
    kept = random_kept(graph, np.random.default_rng(6))
    smaller = prune(network, graph, kept)
    prunable = {layer for group in graph.groups for layer in group.layers}
    assert widths(graph, kept) == {layer: len(smaller.get_submodule(layer).weight) for layer in prunable}
