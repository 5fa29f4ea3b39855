"""What operations do to channels goes by shapes: what is accepted is exact when pruned, all else is refused by name."""

import inspect
import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from networks_zoo import CUSTOM_NETWORKS, CUSTOM_SHAPE, Custom, assert_exact
from sacp.errors import InputError
from sacp.network.cost import cost_of_graph
from sacp.network.graph import LINEAR, Graph, Run
from sacp.network.surgery import prune
from sacp.tracing.trace import count, trace, traced
from torch import nn
from torchvision.ops import FrozenBatchNorm2d


def conv(in_channels: int, out_channels: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, 3, padding=1)


def with_gate(gate, parameters=None, buffers=None, attributes=None) -> Custom:
    """Two convolutions and a classifier; between the convolutions a gate, a function of the network and the maps."""
    torch.manual_seed(0)
    network = Custom(
        lambda n, x: n.fc(n.b(gate(n, n.a(x))).mean((2, 3))), a=conv(3, 8), b=conv(8, 6), fc=nn.Linear(6, 5)
    )
    for name, value in (parameters or {}).items():
        setattr(network, name, nn.Parameter(value))
    for name, value in (buffers or {}).items():
        network.register_buffer(name, value)
    for name, value in (attributes or {}).items():
        setattr(network, name, value)
    return network


PER_CHANNEL = torch.linspace(0.5, 2, 8)
SCALE = {"scale": PER_CHANNEL.view(1, 8, 1, 1)}
LINE = {"line": PER_CHANNEL.view(8, 1, 1)}


@pytest.mark.parametrize(
    "network",
    [
        with_gate(lambda n, y: y * n.gamma, {"gamma": torch.tensor(0.5)}),
        with_gate(lambda n, y: y * torch.exp(n.gamma) + 1, {"gamma": torch.tensor([0.5])}),
        with_gate(lambda n, y: F.relu(y) * n.scale, SCALE),
        with_gate(lambda n, y: n.scale * y - n.shift, {"scale": PER_CHANNEL.view(8, 1, 1)},
                  {"shift": PER_CHANNEL.view(1, 8, 1, 1)}),
        with_gate(lambda n, y: y / (torch.sigmoid(n.scale) + 2), SCALE),
        with_gate(lambda n, y: y * n.scale + torch.relu(y * n.scale), SCALE),
        with_gate(lambda n, y: (y + n.line.abs()) * F.avg_pool2d(y, 8) + n.line, LINE),
        with_gate(lambda n, y: y + n.columns, {"columns": PER_CHANNEL}),  # the last axis, as long as the channels
        with_gate(lambda n, y: y + n.grid, {"grid": torch.randn(1, 1, 8, 8)}),
        with_gate(lambda n, y: y + n.everywhere, {"everywhere": torch.randn(8, 8, 8)}),
        with_gate(lambda n, y: y * n.constant, attributes={"constant": torch.tensor(3.0)}),
        with_gate(lambda n, y: (y / 2).clamp(0, 6) ** 2),
        with_gate(lambda n, y: y * y.size(2) / y.shape[-1]),
        with_gate(lambda n, y: y * (y.shape[2] * y.shape[3]) ** 1),
        with_gate(lambda n, y: y * y.ndim),
        with_gate(lambda n, y: y[:, :, 1:]),
        with_gate(lambda n, y: y[..., : y.size(2) // 2, -3:]),
        with_gate(lambda n, y: F.pad(y, (1, -1, 0, 0, 0, 0), value=0.5)),
        with_gate(lambda n, y: F.pad(y, (2, 1, 0, 1), "reflect")),
        with_gate(lambda n, y: F.interpolate(y, scale_factor=0.5, mode="area") + F.max_pool2d(y, 2)),
        with_gate(lambda n, y: n.scale.expand_as(y) * y, SCALE),
        with_gate(lambda n, y: y.flatten(1).unflatten(1, (-1, 8, 8)) + n.cut(y)[:, :, 1, 1:, :1],
                  attributes={"cut": nn.Unflatten(2, (4, 2))}),
        with_gate(lambda n, y: y * y.permute(0, 2, 3, 1).mean((1, 2))[:, :, None, None]
                  + y.flatten(2).transpose(1, 2).mean(1, True).transpose(1, 2)[..., None]),
        with_gate(lambda n, y: torch.cat([*y.chunk(2, 1)], axis=1)
                  * torch.cat([list(y.chunk(4, axis=1))[-1]] * 4, 1).mean(axis=2, keepdims=True)),
        with_gate(lambda n, y: y * torch.ones([y.size(0), 1, 1, 1], dtype=y.dtype)),
        with_gate(lambda n, y: y.flip(2, -1) * abs(y).amax((2, 3), keepdim=True) - y.amin(3).unsqueeze(3)
                  + torch.flip(y, [3]).sum(2, keepdim=True)),
        with_gate(lambda n, y: y * y.permute(0, 2, 3, 1).std((1, 2), True)[:, :, None, None]),
        with_gate(lambda n, y: torch.max(y, n.other(y)) + torch.min(other=y, input=y.flip(2)) + y.max(n.gamma),
                  {"gamma": torch.tensor(0.1)}, attributes={"other": conv(8, 8)}),
        with_gate(lambda n, y: F.pixel_shuffle(F.pixel_unshuffle(y, 2), upscale_factor=2) + F.channel_shuffle(y, 4)),
        with_gate(lambda n, y: n.wide(n.halves(y)) + F.glu(torch.cat([y, y], 3)) + n.wide(F.glu(y, dim=-3)),
                  attributes={"halves": nn.GLU(1), "wide": conv(4, 8)}),
        with_gate(lambda n, y: torch.where(y > 0, y, n.other(y)) + y.where(n.other(y) <= n.level, 0.5),
                  {"level": torch.linspace(-0.5, 0.5, 8).view(8, 1, 1)}, attributes={"other": conv(8, 8)}),
        with_gate(lambda n, y: y.masked_fill(y.mean((2, 3), True) < 0, 0.1) * (y >= 0.2)),
        with_gate(lambda n, y: n.same(y).view_as(y) * y.flip(2).reshape_as(n.same(y)),
                  attributes={"same": nn.Conv2d(8, 8, 1)}),
        with_gate(lambda n, y: y * y.max(2, True)[0] + y.flatten(2).min(dim=-1).values[..., None, None]),
        with_gate(lambda n, y: n.instance(n.bare(y)) + n.rows(y)
                  + n.slope(y.flatten(2).transpose(1, 2)).transpose(1, 2).unflatten(2, (8, 8)),
                  attributes={"instance": nn.InstanceNorm2d(8), "rows": nn.LayerNorm([8, 8]), "slope": nn.PReLU(),
                              "bare": nn.BatchNorm2d(8, affine=False, track_running_stats=False)}),
        with_gate(lambda n, y: y.unflatten(1, (2, -1)).transpose(1, 2).flatten(1, 2)),
        with_gate(lambda n, y: y * n.gamma.view(1, -1, 1, 1) + n.gamma[:, None, None], {"gamma": PER_CHANNEL}),
        with_gate(lambda n, y: n.fc2((y.flatten(1) * n.flat).view(y.size(0), -1))[:, :, None, None] + y,
                  {"flat": torch.rand(512)}, attributes={"fc2": nn.Linear(512, 8)}),
    ],
)  # fmt: skip
def test_constants_and_values_per_channel_are_pruned_exactly(network):
    assert_exact(network)


@pytest.mark.parametrize("axes", [1, 3])
@pytest.mark.parametrize("kind", ["max_pool", "avg_pool", "adaptive_avg_pool", "adaptive_max_pool"])
def test_pooling_functions_of_sequences_and_volumes_are_read_as_their_modules(kind, axes):
    shape, of_axes = (1, 3, *[8] * axes), getattr(nn, f"Conv{axes}d")
    module = getattr(nn, "".join(word.capitalize() for word in kind.split("_")) + f"{axes}d")(2)
    costs = []
    function = getattr(F, f"{kind}{axes}d")
    for pool in (lambda n, y: function(y, 2), lambda n, y: n.module(y)):
        layers = {"a": of_axes(3, 8, 3), "b": of_axes(8, 6, 1), "fc": nn.Linear(6, 5), "module": module}
        network = Custom(lambda n, x, pool=pool: n.fc(n.b(pool(n, n.a(x))).flatten(2).mean(2)), **layers)
        assert_exact(network, shape)
        costs.append(cost_of_graph(trace(network, shape)))
    assert costs[0] == costs[1]


def test_a_pooling_function_of_other_axes_is_refused():
    network = with_gate(lambda n, y: y * F.max_pool1d(y.flatten(1), 2).mean())
    with pytest.raises(InputError, match="'max_pool1d' of a tensor of 2 axes at node 'max_pool1d'"):
        trace(network, CUSTOM_SHAPE)


def test_the_image_can_be_normalised_by_buffers_of_any_name():
    rule = lambda n, x: n.fc(F.relu(n.a((x - n.mean) / n.add)).mean((2, 3)))  # noqa: E731
    network = Custom(rule, a=conv(3, 8), fc=nn.Linear(8, 5))
    network.register_buffer("mean", torch.rand(1, 3, 1, 1))
    network.register_buffer("add", torch.rand(3, 1, 1) + 0.5)
    assert_exact(network)


def test_batch_norms_of_constants_are_pruned_with_the_channels():
    frozen = FrozenBatchNorm2d(8)
    for number, buffer in enumerate(frozen.buffers()):
        buffer.copy_(torch.linspace(0.5, 2, 8) + number)
    network = with_gate(lambda n, y: n.frozen(y), attributes={"frozen": frozen})
    assert_exact(network)
    smaller = prune(network, trace(network, CUSTOM_SHAPE), [np.array([1, 4]), np.array([0, 2])])
    assert torch.equal(smaller.frozen.running_var, frozen.running_var[[1, 4]])
    assert count(network, CUSTOM_SHAPE) == count(with_gate(lambda n, y: y), CUSTOM_SHAPE)


def test_a_parameter_used_by_two_groups_ties_them():
    layers = {"a": conv(3, 8), "b": conv(8, 8), "fc": nn.Linear(8, 5)}
    network = Custom(lambda n, x: n.fc((n.b(n.a(x) * n.scale) * n.scale).mean((2, 3))), **layers)
    network.scale = nn.Parameter(PER_CHANNEL.view(1, 8, 1, 1))
    assert [group.layers for group in trace(network, CUSTOM_SHAPE).groups] == [("a", "b")]
    assert_exact(network)


def test_the_last_linear_layer_of_a_gate_follows_its_group_and_hidden_ones_have_their_own():
    graph = trace(CUSTOM_NETWORKS["linear_gate"](), CUSTOM_SHAPE)
    assert [group.layers for group in graph.groups] == [("conv",), ("down",), ("conv2",), ("gate2.0",)]
    ties = {node.name: (node.in_groups, node.groups) for node in graph.nodes if node.kind == LINEAR}
    assert ties == {
        "down": ([0], [1]), "up": ([1], [0]), "gate2.0": ([2], [3]), "gate2.2": ([3], [2]), "classifier": ([2], []),
    }  # fmt: skip


def test_the_logits_can_be_scaled():
    network = with_gate(lambda n, y: y)
    network.rule, rule = lambda n, x: rule(n, x) * n.scale, network.rule
    network.scale = nn.Parameter(torch.rand(5))
    assert trace(network, CUSTOM_SHAPE).direct[0].values == (Run(None, 0, 1),)
    assert_exact(network)


def test_parameters_used_directly_cost_their_elements_and_no_operations():
    plain, scaled = (
        with_gate(lambda n, y: y),
        with_gate(lambda n, y: y * n.scale, SCALE),
    )
    costs = [cost_of_graph(trace(network, CUSTOM_SHAPE)) for network in (plain, scaled)]
    assert (costs[1].flops, costs[1].parameters) == (costs[0].flops, costs[0].parameters + 8)


def gap(x):
    return x.mean((2, 3))


@pytest.mark.parametrize(
    ("gate", "message"),
    [
        (lambda n, y: F.adaptive_avg_pool2d(y, 1) + gap(y), r"'add' at node 'add'.* joins \[B, 8, 1, 1\] and \[B, 8\]"),
        (lambda n, y: gap(y) * y, r"'mul' at node 'mul'.* joins \[B, 8\] and \[B, 8, 8, 8\]"),
        (lambda n, y: y * y.size(1), "is used as a number at node 'mul'"),
        (lambda n, y: y * y.shape[-3], "is used as a number at node 'mul'"),
        (lambda n, y: y / y.shape[1:][0], "is used as a number at node 'truediv'"),
        (lambda n, y: y * (y.shape[1] * y.shape[2] + 1), "is used as a number at node 'mul_1'"),
        (lambda n, y: y ** y.size(dim=1), "is used as a number at node 'pow_1'"),
        (lambda n, y: F.leaky_relu(y, y.size(1)), "is used as a number at node 'leaky_relu'"),
        (lambda n, y: F.dropout(y, 1 / y.size(1)), "is used as a number at node 'dropout'|not understood"),
        (lambda n, y: F.avg_pool2d(y, y.size(1)), "is used as a number at node 'avg_pool2d'"),
        (lambda n, y: y * gap(y).mean((-2, -1)), "'mean over \\(-2, -1\\)' of a tensor of 2 axes at node 'mean_1'"),
        (lambda n, y: y * y.mean(), "'mean over None' of a tensor of 4 axes at node 'mean'"),
        (lambda n, y: F.softmax(y, 1), "operation 'softmax' at node 'softmax'"),
        (lambda n, y: torch.log_softmax(y, dim=-3), "'log_softmax' at node 'log_softmax'.* runs over channels"),
        (lambda n, y: y.softmax(0), "operation 'softmax' at node 'softmax'.* is not understood"),
        (lambda n, y: y * gap(y).view(-1, 8, 1, 1), "is written in 'view' at node 'view'.*; write -1 or x.size"),
        (lambda n, y: y.view(y.size(0), y.size(2), 8, 8), "pruning changes is written in 'view' at node 'view'"),
        (lambda n, y: y.view(-1, y.size(1) // 2 * 2, 8, 8), "pruning changes is written in 'view' at node 'view'"),
        (lambda n, y: y.reshape(-1, y.size(2), 8, y.size(1)), "is used as a number at node 'reshape'"),
        (lambda n, y: y * gap(y).flatten(0).mean(), "reshape of .* at node 'flatten'"),
        (lambda n, y: y * y.flatten(0, 1).mean(), r"reshape of \[B, 8, 8, 8\] to \[B, 8, 8\] at node 'flatten'"),
        (lambda n, y: y * F.max_pool2d(y, 8).squeeze()[:, :, None, None], "operation 'squeeze' at node 'squeeze'"),
        (lambda n, y: y + gap(y).unsqueeze(1).unsqueeze(1), r"'add' at .* joins \[B, 8, 8, 8\] and \[B, 1, 1, 8\]"),
        (lambda n, y: y * y.flatten(1)[:, :, None, None].mean(), "'mean over None' of a tensor of 4 axes"),
        (lambda n, y: y * y.numel(), "operation 'numel' at node 'numel'"),
        (lambda n, y: y + torch.where(y > 0)[1].sum(), "operation 'where' at node 'where'.* is not understood"),
        (lambda n, y: torch.where(gap(y) > 0, y, 0), r"operation 'where' .* joins \[B, 8\] and \[B, 8, 8, 8\]"),
        (lambda n, y: y * y.max(), "operation 'max' at node 'max_1'.* is not understood"),
        (lambda n, y: y * y.min(0)[0], "operation 'min' at node 'min_1'.* is not understood"),
        (lambda n, y: torch.max(y, y.flatten(2).transpose(1, 2)[:, :8, :, None]), r"'max' .* joins .*equal ranks"),
        (lambda n, y: F.channel_shuffle(y.transpose(1, 2), 2), "operation 'channel_shuffle' at node 'channel_shuffle'"),
        (lambda n, y: y + y.flip(1), "operation 'flip' at node 'flip'"),
        (lambda n, y: y * torch.ones([y.size(0), 8, 1, 1]), "operation 'ones' at node 'ones' .* is not understood"),
        (lambda n, y: y * torch.ones([1, y.size(1), 1, 1]), "is used as a number at node 'ones'"),
        (lambda n, y: y + y.mT.mean(2, keepdim=True).flatten(1)[:, :1], "operation 'getattr' at node 'getattr_1'"),
        (lambda n, y: y * y[0], "operation 'getitem' at node 'getitem'"),
        (lambda n, y: y[:, :, y.size(1) - 7 :], "is used as a number at node 'getitem'"),
        (lambda n, y: torch.cat([y[:, : y.size(1) // 2], y[:, y.size(1) // 2 :]], 1),
         "operation 'getitem' at node 'getitem'.* takes channels from computed places; cut them by chunk"),
        (lambda n, y: y * gap(y).view_as(F.max_pool2d(y, 8)), "operation 'view_as' at .*; write the sizes, -1 for"),
        (lambda n, y: F.pad(y, (0, 0, 0, 0, -1, 1)), "padding at node 'pad'.* pads channels, or cuts some off"),
        (lambda n, y: F.pad(y, (1, 1, y.size(1), 0)), "is used as a number at node 'pad'"),
    ],
)  # fmt: skip
def test_shapes_that_only_look_right_are_refused_by_name_and_line(gate, message):
    network = with_gate(gate)
    with pytest.raises(InputError, match=message) as caught:
        trace(network, CUSTOM_SHAPE)
    assert f"(test_operations.py:{inspect.getsourcelines(gate)[1]})" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("gate", "what"),
    [
        (lambda n, y: y * y[:, 1:2], "takes channels from written places"),
        (lambda n, y: y * y[:, 0][:, None], "takes channels from written places"),
        (lambda n, y: n.rms(y.transpose(1, 3)).transpose(1, 3), "RMSNorm 'rms' .* mixes channels"),
        (lambda n, y: y[..., 4:, :, :].repeat(1, 2, 1, 1) + 1, "takes channels from written places"),
        (lambda n, y: y * y.view(y.size(0), 2, 4, 8, 8)[:, :1, 0], "cuts channels in parts of written sizes"),
        (lambda n, y: torch.cat(y.split([3, 5], 1), 1), "cuts channels in parts of written sizes; cut them by chunk"),
        (lambda n, y: F.layer_norm(y, (8, 8, 8)), "layer norm .* runs over channels"),
        (lambda n, y: n.norm(y.permute(0, 2, 3, 1)).permute(0, 3, 1, 2), "layer norm 'norm' .* runs over channels"),
        (lambda n, y: n.all(y), "layer 'all' .* normalises over all channels"),
        (lambda n, y: n.pairs(y), "group norm 'pairs' .* has no weights"),
        (lambda n, y: torch.cumsum(y + F.layer_norm(y, (8, 8, 8)), 1)[:, torch.arange(8)], "layer norm .* runs over"),
        (lambda n, y: F.normalize(y), "operation 'normalize' at node 'normalize' .* runs over channels"),
        (lambda n, y: y * n.eca(gap(y)[:, None]).view(-1, 8, 1, 1), "layer 'eca' .* mixes positions, or channels"),
        (lambda n, y: y * y.mean((-3, -1), True), "operation 'mean' at node 'mean' .* runs over channels"),
        (lambda n, y: y * y.mean(1, keepdim=True) + y.sum(1, True), "operation 'mean' .* runs over channels"),
        (lambda n, y: y * y.amax(1, keepdim=True), "operation 'amax' at node 'amax' .* runs over channels"),
        (lambda n, y: y * torch.max(y, 1).values[:, None] + y.min(dim=1, keepdim=True)[0],
         "operation 'max' at node 'max_1' .* runs over channels"),
        (lambda n, y: y * torch.sigmoid(n.cbam(torch.cat([y.mean(1, True), y.max(1, keepdim=True)[0]], 1))),
         "operation 'mean' at node 'mean' .* runs over channels"),
        (lambda n, y: F.pixel_shuffle(y.transpose(1, 2), 2).repeat(1, 4, 1, 1),
         "operation 'pixel_shuffle' at node 'pixel_shuffle' .* reads no"),
        (lambda n, y: y @ y, "operation 'matmul' at node 'matmul' .* multiplies activations"),
        (lambda n, y: n.attention(*[y.flatten(2).transpose(1, 2)] * 3)[0].transpose(1, 2).view(-1, 8, 8, 8),
         "MultiheadAttention 'attention' .* mixes channels"),
        (lambda n, y: n.encoder(y.flatten(2).transpose(1, 2)).transpose(1, 2).unflatten(2, (8, 8)),
         "TransformerEncoder 'encoder' .* mixes channels"),
    ],
)  # fmt: skip
def test_channels_that_are_mixed_stay_and_others_are_pruned(gate, what):
    layers = {
        "norm": nn.LayerNorm(8),
        "all": nn.GroupNorm(1, 8),
        "rms": nn.RMSNorm(8),
        "pairs": nn.GroupNorm(4, 8, affine=False),
        "eca": nn.Conv1d(1, 1, 3, padding=1),
        "cbam": nn.Conv2d(2, 1, 3, padding=1),
    }
    layers["attention"] = nn.MultiheadAttention(8, 2, batch_first=True)
    layers["encoder"] = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 12, batch_first=True), 2)
    network = with_gate(gate, attributes=layers)
    found = traced(network, CUSTOM_SHAPE)
    assert [group.layers for group in found.graph.groups] == [("b",)]
    assert re.search(what, "; ".join(found.stays))
    for name in set(layers) - {node.name for node in found.graph.nodes}:
        delattr(network, name)  # of what is not called, parameters are not counted
    assert_exact(network)


@pytest.mark.parametrize("batch_first", [True, False])
def test_layers_of_a_transformer_cost_their_linear_maps(batch_first):
    layer = nn.TransformerEncoderLayer(8, 2, 12, batch_first=batch_first)
    order = (0, 2, 1) if batch_first else (2, 0, 1)
    layers = {"a": conv(3, 8), "layer": layer, "fc": nn.Linear(8, 5)}
    network = Custom(lambda n, x: n.fc(n.layer(n.a(x).flatten(2).permute(order)).mean(order.index(2))), **layers)
    (node,) = [node for node in traced_to_head(network).nodes if node.name == "layer"]
    assert (node.flops_channel, node.params_channel) == (
        64 * (4 * 8**2 + 2 * 8 * 12),
        sum(map(torch.numel, layer.parameters())),
    )


def traced_to_head(network: Custom) -> Graph:
    network.b, rule = nn.Linear(5, 5), network.rule
    network.rule = lambda n, x: n.b(rule(n, x))  # the first head can be pruned
    return trace(network, CUSTOM_SHAPE)


def test_a_number_of_channels_that_stay_is_a_number():
    network = with_gate(lambda n, y: y)
    network.rule, rule = lambda n, x: rule(n, x / x.size(1)) * x.size(1), network.rule
    assert_exact(network)


@pytest.mark.parametrize(
    ("gate", "holds", "message"),
    [
        (lambda n, y: y * F.softmax(n.gamma, 1), {"parameters": {"gamma": PER_CHANNEL.view(1, 8, 1, 1)}},
         "parameter 'gamma' is used directly in forward, by 'softmax' at node 'softmax'"),
        (lambda n, y: F.conv2d(y, n.kernel), {"buffers": {"kernel": torch.rand(8, 8, 1, 1)}},
         "buffer 'kernel' is used directly in forward, by 'conv2d' at node 'conv2d'"),
        (lambda n, y: y * n.mask, {"attributes": {"mask": PER_CHANNEL.view(1, 8, 1, 1)}},
         "tensor 'mask' is used directly in forward, by 'mul' at node 'mul' .*: register it as a persistent buffer"),
        (lambda n, y: y + n.b.bias[:1], {}, "parameter 'b.bias' is used directly in forward, .*, and by its own layer"),
        (lambda n, y: y * n.a.weight.mean(), {}, "'a.weight' is used directly in forward, .*, and by its own layer"),
        (lambda n, y: F.group_norm(y, 2, n.norm.weight, n.norm.bias), {"attributes": {"norm": nn.GroupNorm(4, 8)}},
         "parameter 'norm.weight' is used directly in forward, by 'group_norm' at node 'group_norm'"),
        (lambda n, y: y[:, :, :5, :6] + n.b.bias, {},
         "parameter 'b.bias' is used directly in forward, at node 'add' .*, and by its own layer"),
        (lambda n, y: F.avg_pool2d(y, 1)[:, :, :, :6] + n.fc.bias[0], {},
         "parameter 'fc.bias' is used directly in forward, .*, and by its own layer"),
        (lambda n, y: F.max_pool2d(y, (1, 3), (1, 1)) + n.b.bias, {},
         "parameter 'b.bias' is used directly in forward, at node 'add' .*, and by its own layer"),
        (lambda n, y: y * n.scale + gap(y * n.scale.sum())[:, :, None, None], {"parameters": SCALE},
         "parameter 'scale' is used directly in forward, .*, once for each channel and once not"),
    ],
)  # fmt: skip
def test_other_uses_of_parameters_and_buffers_are_refused_by_name(gate, holds, message):
    network = with_gate(gate, **holds)
    with pytest.raises(InputError, match=message):
        trace(network, CUSTOM_SHAPE)


def test_a_layer_whose_forward_is_another_is_not_taken_for_its_kind():
    class Standardised(nn.Conv2d):
        def forward(self, x):
            return F.conv2d(x, self.weight.softmax(1), self.bias, padding=1)

    Standardised.__module__ = "torch.nn.mine"  # taken as a whole by a trace
    network = with_gate(lambda n, y: y)
    network.b = Standardised(8, 6, 3)
    with pytest.raises(InputError, match=r"operation 'Standardised' at 'b' .* is not understood"):
        trace(network, CUSTOM_SHAPE)


def test_an_image_without_its_batch_axis_is_refused():
    network = with_gate(lambda n, y: y)
    network.rule, rule = lambda n, x: rule(n, x.squeeze(0)), network.rule
    with pytest.raises(InputError, match="operation 'squeeze' at node 'squeeze'"):
        trace(network, CUSTOM_SHAPE)
