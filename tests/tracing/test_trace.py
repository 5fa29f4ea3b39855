import copy
import inspect
import re
import warnings
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torch_pruning
from networks_zoo import CUSTOM_SHAPE, PAPER_NETWORKS, Custom, any_network, built, depthwise
from sacp.errors import InputError
from sacp.network.cost import cost_of_graph
from sacp.network.graph import Run
from sacp.pruning.proof import rehearse
from sacp.tracing.trace import trace, traced
from torch import nn
from torch.nn.utils import prune


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
    ("name", "groups", "layers"),
    [
        ("vgg16", 13, 13), ("resnet18", 12, 20), ("resnet56", 30, 57), ("resnet20", 12, 21), ("densenet16", 15, 15),
        ("mobilenetv2", 25, 52),
    ],
)  # fmt: skip
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
        nodes[a].channels == nodes[b].in_channels and nodes[a].outputs == nodes[b].inputs for a, b in graph.edges
    )
    assert all(node.outputs == node.inputs for node in nodes if node.kind in ("bn", "pool"))
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
    assert (linear.inputs, linear.in_channels) == ((Run(0, 0, 5, 64),), 320)


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
            r"joins \[B, 8, 8, 8\] and \[B, 8, 8, 8\], channels along different axes",
            Custom(
                lambda n, x: n.b(torch.cat([n.a(x), n.c(x).transpose(1, 2)], 3)),
                a=conv(3, 8),
                b=conv(8, 4),
                c=conv(3, 8),
            ),
        ),
        (
            r"transposed convolution 'b' \(test_trace.py:\d+\) has 2 groups",
            Custom(lambda n, x: n.b(n.a(x)), a=conv(3, 4), b=nn.ConvTranspose2d(4, 4, 1, groups=2)),
        ),
        ("forward of Custom", Custom(lambda n, x: n.b(n.a(x)) if x.sum() > 0 else x, **PAIR)),
        ("at node 'view'", Custom(lambda n, x: n.fc(n.conv(x).view(-1, 256)), **HEAD)),
        ("at node 'reshape'", Custom(lambda n, x: n.fc(torch.reshape(n.conv(x), shape=(-1, 256))), **HEAD)),
        ("layer 'fc' .*mixes positions", Custom(lambda n, x: n.fc(n.conv(x)), conv=conv(3, 8), fc=nn.Linear(8, 2))),
        ("operation 'softmax'", Custom(lambda n, x: n.b(F.softmax(n.a(x), 1)), **PAIR)),
        ("'mean over 0'", Custom(lambda n, x: n.b(n.a(x)).mean(0), **PAIR)),
        ("input of shape", Custom(lambda n, x: n.b(x), **PAIR)),
        ("no layer has", Custom(lambda n, x: n.a(x), **PAIR)),
    ],
)
def test_what_is_not_understood_is_refused_by_name(offender, network):
    with pytest.raises(InputError, match=offender):
        trace(network, CUSTOM_SHAPE)


def test_all_obstacles_are_named_with_their_modules_and_lines_and_those_alike_once():
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.up = conv(3, 4), nn.ConvTranspose2d(4, 3, 1, groups=1)

        def forward(self, x):
            return self.up(F.softmax(self.a(x), 1)) + torch.cumsum(self.a(x), 1)[:, :3]

    network = nn.Sequential(Block(), Block(), conv(3, 4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    with pytest.raises(InputError) as caught:
        trace(network, CUSTOM_SHAPE)
    message = str(caught.value)
    line = inspect.getsourcelines(Block.forward)[1] + 1
    softmax, cumsum = (
        f"operation '{name}' at node '{name}' of '0' (test_trace.py:{line}) and 1 more"
        for name in ("softmax", "cumsum")
    )
    assert message == (
        f"network: {softmax} runs over channels that pruning changes; {cumsum} is not understood, so not prunable"
    )


def test_a_forward_that_cannot_be_traced_is_refused_by_its_line():
    network = Custom(lambda n, x: n.b(n.a(x)) if x.sum() > 0 else x, **PAIR)
    with pytest.raises(InputError, match=r"forward of Custom cannot be traced at test_trace\.py:\d+ \(TraceError: "):
        trace(network, CUSTOM_SHAPE)


@pytest.mark.parametrize(("rule", "found"), [(lambda n, x: None, "None"), (lambda n, x: {"n": len([n.a])}, "{'n': 1}")])
def test_a_forward_that_returns_no_tensor_is_refused(rule, found):
    with pytest.raises(InputError) as caught:
        trace(Custom(rule, **PAIR), CUSTOM_SHAPE)
    expected = f"network: forward of Custom returns {found}, expected a tensor; does it end with `return`?"
    assert str(caught.value) == expected


class InTraining(Custom):
    """Does something more to its maps, or to its logits, in training."""

    def __init__(self, maps, logits, **layers: nn.Module) -> None:
        super().__init__(maps, a=conv(3, 4), b=conv(4, 4), fc=nn.Linear(4, 2), **layers)
        self.logits = logits

    def forward(self, x):
        x = F.relu(self.a(x))
        y = self.b(self.rule(self, x) if self.training else x)
        logits = self.fc(y.mean((2, 3)))
        return self.logits(self, x, logits) if self.training else logits


def same(network, x, *logits):
    return logits[0] if logits else x


@pytest.mark.parametrize(
    ("maps", "logits", "layers", "message"),
    [
        (lambda n, x: x * x.size(1), same, {}, r"used as a number at node 'mul' .* \(in training\)$"),
        (lambda n, x: x * x.mean(), same, {}, r"'mean over None' .* \(in training\)$"),
        (lambda n, x: x if x.sum() > 0 else -x, same, {}, "cannot be traced in training at test_trace.py"),
        (lambda n, x: torch.ones(2)[:, None] * x, same, {}, "in training"),
    ],
)  # fmt: skip
def test_what_is_done_in_training_alone_is_read_as_well(maps, logits, layers, message):
    with pytest.raises(InputError, match=message):
        trace(InTraining(maps, logits, **layers).eval(), CUSTOM_SHAPE)


def test_what_training_alone_reads_or_gives_is_not_pruned():
    with_head = InTraining(same, lambda n, x, y: y + n.aux(x.mean((2, 3))), aux=nn.Linear(4, 2))
    found = traced(with_head, CUSTOM_SHAPE)
    assert layers_of(found.graph) == [("b",)]
    (why,) = found.stays
    assert re.fullmatch(r"layer 'aux' \(test_trace\.py:\d+\) is called in training alone", why)
    assert layers_of(trace(InTraining(same, lambda n, x, y: (y, x)), CUSTOM_SHAPE)) == [("b",)]
    mixed = traced(InTraining(lambda n, x: x * x.mean(1, True), same), CUSTOM_SHAPE)
    assert layers_of(mixed.graph) == [("b",)]
    assert re.fullmatch(r"operation 'mean' at node 'mean' \(.*\) runs over channels", *mixed.stays)


@pytest.mark.parametrize(
    "maps",
    [lambda n, x: F.dropout(x, 0.5, n.training), lambda n, x: x + 0.1 * torch.randn_like(x), lambda n, x: x * 2],
)
def test_noise_in_training_does_not_disturb(maps):
    network, plain = InTraining(maps, same), InTraining(same, same)
    random = torch.get_rng_state()
    assert trace(network, CUSTOM_SHAPE) == trace(plain, CUSTOM_SHAPE)
    assert torch.equal(torch.get_rng_state(), random)


def held(change) -> nn.Module:
    """A network in which something was changed."""
    network = Custom(lambda n, x: n.fc(n.b(n.a(x)).mean((2, 3))), a=conv(3, 8), b=conv(8, 8), fc=nn.Linear(8, 2))
    return change(network) or network


def tie(network):
    network.b = nn.Sequential(network.b, conv(8, 8))
    network.b[1].weight = network.b[0].weight


def tie_by_memory(network):
    network.b = nn.Sequential(network.b, conv(8, 8))
    network.b[1].weight = nn.Parameter(network.b[0].weight.data)


def share_statistics(network):
    network.b = nn.Sequential(network.b, nn.BatchNorm2d(8), nn.BatchNorm2d(8))
    network.b[2].running_mean = network.b[1].running_mean


def wrapped_as_compiled(network):
    class Compiled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self._orig_mod = network

    return Compiled()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda n: nn.utils.parametrizations.weight_norm(n.b) and None,
         r"layer 'b' computes its 'weight' anew in each forward \(_WeightNorm\); make it an ordinary parameter first: "
         r"torch.nn.utils.parametrize.remove_parametrizations\(layer, 'weight'\)$"),
        (lambda n: nn.utils.parametrizations.spectral_norm(n.b) and None, r"\(_SpectralNorm\).*remove_parametriz"),
        (lambda n: nn.utils.parametrizations.orthogonal(n.fc) and None, r"'fc'.*\(_Orthogonal\).*remove_parametriz"),
        (lambda n: nn.utils.weight_norm(n.b) and None, r"\(WeightNorm\).*torch.nn.utils.remove_weight_norm\("),
        (lambda n: nn.utils.spectral_norm(n.b) and None, r"\(SpectralNorm\).*torch.nn.utils.remove_spectral_norm\("),
        (lambda n: prune.l1_unstructured(n.b, "weight", 0.5) and None,
         r"\(L1Unstructured\).*torch.nn.utils.prune.remove\(layer, 'weight'\)$"),
        (lambda n: prune.random_unstructured(n.b, "bias", 2) and None, r"'bias' anew.*remove\(layer, 'bias'\)$"),
        (tie, "^network: 'b.0.weight' and 'b.1.weight' are one tensor; give each layer one of its own$"),
        (tie_by_memory, "^network: 'b.0.weight' and 'b.1.weight' are one tensor"),
        (share_statistics, "'b.1.running_mean' and 'b.2.running_mean' are one tensor"),
        (lambda n: nn.DataParallel(n), "found it wrapped in DataParallel; pass its attribute 'module'"),
        (wrapped_as_compiled, "found it wrapped in Compiled; pass its attribute '_orig_mod'"),
        (lambda n: n.a.register_forward_hook(lambda m, i, y: y.softmax(1)) and None,
         r"layer 'a' \(test_trace.py:\d+\) has a forward hook, which is not read"),
        (lambda n: n.fc.register_forward_pre_hook(lambda m, i: i[0] * i[0].size(1)) and None, "'fc' .* has a forward"),
        (lambda n: n.register_forward_hook(lambda m, i, y: y * 2) and None, "the network has a forward hook"),
        (lambda n: n.b.weight.register_hook(lambda g: g * 2) and None, "has a hook on the gradient of its 'weight'"),
        (lambda n: setattr(n, "forward", partial(n.forward)), "the network was given a forward of its own"),
        (lambda n: setattr(n.b, "forward", lambda x: x * 2), "layer 'b' was given a forward of its own"),
        (lambda n: setattr(n, "b", nn.LazyConv2d(8, 3)), "layer 'b' has a 'weight' without a size yet; run"),
        (lambda n: n.b.register_buffer("mask", torch.ones(8)), r"layer 'b' has a tensor 'mask' \[8\] that"),
        (lambda n: n.b.register_parameter("gain", nn.Parameter(torch.ones(8))), r"'b' has a tensor 'gain' \[8\]"),
    ],
)  # fmt: skip
def test_layers_that_cannot_be_cut_as_they_stand_are_refused_with_the_way_out(change, message):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # the older forms of weight and spectral norm
        network = held(change)
    with pytest.raises(InputError, match=message) as caught:
        trace(network, CUSTOM_SHAPE)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        lambda n: n.b.register_buffer("calls", torch.zeros(1)),
        lambda n: setattr(n, "helpers", nn.ModuleList([n.a, n.b])),
        lambda n: n.register_buffer("idle", torch.zeros(8)),
        lambda n: setattr(n.b.weight, "requires_grad", False),
    ],
)
def test_what_does_not_disturb_is_let_be(change):
    assert trace(held(change), CUSTOM_SHAPE) == trace(held(lambda n: None), CUSTOM_SHAPE)


@pytest.mark.parametrize(
    ("hook", "message"),
    [
        (lambda m, i, y: y.softmax(1), "operation 'softmax'"),
        (lambda m, i, y: y * y.size(1), "used as a number"),
        (lambda m, i, y: y * y.mean(), "'mean over None'"),
    ],
)
def test_hooks_of_parts_of_a_network_are_read_as_forward_is(hook, message):
    body = nn.Sequential(conv(3, 8), nn.ReLU())
    network = nn.Sequential(body, conv(8, 4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    handle = body.register_forward_hook(lambda m, i, y: y * 2)
    assert layers_of(trace(network, CUSTOM_SHAPE)) == [("0.0",), ("1",)]
    handle.remove()
    body.register_forward_hook(hook)
    with pytest.raises(InputError, match=message):
        trace(network, CUSTOM_SHAPE)


@pytest.mark.parametrize("shape", [(3, 8, 8), (1,), (1, 3, 0, 8), [1, 3, 8.0, 8], "1388"])
def test_an_input_shape_of_another_form_is_refused(shape):
    with pytest.raises(InputError, match=r"^input_shape: found .*, expected \[1, C, H, W\], or \[1, \.\.\.\] of other"):
        trace(any_network("flat")[0], shape)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_network_of_another_precision_has_the_same_graph(dtype):
    network, graph, shape = any_network("squeeze_excite")
    assert trace(network.to(dtype), shape) == graph


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


@pytest.mark.parametrize(
    ("rule", "layers"),
    [
        (lambda n, x: n.fc(n.mean(n.b(n.a(x)).mean((2, 3)))), {"mean": nn.Linear(8, 8)}),
        (lambda n, x: n.mean(n.b(n.a(x)).mean((2, 3))), {"mean": nn.Linear(8, 2)}),
        (lambda n, x: n.fc(n.pool_1(n.pool(n.b(n.pool(n.a(x))))).mean((2, 3))),
         {"pool": nn.AvgPool2d(2), "pool_1": conv(8, 8)}),
    ],
)  # fmt: skip
def test_functions_and_second_calls_are_not_taken_for_layers_of_their_names(rule, layers):
    network = Custom(rule, a=conv(3, 8), b=conv(8, 8), fc=nn.Linear(8, 2), **layers).eval()
    graph = rehearse(network, CUSTOM_SHAPE)
    assert len({node.name for node in graph.nodes}) == len(graph.nodes)
    assert {("a",), ("b",)} <= set(layers_of(graph))


def test_functions_in_training_are_not_taken_for_those_of_evaluation():
    def forward(n, x):
        x = n.a(x)
        other = n.aux(x.mean((2, 3))) if n.training else None
        logits = n.fc(n.b(x).mean((2, 3)))
        return (logits, other) if n.training else logits

    network = Custom(forward, a=conv(3, 8), b=conv(8, 6), fc=nn.Linear(6, 2), aux=nn.Linear(8, 2))
    assert layers_of(trace(network, CUSTOM_SHAPE)) == [("b",)]
