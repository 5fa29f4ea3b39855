"""What layers do to channels: one reader for each kind, whether the module is called or the function that it calls."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from torch import fx, nn
from torch.nn.modules.batchnorm import _NormBase

from sacp.network.graph import ACTIVATION, BATCH_NORM, CONV, FIXED, LINEAR, POOL
from sacp.network.surgery import goes_by_groups
from sacp.tracing.shapes import check_axes, flatten, is_over_positions, reduced, resize, unflatten
from sacp.tracing.shuffles import read_channel_shuffle, read_glu, read_pixel_shuffle, read_pixel_unshuffle
from sacp.tracing.values import (
    Condition,
    Direct,
    ObstacleError,
    Read,
    Reading,
    Value,
    argument,
    images_of,
    labels_along,
    operation,
    shape_of,
    shape_read,
    unknown,
)

Conv = nn.Conv1d | nn.Conv2d | nn.Conv3d
TransposedConv = nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d


def _outputs(node: fx.Node, axis: int) -> int:
    """Elements that a node gives for each image and element along an axis."""
    shape = shape_of(node)
    return images_of(shape) * math.prod(shape[1:axis] + shape[axis + 1 :])


def _check_images(node: fx.Node, layer: nn.Module) -> None:
    """Raise `ObstacleError` if a convolution reads one image without its batch axis."""
    if len(shape_read(node)) != layer.weight.dim():  # type: ignore[operator]
        raise ObstacleError(node, "convolution {place} reads no [B, C, ...]; cannot be pruned", stays=True)


def read_conv(state: Reading, conv: Conv, node: fx.Node, value: Value, name: str) -> Value:
    """Read a convolution. Where it has groups, whole ones are pruned, or the channels of all of them in step."""
    _check_images(node, conv)
    inputs = labels_along(node, value, 1, conv.in_channels)
    window, area = math.prod(conv.kernel_size), images_of(shape_of(node)) * math.prod(shape_of(node)[2:])
    bias = int(conv.bias is not None)
    if goes_by_groups(conv):
        rows = inputs.reshape(conv.groups, -1)
        state.unite(rows, rows[:, :1])
        outputs = np.repeat(rows[:, 0], conv.out_channels // conv.groups)
        costs = {"flops_channel": window * area * rows.shape[1], "params_channel": window * rows.shape[1] + bias}
        return state.add(node, name, CONV, value, inputs, outputs, **costs)
    outputs = state.new(conv.out_channels)
    for labels in (inputs, outputs) if conv.groups > 1 else ():
        rows = labels.reshape(conv.groups, -1)
        state.unite(rows, rows[:1])
    costs = {"flops_pair": window * area, "params_pair": window, "params_channel": bias, "divisor": conv.groups}
    return state.add(node, name, CONV, value, inputs, outputs, **costs)


def read_transposed_conv(state: Reading, conv: TransposedConv, node: fx.Node, value: Value, name: str) -> Value:
    """Read a transposed convolution, of one group; operations as thop counts them, by its outputs."""
    _check_images(node, conv)
    if conv.groups > 1:
        raise ObstacleError(node, f"transposed convolution {{place}} has {conv.groups} groups; cannot be pruned")
    inputs = labels_along(node, value, 1, conv.in_channels)
    window, area = math.prod(conv.kernel_size), images_of(shape_of(node)) * math.prod(shape_of(node)[2:])
    costs = {"flops_pair": window * area, "params_pair": window, "params_channel": int(conv.bias is not None)}
    return state.add(node, name, CONV, value, inputs, state.new(conv.out_channels), **costs)


def read_linear(state: Reading, linear: nn.Linear, node: fx.Node, value: Value, name: str) -> Value:
    """Read a linear layer, which mixes the last axis."""
    last = len(shape_of(node)) - 1
    inputs = labels_along(node, value, last, linear.in_features)
    positions = _outputs(node, last)
    costs = {"flops_pair": positions, "params_pair": 1, "params_channel": int(linear.bias is not None)}
    return state.add(node, name, LINEAR, value, inputs, state.new(linear.out_features), last, **costs)


def read_norm(state: Reading, norm: Any, node: fx.Node, value: Value, name: str) -> Value:
    """Read a batch norm or an instance norm, whose channels are the second axis."""
    labels = labels_along(node, value, 1, shape_read(node)[1])
    factor = 4 if norm.affine else 2
    costs = {"flops_channel": factor * _outputs(node, 1), "params_channel": 2 if norm.affine else 0}
    return state.add(node, name, BATCH_NORM, value, labels, labels, **costs)


def read_frozen_norm(state: Reading, norm: nn.Module, node: fx.Node, value: Value, name: str) -> Value:
    """Read torchvision's batch norm of constants, buffers of a value per channel; as sums and products, it is free."""
    labels_along(node, value, 1, shape_read(node)[1])
    for own, buffer in norm.named_buffers():
        direct = Direct(f"{name}.{own}", f"buffer '{name}.{own}'", tuple(buffer.shape), 0)
        state.use_directly(node, direct, 0, value.labels)
    return value


def read_group_norm(state: Reading, norm: nn.GroupNorm, node: fx.Node, value: Value, name: str) -> Value:
    """Read a group norm: the channels of a group stay or go together."""
    labels = labels_along(node, value, 1, norm.num_channels)
    if norm.num_groups == 1 and value.labels is not None:
        raise ObstacleError(node, "layer {place} normalises over all channels", stays=True)
    if not norm.affine and value.labels is not None:  # no weight would tell how many groups are left
        raise ObstacleError(node, "group norm {place} has no weights whose channels could be pruned", stays=True)
    rows = labels.reshape(norm.num_groups, -1)
    state.unite(rows, rows[:, :1])
    costs = {"flops_channel": (4 if norm.affine else 2) * _outputs(node, 1), "params_channel": 2 * norm.affine}
    return state.add(node, name, BATCH_NORM, value, labels, labels, **costs)


def read_layer_norm(state: Reading, norm: nn.LayerNorm, node: fx.Node, value: Value, name: str) -> Value:
    """Read a layer norm: channels that it runs over stay."""
    for own, parameter in norm.named_parameters():
        label = f"parameter '{name}.{own}'"
        state.use_directly(node, Direct(f"{name}.{own}", label, tuple(parameter.shape), parameter.numel()))
    return _layer_norm(state, node, value, norm.normalized_shape, norm.elementwise_affine)


def layer_norm(state: Reading, node: fx.Node, given: Sequence[Read]) -> Value:
    """Read the function of a layer norm."""
    tensors, shape = [value for value in given if isinstance(value, Value)], argument(node, 1, "normalized_shape")
    if len(tensors) != 1 or not isinstance(shape, (tuple, list)):
        raise unknown(node, given)
    direct = [each for each in given if isinstance(each, Direct)]
    for each in direct:
        state.use_directly(node, each)
    return _layer_norm(state, node, tensors[0], shape, bool(direct))


def _layer_norm(state: Reading, node: fx.Node, value: Value, normalised: Sequence[int], is_affine: bool) -> Value:
    shape = shape_of(node)
    is_over = value.labels is not None and value.axis >= len(shape) - len(normalised)
    if is_over:
        state.fix(value.labels, ObstacleError(node, "layer norm {place} runs over channels"))
    cost = (4 if is_affine else 2) * images_of(shape) * math.prod(shape[1:])
    if value.labels is None or is_over:
        return fixed_node(state, node, value.sources, cost)
    return state.add_plain(node, ACTIVATION, value, cost // len(value.labels))


def fixed_node(state: Reading, node: fx.Node, sources: tuple[int, ...], flops: int, parameters: int = 0) -> Value:
    """Add a node for what is taken as a whole. Its parameters count once, and no operations of training alone."""
    if node.op == "call_module" and str(node.target) in state.places:
        parameters = 0
    flops = 0 if state.in_training else flops
    if not flops and not parameters:
        return Value(sources)
    whole = np.zeros(1, np.int64)
    name = str(node.target) if node.op == "call_module" else node.name
    costs = {"flops_channel": flops, "params_channel": parameters}
    return Value(state.add(node, name, FIXED, Value(sources), whole, whole, **costs).sources)


def read_pool(state: Reading, pool: nn.Module, node: fx.Node, value: Value, name: str) -> Value:
    """Read a pooling of [B, C, ...] over positions."""
    rank = int(type(pool).__name__[-2]) + 2
    if len(shape_read(node)) != rank or (value.labels is not None and value.axis != 1):
        raise ObstacleError(node, "pooling {place} reads no [B, C, ...]; cannot be pruned", stays=True)
    cost = 0
    if isinstance(pool, nn.AdaptiveAvgPool1d | nn.AdaptiveAvgPool2d | nn.AdaptiveAvgPool3d):
        cost = adaptive_cost(node)
    elif isinstance(pool, nn.AvgPool1d | nn.AvgPool2d | nn.AvgPool3d):
        cost = math.prod(shape_of(node)[2:])
    return state.add_plain(node, POOL, value, cost)


def pool_function(state: Reading, node: fx.Node, value: Value) -> Value:
    """Read the function of a pooling, or a mean over positions."""
    name = operation(node)
    if name == "mean":
        return _mean(state, node, value)
    rank, expected = len(shape_read(node)), int(name[-2]) + 2  # of `avg_pool1d`, [B, C, L]
    if rank != expected or (value.labels is not None and value.axis != 1):
        raise ObstacleError(node, f"operation '{name}' of a tensor of {rank} axes at {{place}} is not understood")
    cost = adaptive_cost(node) if name.startswith("adaptive_avg") else 0
    return state.add_plain(node, POOL, value, math.prod(shape_of(node)[2:]) if name.startswith("avg") else cost)


def _mean(state: Reading, node: fx.Node, value: Value) -> Value:
    dims, rank, keepdim = argument(node, 1, "dim"), len(shape_read(node)), bool(argument(node, 2, "keepdim", False))
    axes = [dim % rank for dim in (dims if isinstance(dims, (tuple, list)) else [dims]) if isinstance(dim, int)]
    if value.labels is not None and (not axes or 0 in axes):
        found = f"operation 'mean over {dims}' of a tensor of {rank} axes at {{place}}"
        raise ObstacleError(node, f"{found} is not understood, so not prunable")
    check_axes(node, value, axes)
    if is_over_positions(node) and rank > 2 and (value.labels is None or value.axis == 1):
        return state.add_plain(node, POOL, value, adaptive_cost(node))
    cost = sum(images_of(shape) * math.prod(shape[1:]) for shape in (shape_read(node), shape_of(node)))
    if value.labels is None:
        return fixed_node(state, node, value.sources, cost)
    return reduced(node, state.add_plain(node, POOL, value, cost // len(value.labels)), axes, keepdim)


def adaptive_cost(node: fx.Node) -> int:
    """(window + 1) x outputs per channel, as thop 0.1.1 counts it: inputs + outputs, whether or not they divide."""
    return math.prod(shape_read(node)[2:]) + math.prod(shape_of(node)[2:])


def read_padding(state: Reading, module: nn.Module, node: fx.Node, value: Value, name: str) -> Value:
    """Read a padding of positions."""
    if value.labels is not None and (value.axis != 1 or len(shape_read(node)) != 4):
        raise ObstacleError(node, "padding {place} pads more than positions; cannot be pruned")
    return value


def read_upsample(state: Reading, upsample: nn.Upsample, node: fx.Node, value: Value, name: str) -> Value:
    """Read a resizing."""
    return resize(state, node, value, upsample.mode)


def read_prelu(state: Reading, prelu: nn.PReLU, node: fx.Node, value: Value, name: str) -> Value:
    """Read what has one slope, or one for each channel; torch has seen to it that they are as many."""
    own, slopes = f"{name}.weight", prelu.num_parameters
    direct = Direct(own, f"parameter '{own}'", (slopes,), slopes)
    if value.labels is not None and slopes > 1 and (value.axis != 1 or slopes != len(value.labels)):
        raise ObstacleError(node, f"{{place}} has {slopes} slopes for other axes; cannot be pruned")
    state.use_directly(node, direct, 0, value.labels if slopes > 1 else None)
    return state.add_plain(node, ACTIVATION, value, _outputs(node, 1 if value.labels is None else value.axis))


def softmax_function(state: Reading, node: fx.Node, value: Value) -> Value:
    """Read the function of a softmax."""
    return _softmax(state, node, value, argument(node, 1, "dim"))


def read_softmax(state: Reading, softmax: nn.Softmax | nn.LogSoftmax, node: fx.Node, value: Value, name: str) -> Value:
    """Read a softmax over positions, or over channels that turn out to stay; as most activations, it is free."""
    return _softmax(state, node, value, softmax.dim)


def _softmax(state: Reading, node: fx.Node, value: Value, dim: Any) -> Value:
    axis = dim % len(shape_of(node)) if isinstance(dim, int) else 0
    if axis == 0:
        raise unknown(node)
    if value.labels is not None and axis == value.axis:
        found = f"operation '{operation(node)}' at {{place}} runs over channels that pruning changes"
        state.conditions.append(Condition((value.labels,), ObstacleError(node, found)))
    return value


def read_elementwise(state: Reading, module: nn.Module, node: fx.Node, value: Value, name: str) -> Value:
    """Read what gives each element from the same element."""
    return value


def read_flatten(state: Reading, module: nn.Module, node: fx.Node, value: Value, name: str) -> Value:
    """Read a flattening."""
    return flatten(state, node, value)


def read_unflatten(state: Reading, module: nn.Unflatten, node: fx.Node, value: Value, name: str) -> Value:
    """Read what makes several axes of one."""
    return unflatten(state, node, value, module.dim, tuple(module.unflattened_size))


def read_by_its_layer(state: Reading, root: nn.Module, node: fx.Node, given: Sequence[Read]) -> Value:
    """Read the function of a layer that a module of its kind calls with its own weight, as subclasses do.

    With other tensors, or constants, it is taken as a whole.
    """
    tensors = [value for value in given if isinstance(value, Value)]
    names = [each.name or "" for each in given if isinstance(each, Direct)]
    is_made = any(value.obstacle is not None for value in tensors[1:])  # a weight that is computed of parameters
    if not tensors or (len(tensors) > 1 and not is_made):
        raise unknown(node, given)
    paths = {name.rpartition(".")[0] for name in names}
    path = paths.pop() if len(paths) == 1 else None
    module = root.get_submodule(path) if path is not None and names != [""] else None
    kind, reader = FUNCTIONS[operation(node)]
    if len(tensors) == 1 and path is not None and isinstance(module, kind) and _is_all_of(module, path, names):
        groups = argument(node, 6, "groups", 1)  # of a convolution
        number = argument(node, 1, "num_groups")  # of a group norm
        if groups == getattr(module, "groups", groups) and number == getattr(module, "num_groups", number):
            return reader(state, module, node, tensors[0], path)
    if tensors[0].labels is not None:
        raise unknown(node, given)
    for each in given:
        if isinstance(each, Direct):
            state.use_directly(node, each)
    state.wholes.append(
        ObstacleError(node, f"operation '{operation(node)}' at {{place}} has no weight of its own layer")
    )
    weight = argument(node, 1, "weight")
    outputs = images_of(shape_of(node)) * math.prod(shape_of(node)[1:])
    cost = outputs * math.prod(shape_of(weight)[1:]) if isinstance(weight, fx.Node) else 0
    if operation(node).endswith("_norm"):
        cost = outputs * (2 if argument(node, 3, "weight") is None else 4)
    return fixed_node(state, node, tensors[0].sources, cost)


def _is_all_of(module: nn.Module, path: str, names: Sequence[str]) -> bool:
    """Whether these are all tensors of a module that go by its channels."""
    own = {name for name, _ in (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False))}
    return {f"{path}.{name}".removeprefix(".") for name in own - {"num_batches_tracked"}} == set(names)


Reader = Callable[[Reading, Any, fx.Node, Value, str], Value]
CONVS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED_CONVS = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
NORMS = (
    nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm,
    nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d,
)  # fmt: skip
FUNCTIONS: dict[str, tuple[Any, Reader]] = {
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), (CONVS, read_conv)),
    "linear": (nn.Linear, read_linear),
    "batch_norm": (_NormBase, read_norm),
    "group_norm": (nn.GroupNorm, read_group_norm),
}
PADDINGS = (nn.ZeroPad2d, nn.ConstantPad2d, nn.ReflectionPad2d, nn.ReplicationPad2d, nn.CircularPad2d)
POOLS = (
    nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d,
    nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d,
    nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d,
)  # fmt: skip
ELEMENTWISE = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SELU, nn.CELU, nn.SiLU, nn.GELU, nn.Mish, nn.Sigmoid, nn.LogSigmoid,
    nn.Tanh, nn.Softplus, nn.Softsign, nn.Hardswish, nn.Hardsigmoid, nn.Hardtanh, nn.Threshold, nn.Identity,
    nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d,
)  # fmt: skip
# One kind of module, one reader. The order matters only where one kind derives from another.
MODULES: list[tuple[tuple[type[nn.Module], ...], Reader]] = [
    (CONVS, read_conv),
    (TRANSPOSED_CONVS, read_transposed_conv),
    (NORMS, read_norm),
    ((nn.GroupNorm,), read_group_norm),
    ((nn.LayerNorm,), read_layer_norm),
    (POOLS, read_pool),
    (PADDINGS, read_padding),
    ((nn.PReLU,), read_prelu),
    ((nn.Softmax, nn.LogSoftmax), read_softmax),
    ((nn.Upsample, nn.UpsamplingNearest2d, nn.UpsamplingBilinear2d), read_upsample),
    ((nn.Linear,), read_linear),
    ((nn.Flatten,), read_flatten),
    ((nn.Unflatten,), read_unflatten),
    ((nn.PixelShuffle,), read_pixel_shuffle),
    ((nn.PixelUnshuffle,), read_pixel_unshuffle),
    ((nn.ChannelShuffle,), read_channel_shuffle),
    ((nn.GLU,), read_glu),
    (ELEMENTWISE, read_elementwise),
]


READERS_BY_NAME: dict[str, Reader] = {  # of what is not imported for its sake
    "torchvision.ops.misc.FrozenBatchNorm2d": read_frozen_norm,
}


# Layers that are read as a whole also where a subclass only adds to them.
LAYERS = (*CONVS, *TRANSPOSED_CONVS, *NORMS, nn.GroupNorm, nn.LayerNorm, nn.Linear, nn.PReLU)


def of_module(module: nn.Module) -> tuple[type[nn.Module], Reader] | None:
    """The kind of a layer and its reader; None where no kind has its forward."""
    for kinds, reader in MODULES:
        for kind in kinds:
            if isinstance(module, kind):
                return (kind, reader) if computes_as(module, kind) else None
    by_name = READERS_BY_NAME.get(kind_name(module))
    return (type(module), by_name) if by_name else None


def kind_name(module: nn.Module) -> str:
    """The kind of a layer as `READERS_BY_NAME` has it."""
    return f"{type(module).__module__}.{type(module).__qualname__}"


def computes_as(module: nn.Module, kind: type[nn.Module]) -> bool:
    """Whether a layer computes what its kind computes, and not something of its own."""
    parts = ("forward", "_conv_forward", "_check_input_dim")
    return all(getattr(type(module), part, None) is getattr(kind, part, None) for part in parts)
