import numpy as np
import pytest
import torch
from networks_zoo import (
    CUSTOM_NETWORKS,
    CUSTOM_SHAPE,
    PAPER_NETWORKS,
    any_network,
    built,
    random_kept,
    spec,
    thop_count,
)  # fmt: skip
from sacp.network.cost import Budget, Cost, cost_of_graph, costs_of_counts
from sacp.network.surgery import prune
from sacp.pruning.criteria import kept_channels, l1_order
from sacp.pruning.space import draw_training, kept_counts
from sacp.tracing.trace import count, trace
from torch import nn


def tiny() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(4, 5, 1, bias=False), nn.BatchNorm2d(5), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 2),
    )  # fmt: skip


def tabulated(graph, counts) -> tuple[int, int]:
    flops, parameters = costs_of_counts(graph, np.array([counts], np.int64))
    return int(flops[0]), int(parameters[0])


# On 6x6 images the first convolution has 36 positions, the second 9. FLOPs of kept channels (a, b):
#   conv 9 * 36 * 3a + norm 4 * 36a + conv 9ab + norm 4 * 9b + pool (9 + 1)b + linear 2b
# and parameters:
#   conv 27a + a + norm 2a + conv ab + norm 2b + linear 2b + 2
@pytest.mark.parametrize(
    ("counts", "flops", "parameters"),
    [
        ((4, 5), 3888 + 576 + 180 + 180 + 50 + 10, 108 + 4 + 8 + 20 + 10 + 12),
        ((2, 3), 1944 + 288 + 54 + 108 + 30 + 6, 54 + 2 + 4 + 6 + 6 + 8),
        ((1, 1), 972 + 144 + 9 + 36 + 10 + 2, 27 + 1 + 2 + 1 + 2 + 4),
    ],
)
def test_costs_equal_those_derived_by_hand(counts, flops, parameters):
    graph = trace(tiny(), (1, 3, 6, 6))
    assert tabulated(graph, counts) == (flops, parameters)
    smaller = prune(tiny(), graph, [np.arange(kept) for kept in counts])
    assert count(smaller, (1, 3, 6, 6)) == Cost(flops, parameters)


def test_residual_stream_costs_are_quadratic_in_its_channels():
    # ResNet-8 on 1 x 1 images (pool: window 1, so 2 per channel) with every group but the first stream cut to 1.
    # FLOPs of its s kept channels: stem 9 * 3s + norm 4s; block: conv 9s + norm 4, conv 9s + norm 4s;
    # second stage: conv 9s + 4, projection s + 4, conv 9 + 4; third: 9 + 4, 1 + 4, 9 + 4; pool 2; linear 10.
    graph = trace(built("resnet8", 1.0, 8)[0], (1, 3, 1, 1))
    assert graph.groups[0].layers == ("conv1", "stages.0.0.conv2")
    for s in (1, 7, 16):
        stream = 27 * s + 4 * s + (9 * s + 4) + (9 * s + 4 * s) + (9 * s + 4) + (s + 4) + (9 + 4)
        assert tabulated(graph, [s, *[1] * (len(graph.groups) - 1)])[0] == stream + 13 + 5 + 13 + 2 + 10


@pytest.mark.parametrize(
    "layers",
    [
        [nn.AvgPool2d(2), nn.AdaptiveAvgPool2d(1)], [nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(2)],
        [nn.AdaptiveMaxPool2d(2)], [nn.AdaptiveAvgPool2d((2, 4))], [nn.MaxPool2d(3, 1), nn.AdaptiveAvgPool2d(4)],
        [nn.AdaptiveAvgPool2d(3)], [nn.BatchNorm2d(5, affine=False)], [nn.LeakyReLU(), nn.Dropout(), nn.SiLU()],
        [nn.Upsample(scale_factor=2)], [nn.Upsample(size=(3, 5), mode="bilinear")],
        [nn.Upsample(4, mode="bicubic"), nn.Upsample(5, mode="nearest-exact")], [nn.UpsamplingBilinear2d(9)],
        [nn.PReLU()], [nn.PReLU(5), nn.SyncBatchNorm(5)], [nn.Flatten(), nn.BatchNorm1d(320), nn.PReLU()],
        [nn.ZeroPad2d((0, 1, 2, 3)), nn.ReflectionPad2d(1), nn.ReplicationPad2d(2), nn.CircularPad2d(1)],
        [nn.Conv2d(5, 8, 3), nn.Conv2d(8, 12, 3, groups=2), nn.Conv2d(12, 24, 1, groups=4, bias=False)],
        [nn.ConvTranspose2d(5, 7, 3, 2, output_padding=1)], [nn.InstanceNorm2d(5, affine=True), nn.InstanceNorm2d(5)],
        [nn.Flatten(2), nn.Conv1d(5, 6, 3, 2), nn.BatchNorm1d(6), nn.AvgPool1d(2), nn.ConvTranspose1d(6, 4, 3)],
        [nn.Unflatten(2, (1, 8)), nn.Conv3d(5, 6, (1, 3, 3)), nn.BatchNorm3d(6), nn.AdaptiveAvgPool3d((1, 2, 2))],
        [nn.LayerNorm(8), nn.LayerNorm([5, 8, 8])],
        [nn.Conv2d(5, 5, 3, 2, groups=5)], [nn.Conv2d(5, 7, (3, 1), (2, 1), (1, 0), dilation=(2, 1))],
    ],
)  # fmt: skip
def test_each_kind_of_layer_costs_what_thop_counts(layers):
    body = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1, bias=False), *layers, nn.Flatten()).eval()
    network = nn.Sequential(*body, nn.Linear(body(torch.zeros(CUSTOM_SHAPE)).shape[1], 3))
    cost = count(network, CUSTOM_SHAPE)
    assert (cost.flops, cost.parameters) == thop_count(network, CUSTOM_SHAPE)


@pytest.mark.parametrize("name", [*PAPER_NETWORKS, *CUSTOM_NETWORKS])
def test_unpruned_counts_cost_what_the_network_costs(name):
    network, graph, shape = any_network(name)
    assert tabulated(graph, graph.channels) == (cost_of_graph(graph).flops, cost_of_graph(graph).parameters)
    assert cost_of_graph(graph) == count(network, shape)
    assert cost_of_graph(graph).parameters == sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(("name", "configurations"), [("vgg16", 700), ("resnet18", 240), ("resnet56", 60)])
def test_cost_of_a_configuration_is_the_counted_cost_of_the_built_network(name, configurations):
    network, graph, shape = any_network(name)
    rng = np.random.default_rng(1)
    counts = kept_counts(draw_training(configurations, graph, 10, rng), graph, 10)
    costs = np.stack(costs_of_counts(graph, counts), axis=1)
    order = l1_order(network, graph)
    for number, (row, expected) in enumerate(zip(counts, costs.tolist(), strict=True)):
        smaller = prune(network, graph, kept_channels(order, row))
        assert list(thop_count(smaller, shape)) == expected, row
        if number % 5 == 0:  # tracing takes most of the time
            assert count(smaller, shape) == Cost(*expected), row


@pytest.mark.parametrize("name", PAPER_NETWORKS)
def test_cost_is_the_counted_one_at_full_width_too(name):
    network, graph = built(name)
    shape = spec(name).input_shape
    rng = np.random.default_rng(2)
    for _ in range(2):
        kept = random_kept(graph, rng)
        smaller = prune(network, graph, kept)
        expected = tabulated(graph, [len(channels) for channels in kept])
        assert thop_count(smaller, shape) == expected
        assert count(smaller, shape) == Cost(*expected)


@pytest.mark.parametrize("name", CUSTOM_NETWORKS)
def test_cost_is_the_counted_one_of_flattened_depthwise_and_gated_networks(name):
    network, graph, shape = any_network(name)
    rng = np.random.default_rng(3)
    for _ in range(10):
        kept = random_kept(graph, rng)
        cost = count(prune(network, graph, kept), shape)
        assert (cost.flops, cost.parameters) == tabulated(graph, [len(channels) for channels in kept])


def test_costs_of_many_configurations_are_exact_integers():
    _, graph = built("resnet18")
    counts = kept_counts(draw_training(50, graph, 10, np.random.default_rng(4)), graph, 10)
    flops, parameters = costs_of_counts(graph, counts)
    assert flops.dtype == parameters.dtype == np.int64
    rows = zip(counts, flops, parameters, strict=True)
    assert all(tabulated(graph, row) == (f, p) for row, f, p in rows)


def test_costs_of_no_configuration_are_empty():
    _, graph = built("resnet8", 0.25)
    flops, parameters = costs_of_counts(graph, np.empty((0, len(graph.groups)), np.int64))
    assert flops.shape == parameters.shape == (0,)


def test_a_bound_of_any_size_is_one_that_a_search_can_compare_with() -> None:
    budget = Budget.of({"flops": 1e30, "parameters": [1e30, 1e30]}, Cost(1000, 10))
    assert np.array([budget.flops, budget.parameters, budget.least_parameters]).dtype == np.int64
    assert budget.flops > 1000
    assert budget.least_parameters > 10
