import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torch_pruning
from networks_zoo import CUSTOM_SHAPE, PAPER_NETWORKS, Custom, any_network, built, depthwise
from sacp.errors import InputError
from sacp.network.cost import cost_of_graph
from sacp.network.tracing import trace
from torch import nn


def conv(in_channels: int, out_channels: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, 3, padding=1)


def edges_into(graph, name: str) -> set[str]:
    return {graph.nodes[source].name for source, target in graph.edges if graph.nodes[target].name == name}


def layers_of(graph) -> list[tuple[str, ...]]:
    return [group.layers for group in graph.groups]


def groups_of_torch_pruning(network: nn.Module, input_shape) -> set[frozenset[str]]:
    names = {module: name for name, module in network.named_modules()}
    dependencies = torch_pruning.DependencyGraph()
    dependencies.build_dependency(network, example_inputs=torch.zeros(input_shape))
    outputs = (torch_pruning.prune_conv_out_channels, torch_pruning.prune_depthwise_conv_out_channels)
    groups = set()
    for module in list(names):
        if isinstance(module, nn.Conv2d):
            group = dependencies.get_pruning_group(module, torch_pruning.prune_conv_out_channels, [0])
            groups.add(frozenset(names[d.target.module] for d, _ in group if d.handler in outputs))
    return groups


@pytest.mark.parametrize(
    ("name", "groups", "layers"), [("vgg16", 13, 13), ("resnet18", 12, 20), ("resnet56", 30, 57), ("resnet20", 12, 21)]
)
def test_groups_and_layers_are_as_many_as_defined(name, groups, layers):
    _, graph = built(name, 0.25)
    assert (len(graph.groups), sum(len(group.layers) for group in graph.groups)) == (groups, layers)


def test_resnet18_streams_hold_the_stem_the_shortcuts_and_each_blocks_last_convolution():
    _, graph = built("resnet18")
    streams = {group.layers: group.channels for group in graph.groups if len(group.layers) > 1}
    inner = {group.layers: group.channels for group in graph.groups if len(group.layers) == 1}
    later = {(f"stages.{s}.0.conv2", f"stages.{s}.0.shortcut.0", f"stages.{s}.1.conv2"): 64 * 2**s for s in (1, 2, 3)}
    assert streams == {("conv1", "stages.0.0.conv2", "stages.0.1.conv2"): 64} | later
    assert inner == {(f"stages.{s}.{b}.conv1",): 64 * 2**s for s in range(4) for b in range(2)}


@pytest.mark.parametrize("name", [*PAPER_NETWORKS, "depthwise", "squeeze_excite", "flat"])
def test_groups_equal_those_of_torch_pruning(name):
    network, graph, shape = any_network(name)
    assert {frozenset(group.layers) for group in graph.groups} == groups_of_torch_pruning(network, shape)


def test_sum_gives_its_successors_one_edge_from_every_branch():
    def forward(n, x):
        x = F.relu(n.norm1(n.conv1(x)))
        x = F.relu(x + n.norm2(n.conv2(x)))
        x = torch.add(n.norm3(n.conv3(x)), x)
        return n.fc(n.pool(x).flatten(1))

    norms = {f"norm{i}": nn.BatchNorm2d(4) for i in (1, 2, 3)}
    layers = {"conv1": conv(3, 4), "conv2": conv(4, 4), "conv3": conv(4, 4), **norms}
    graph = trace(Custom(forward, **layers, pool=nn.AdaptiveAvgPool2d(1), fc=nn.Linear(4, 2)), CUSTOM_SHAPE)
    named = [(graph.nodes[a].name, graph.nodes[b].name) for a, b in graph.edges]
    flow = [("conv1", "norm1"), ("norm1", "conv2"), ("conv2", "norm2"), ("norm1", "conv3"), ("norm2", "conv3")]
    end = [("conv3", "norm3"), ("norm1", "pool"), ("norm2", "pool"), ("norm3", "pool"), ("pool", "fc")]
    assert sorted(named) == sorted(flow + end)
    assert layers_of(graph) == [("conv1", "conv2", "conv3")]


def test_resnet18_edges_cross_the_sums_of_its_blocks():
    _, graph = built("resnet18", 0.25)
    stream = {"bn1", "stages.0.0.bn2", "stages.0.1.bn2"}
    assert edges_into(graph, "stages.1.0.conv1") == edges_into(graph, "stages.1.0.shortcut.0") == stream
    assert edges_into(graph, "stages.1.1.conv1") == {"stages.1.0.bn2", "stages.1.0.shortcut.1"}
    assert edges_into(graph, "stages.1.1.conv2") == {"stages.1.1.bn1"}
    assert edges_into(graph, "conv1") == set()


@pytest.mark.parametrize("name", PAPER_NETWORKS)
def test_nodes_follow_the_data_flow_and_carry_the_channels_that_reach_them(name):
    network, graph = built(name, 0.25)
    assert all(source < target for source, target in graph.edges)
    assert len(set(graph.edges)) == len(graph.edges)
    nodes = graph.nodes
    assert all(
        nodes[a].channels == nodes[b].in_channels and nodes[a].group == nodes[b].in_group for a, b in graph.edges
    )
    assert all(node.group == node.in_group for node in nodes if node.kind in ("bn", "pool"))
    members = {n for n, m in network.named_modules() if isinstance(m, nn.Conv2d | nn.BatchNorm2d | nn.Linear)}
    assert members == {node.name for node in nodes if node.kind != "pool"}


def test_depthwise_convolution_joins_the_group_of_its_input():
    assert layers_of(trace(depthwise(), CUSTOM_SHAPE)) == [("0", "3"), ("6",)]


def test_gate_that_multiplies_joins_the_group_of_what_it_gates():
    assert layers_of(any_network("squeeze_excite")[1]) == [("conv", "widen"), ("squeeze",)]


@pytest.mark.parametrize(
    ("pool", "module"),
    [
        (lambda n, x: F.adaptive_avg_pool2d(x, 1).flatten(1), nn.AdaptiveAvgPool2d(1)),
        (lambda n, x: x.mean((2, 3)), nn.AdaptiveAvgPool2d(1)),
        (lambda n, x: x.mean(dim=[-1, -2]), nn.AdaptiveAvgPool2d(1)),
        (lambda n, x: torch.mean(x, dim=(2, 3), keepdim=True).flatten(1), nn.AdaptiveAvgPool2d(1)),
        (lambda n, x: F.avg_pool2d(x, 8).flatten(1), nn.AvgPool2d(8)),
        (lambda n, x: F.max_pool2d(x, 8).flatten(1), nn.MaxPool2d(8)),
        (lambda n, x: F.adaptive_max_pool2d(x, 1).flatten(1), nn.AdaptiveMaxPool2d(1)),
    ],
)
def test_functional_pooling_is_a_node_like_the_module(pool, module):
    functional = Custom(lambda n, x: n.fc(pool(n, n.conv(x))), conv=conv(3, 5), fc=nn.Linear(5, 2))
    modular = nn.Sequential(conv(3, 5), module, nn.Flatten(), nn.Linear(5, 2))
    graphs = [trace(network, CUSTOM_SHAPE) for network in (functional, modular)]
    assert [[node.kind for node in graph.nodes] for graph in graphs] == [["conv", "pool", "linear"]] * 2
    assert graphs[0].edges == graphs[1].edges
    assert cost_of_graph(graphs[0]) == cost_of_graph(graphs[1])


@pytest.mark.parametrize(
    "flatten",
    [
        lambda x: x.view(x.size(0), -1), lambda x: x.reshape(x.shape[0], -1), lambda x: torch.flatten(x, 1),
        lambda x: x.flatten(start_dim=1), lambda x: torch.reshape(x, (x.size(0), -1)), lambda x: x.view((1, -1)),
    ],
)  # fmt: skip
def test_flatten_keeps_the_positions_of_each_channel(flatten):
    network = Custom(lambda n, x: n.fc(flatten(n.conv(x))), conv=conv(3, 5), fc=nn.Linear(5 * 64, 2))
    linear = trace(network, CUSTOM_SHAPE).nodes[-1]
    assert (linear.in_group, linear.in_channels, linear.positions) == (0, 5, 64)


def test_convolution_that_is_the_output_is_not_prunable():
    network = Custom(lambda n, x: n.last(F.relu(n.first(x))), first=conv(3, 4), last=conv(4, 10))
    assert layers_of(trace(network, CUSTOM_SHAPE)) == [("first",)]


def test_convolution_added_to_the_image_or_the_output_is_not_prunable():
    layers = {"inner": conv(3, 4), "back": conv(4, 3), "last": conv(3, 6), "side": conv(3, 6)}
    network = Custom(lambda n, x: n.last(n.back(n.inner(x)) + x) + n.side(x), **layers)
    assert layers_of(trace(network, CUSTOM_SHAPE)) == [("inner",)]


PAIR = {"a": conv(3, 4), "b": conv(4, 4)}
HEAD = {"conv": conv(3, 4), "fc": nn.Linear(4 * 64, 2)}


@pytest.mark.parametrize(
    ("offender", "network"),
    [
        (
            "operation 'cat' at node 'cat'",
            Custom(lambda n, x: torch.cat([n.a(x), n.b(x)], 1), a=conv(3, 4), b=conv(3, 4)),
        ),
        ("'b' has 2 groups of 4", Custom(lambda n, x: n.b(n.a(x)), a=conv(3, 4), b=nn.Conv2d(4, 4, 1, groups=2))),
        ("'b' has 4 groups of 4 -> 8", Custom(lambda n, x: n.b(n.a(x)), a=conv(3, 4), b=nn.Conv2d(4, 8, 1, groups=4))),
        ("forward of Custom", Custom(lambda n, x: n.b(n.a(x)) if x.sum() > 0 else x, **PAIR)),
        ("module 'b' is used twice", Custom(lambda n, x: n.b(n.b(n.a(x))), **PAIR)),
        ("at node 'view'", Custom(lambda n, x: n.fc(n.conv(x).view(-1, 256)), **HEAD)),
        ("at node 'reshape'", Custom(lambda n, x: n.fc(torch.reshape(n.conv(x), shape=(-1, 256))), **HEAD)),
        ("linear layer 'fc'", Custom(lambda n, x: n.fc(n.conv(x)), conv=conv(3, 8), fc=nn.Linear(8, 2))),
        (
            "'ConvTranspose2d' at node 'b'",
            Custom(lambda n, x: n.b(n.a(x)), a=conv(3, 4), b=nn.ConvTranspose2d(4, 4, 1)),
        ),
        ("operation 'softmax'", Custom(lambda n, x: F.softmax(n.b(n.a(x)), 1), **PAIR)),
        ("'mean over 1'", Custom(lambda n, x: n.b(n.a(x)).mean(1), **PAIR)),
        ("'mul of unequal channels'", Custom(lambda n, x: n.a(x) * n.b(x), a=conv(3, 4), b=conv(3, 1))),
        ("input of shape", Custom(lambda n, x: n.b(x), **PAIR)),
        ("no convolution", Custom(lambda n, x: n.a(x), **PAIR)),
    ],
)
def test_what_is_not_understood_is_refused_by_name(offender, network):
    with pytest.raises(InputError, match=offender):
        trace(network, CUSTOM_SHAPE)


def test_an_argument_with_a_default_does_not_disturb():
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.fc = conv(3, 4), nn.Linear(4, 2)

        def forward(self, x, scale=1.0):
            return self.fc(self.conv(x).mean((2, 3)))

    assert layers_of(trace(Scaled(), CUSTOM_SHAPE)) == [("conv",)]


@pytest.mark.parametrize("training", [True, False])
def test_traced_network_is_unchanged(training):
    network = any_network("depthwise")[0].train(training)
    network[3].eval()
    before, modes = copy.deepcopy(network.state_dict()), [module.training for module in network.modules()]
    random = torch.get_rng_state()
    trace(network, CUSTOM_SHAPE)
    after = network.state_dict()
    assert list(after) == list(before)
    assert all(np.array_equal(before[name].numpy(), after[name].numpy()) for name in before)
    assert [module.training for module in network.modules()] == modes
    assert torch.equal(torch.get_rng_state(), random)
