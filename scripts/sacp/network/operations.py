"""What each operation does to the channels of what it reads: one reader for each kind. What has none is refused."""

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn
from torch.nn.modules.batchnorm import _BatchNorm

from sacp.network.graph import ACTIVATION, BATCH_NORM, CONV, LINEAR, POOL
from sacp.network.reading import (
    ARITHMETIC,
    Condition,
    Direct,
    Number,
    ObstacleError,
    Read,
    Reading,
    Value,
    argument,
    check_map,
    is_map,
    only,
    operation,
    shape_of,
    shape_read,
    unknown,
    used_directly,
    written,
)
from sacp.network.rearranging import is_over_positions, pad, reshape, resize, slice_positions, squeeze, unsqueeze, view

ELEMENTWISE_MODULES = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SiLU, nn.GELU, nn.Mish, nn.Sigmoid, nn.Tanh,
    nn.Hardswish, nn.Hardsigmoid, nn.Dropout, nn.Dropout2d, nn.Identity,
)  # fmt: skip
ELEMENTWISE_FUNCTIONS = {
    torch.relu, F.relu, F.relu6, F.leaky_relu, F.elu, F.silu, F.gelu, F.mish, F.hardswish, F.hardsigmoid, F.dropout,
    torch.sigmoid, torch.tanh, F.sigmoid, F.tanh, torch.clamp, torch.neg, operator.neg, torch.abs, torch.exp,
    torch.sqrt, torch.zeros_like, torch.ones_like, torch.rand_like, torch.randn_like,
}  # fmt: skip
ELEMENTWISE_METHODS = {
    "relu", "relu_", "sigmoid", "tanh", "contiguous", "clone", "detach", "clamp", "neg", "abs", "exp", "sqrt",
}  # fmt: skip
ELEMENTWISE_NAMES = {"torchvision.ops.stochastic_depth.stochastic_depth"}  # of what is not imported for its sake
JOINS = {
    operator.add, operator.iadd, operator.sub, operator.mul, operator.imul, operator.truediv, operator.pow,
    torch.add, torch.sub, torch.mul, torch.div, torch.pow,
    "add", "add_", "sub", "mul", "mul_", "div", "pow", "expand_as",
}  # fmt: skip
POOL_FUNCTIONS = {F.max_pool2d, F.avg_pool2d, F.adaptive_avg_pool2d, F.adaptive_max_pool2d, torch.mean, "mean"}
FLATTENS = {torch.flatten, "flatten", "view", "reshape", torch.reshape}
SOFTMAXES = (F.softmax, torch.softmax, "softmax", F.log_softmax, torch.log_softmax, "log_softmax")
PADDINGS = (nn.ZeroPad2d, nn.ConstantPad2d, nn.ReflectionPad2d, nn.ReplicationPad2d, nn.CircularPad2d)
SIZES = ("size", getattr, operator.getitem)  # of a tensor, where they give none themselves
FACTS = ("device", "dtype", "ndim", "is_cuda", "requires_grad")  # attributes of a tensor that channels do not change


def read(state: Reading, root: nn.Module, node: fx.Node, values: dict[fx.Node, Read]) -> Read:
    """Return what a node gives; add it to the graph's nodes if it is one.

    Raises:
        ObstacleError: the operation has no reader, or does what cannot be pruned.
    """
    given = [values[arg] for arg in node.all_input_nodes]
    if node.op == "get_attr":
        return _attribute(root, node)
    if "shape" not in node.meta:
        return _number(node, given)
    if node.target not in FLATTENS:
        state.use_numbers(node, given)
    if node.op == "call_module":
        return _read_module(state, root.get_submodule(str(node.target)), node, given)
    if node.target in JOINS:
        return _join(state, node, given)
    if is_elementwise(node):
        return _elementwise(node, given)
    if node.target in FLATTENS:
        return _flatten(state, node, only(node, given), values)
    if node.target in POOL_FUNCTIONS:
        return _pool_function(state, node, only(node, given))
    if node.target in FUNCTION_READERS:
        return FUNCTION_READERS[node.target](state, node, only(node, given))
    raise unknown(node, given)


def is_elementwise(node: fx.Node) -> bool:
    """Whether a function or method gives each element from the same element, or drops whole images."""
    name = f"{getattr(node.target, '__module__', '')}.{operation(node)}"
    return node.target in ELEMENTWISE_FUNCTIONS | ELEMENTWISE_METHODS or name in ELEMENTWISE_NAMES


def _attribute(root: nn.Module, node: fx.Node) -> Direct:
    path, _, own = str(node.target).rpartition(".")
    tensor = getattr(root.get_submodule(path), own)
    is_parameter = isinstance(tensor, nn.Parameter)
    name = next((name for name, value in root.state_dict(keep_vars=True).items() if value is tensor), None)
    label = f"{'parameter' if is_parameter else 'buffer' if name else 'tensor'} '{node.target}'"
    return Direct(name, label, tuple(tensor.shape), tensor.numel() if is_parameter else 0)


def _number(node: fx.Node, given: list[Read]) -> Number:
    """Read what gives no tensor: sizes, their parts, and arithmetic of them."""
    value = given[0] if given else Number()
    if isinstance(value, Value):
        sizes = Number((frozenset(), frozenset({value.tie}), *[frozenset[int]()] * 2)[: len(shape_read(node))])
        if node.target is getattr and node.args[1] in FACTS:
            return Number()
        if (node.target is getattr and node.args[1] == "shape") or node.target == "size":
            dims = [*node.args[1:], *node.kwargs.values()] if node.target == "size" else []
            return _part(sizes, dims[0]) if dims else sizes
    elif all(isinstance(each, Number) for each in given) and given:
        if node.target is operator.getitem and isinstance(value, Number) and len(given) == 1:
            return _part(value, node.args[1])
        if node.target in ARITHMETIC:
            return Number((frozenset[int]().union(*(n.ties for n in given if isinstance(n, Number))),))
    raise unknown(node, given)


def _part(sizes: Number, index: Any) -> Number:
    if isinstance(index, int) and -len(sizes.parts) <= index < len(sizes.parts):
        return Number((sizes.parts[index],))
    return Number(sizes.parts[index] if isinstance(index, slice) else sizes.parts)


def _read_module(state: Reading, module: nn.Module, node: fx.Node, given: list[Read]) -> Value:
    for kinds, reader in MODULE_READERS:
        kind = next((kind for kind in kinds if isinstance(module, kind)), None)
        if kind is not None and _computes_as(module, kind):
            return reader(state, module, node, only(node, given))
    raise unknown(node, given, type(module).__name__)


def _computes_as(module: nn.Module, kind: Any) -> bool:
    """Whether a layer has the forward of its kind, and not one of its own."""
    return type(module).forward is kind.forward


def _read_conv(state: Reading, conv: nn.Conv2d, node: fx.Node, inputs: Value) -> Value:
    check_map(node, "convolution")
    window, area = math.prod(conv.kernel_size), math.prod(shape_of(node)[2:])
    bias = int(conv.bias is not None)
    name = str(node.target)
    if conv.groups == 1:
        costs = {"flops_pair": window * area, "params_pair": window, "params_channel": bias}
        return state.add(node, name, CONV, inputs, state.new_tie(), conv.out_channels, **costs)
    if not conv.groups == conv.in_channels == conv.out_channels:
        what = f"{conv.groups} groups of {conv.in_channels} -> {conv.out_channels} channels"
        raise ObstacleError(node, f"convolution {{place}} has {what}; only 1 group or a depthwise one can be pruned")
    costs = {"flops_channel": window * area, "params_channel": window + bias}
    return state.add(node, name, CONV, inputs, inputs.tie, conv.out_channels, **costs)


def _read_batch_norm(state: Reading, norm: _BatchNorm, node: fx.Node, inputs: Value) -> Value:
    area = inputs.positions * math.prod(shape_of(node)[2:])
    parameters = 2 * inputs.positions if norm.affine else 0
    costs = {"flops_channel": (4 if norm.affine else 2) * area, "params_channel": parameters}
    return state.add(node, str(node.target), BATCH_NORM, inputs, inputs.tie, inputs.channels, **costs)


def _read_pool(state: Reading, pool: nn.Module, node: fx.Node, inputs: Value) -> Value:
    check_map(node, "pooling")
    cost = 0
    if isinstance(pool, nn.AdaptiveAvgPool2d):
        cost = _adaptive_cost(node)
    elif isinstance(pool, nn.AvgPool2d):
        cost = math.prod(shape_of(node)[2:])
    return state.add_plain(node, POOL, inputs, cost)


def _pool_function(state: Reading, node: fx.Node, inputs: Value) -> Value:
    dims = argument(node, 1, "dim")
    is_mean = node.target in (torch.mean, "mean")
    rank = len(shape_read(node))
    if not (is_over_positions(node) if is_mean else is_map(node)):
        what = f"{operation(node)} over {dims}" if is_mean else operation(node)
        found = f"operation '{what}' of a tensor of {rank} axes at {{place}}"
        raise ObstacleError(node, f"{found} is not understood, so not prunable", is_sure=rank > 2)
    area = math.prod(shape_of(node)[2:])
    cost = _adaptive_cost(node) if is_mean or node.target is F.adaptive_avg_pool2d else 0
    cost = area if node.target is F.avg_pool2d else cost
    return state.add_plain(node, POOL, inputs, cost)


def _read_padding(state: Reading, module: nn.Module, node: fx.Node, inputs: Value) -> Value:
    check_map(node, "padding")
    return inputs


def _read_upsample(state: Reading, upsample: nn.Upsample, node: fx.Node, inputs: Value) -> Value:
    return resize(state, node, inputs, upsample.mode)


def _read_prelu(state: Reading, prelu: nn.PReLU, node: fx.Node, inputs: Value) -> Value:
    """Read what has one slope, or one for each channel; torch has seen to it that they are as many."""
    name, slopes = f"{node.target}.weight", prelu.num_parameters
    direct = Direct(name, f"parameter '{name}'", (slopes,), slopes)
    if slopes > 1 and inputs.positions > 1:
        raise ObstacleError(node, f"{{place}} has {slopes} slopes for {inputs.channels} channels; cannot be pruned")
    state.use_directly(node, direct, 0, inputs.tie if slopes > 1 else None)
    return state.add_plain(node, ACTIVATION, inputs, inputs.positions * math.prod(shape_of(node)[2:]))


def _softmax_function(state: Reading, node: fx.Node, inputs: Value) -> Value:
    return _softmax(state, node, inputs, argument(node, 1, "dim"))


def _read_softmax(state: Reading, softmax: nn.Softmax | nn.LogSoftmax, node: fx.Node, inputs: Value) -> Value:
    return _softmax(state, node, inputs, softmax.dim)


def _softmax(state: Reading, node: fx.Node, inputs: Value, dim: Any) -> Value:
    """Accept a softmax over positions, or over channels that turn out to stay; as most activations, it is free."""
    axis = dim % len(shape_of(node)) if isinstance(dim, int) else 0
    if axis == 0:
        raise unknown(node)
    if axis == 1:
        found = f"operation '{operation(node)}' at {{place}} runs over channels that pruning changes"
        state.conditions.append(Condition(frozenset({inputs.tie}), ObstacleError(node, found)))
    return inputs


def _adaptive_cost(node: fx.Node) -> int:
    """(window + 1) x outputs per channel, as thop 0.1.1 counts it: inputs + outputs, whether or not they divide."""
    return math.prod(shape_read(node)[2:]) + math.prod(shape_of(node)[2:])


def _read_linear(state: Reading, linear: nn.Linear, node: fx.Node, inputs: Value) -> Value:
    if inputs.channels * inputs.positions != linear.in_features or len(shape_of(node)) != 2:
        raise ObstacleError(
            node, "linear layer {place} does not act on flattened channels; cannot be pruned", is_sure=False
        )
    costs = {"flops_pair": inputs.positions, "params_pair": inputs.positions}
    bias = int(linear.bias is not None)
    tie = state.new_tie()  # pruned with a group that a sum or a product joins it to, never by itself
    return state.add(node, str(node.target), LINEAR, inputs, tie, linear.out_features, **costs, params_channel=bias)


def _elementwise(node: fx.Node, given: list[Read]) -> Value | Direct:
    others = [value for value in given if not isinstance(value, Number)]
    if len(others) == 1 and isinstance(others[0], Direct):
        return others[0]
    return only(node, given)


def _read_elementwise(state: Reading, module: nn.Module, node: fx.Node, inputs: Value) -> Value:
    return inputs


def _read_flatten(state: Reading, module: nn.Module, node: fx.Node, inputs: Value) -> Value:
    return reshape(node, inputs)


def _flatten(state: Reading, node: fx.Node, inputs: Value, values: Mapping[fx.Node, Read]) -> Value:
    if node.target in (torch.flatten, "flatten"):
        state.use_numbers(node, [values[arg] for arg in node.all_input_nodes])
        return reshape(node, inputs)
    return view(state, node, inputs, values)


def _join(state: Reading, node: fx.Node, given: list[Read]) -> Read:
    """Read a sum or a product, of tensors of equal ranks and channels, and of constants and values per channel."""
    values = [value for value in given if isinstance(value, Value)]
    direct = [value for value in given if isinstance(value, Direct)]
    if not values and len(direct) == 1:
        return direct[0]
    if not values:
        raise unknown(node, direct)
    first, shape = values[0], shape_of(node)
    shapes = [shape_of(arg) for arg, value in zip(node.all_input_nodes, given, strict=True) if isinstance(value, Value)]
    for other, found in zip(values, shapes, strict=True):
        is_alike = (other.channels, other.positions, len(found)) == (first.channels, first.positions, len(shapes[0]))
        if not is_alike or len(found) != len(shape) or found[:2] != shape[:2]:
            joined = " and ".join(map(written, shapes))
            what = f"operation '{operation(node)}' at {{place}} joins {joined}; expected equal ranks and channels"
            raise ObstacleError(node, what, is_sure=False)
        state.unite(first.tie, other.tie)
    for value in direct:
        _join_direct(state, node, first, value)
    sources = tuple(dict.fromkeys(source for value in values for source in value.sources))
    return Value(sources, first.tie, first.channels, first.positions)


def _join_direct(state: Reading, node: fx.Node, value: Value, direct: Direct) -> None:
    """Take a parameter or buffer, aligned with [B, C, ...] from the right, as a constant or as values per channel."""
    shape = shape_of(node)
    axis = 1 - (len(shape) - len(direct.shape))  # that of the channels; negative if there is none
    length = direct.shape[axis] if axis >= 0 else 1
    if axis > 1 or (axis == 1 and direct.shape[0] != 1):
        raise used_directly(node, direct, f", with a shape {list(direct.shape)} that is not that of one image's maps")
    if length == 1:
        state.use_directly(node, direct, 0, None)
    elif length == value.channels and value.positions == 1:
        state.use_directly(node, direct, axis, value.tie)
    else:
        raise used_directly(node, direct, f", with {length} values for {value.channels} channels")


FUNCTION_READERS: dict[Any, Callable[[Reading, fx.Node, Value], Value]] = {
    operator.getitem: slice_positions,
    F.pad: pad,
    F.interpolate: resize,
    **dict.fromkeys(("squeeze", torch.squeeze), squeeze),
    **dict.fromkeys(("unsqueeze", torch.unsqueeze), unsqueeze),
    **dict.fromkeys(SOFTMAXES, _softmax_function),
}
# One kind of module, one reader. The order matters only where one kind derives from another.
MODULE_READERS: list[tuple[tuple[type[nn.Module], ...], Callable[[Reading, Any, fx.Node, Value], Value]]] = [
    ((nn.Conv2d,), _read_conv),
    ((nn.BatchNorm2d, nn.BatchNorm1d, nn.SyncBatchNorm), _read_batch_norm),
    ((nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d), _read_pool),
    (PADDINGS, _read_padding),
    ((nn.PReLU,), _read_prelu),
    ((nn.Softmax, nn.LogSoftmax), _read_softmax),
    ((nn.Upsample, nn.UpsamplingNearest2d, nn.UpsamplingBilinear2d), _read_upsample),
    ((nn.Linear,), _read_linear),
    ((nn.Flatten,), _read_flatten),
    (ELEMENTWISE_MODULES, _read_elementwise),
]
