"""What each operation does to the channels of what it reads. What has no reader is refused where it meets channels."""

import dataclasses
import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from sacp.tracing.joins import concatenate, join, products, stack
from sacp.tracing.layers import (
    FUNCTIONS,
    fixed_node,
    layer_norm,
    of_module,
    pool_function,
    read_by_its_layer,
    softmax_function,
)
from sacp.tracing.shapes import (
    axes_of,
    chunk,
    extreme,
    flatten,
    flip,
    index,
    pad,
    permute,
    resize,
    split,
    squeeze,
    total,
    transpose,
    unbind,
    unflatten,
    unsqueeze,
    view,
)
from sacp.tracing.shuffles import channel_shuffle, glu, pixel_shuffle, pixel_unshuffle
from sacp.tracing.values import (
    Direct,
    Number,
    ObstacleError,
    Read,
    Reading,
    Several,
    Value,
    argument,
    images_of,
    is_arithmetic,
    only,
    operation,
    shape_of,
    shape_read,
    sources_of,
    tensors_in,
    unknown,
    used_directly,
)

ELEMENTWISE_FUNCTIONS = {
    torch.relu, F.relu, F.relu6, F.leaky_relu, F.elu, F.selu, F.celu, F.silu, F.gelu, F.mish, F.hardswish,
    F.hardsigmoid, F.hardtanh, F.softplus, F.softsign, F.logsigmoid, F.threshold, F.dropout, F.dropout2d, F.dropout3d,
    F.sigmoid, F.tanh, torch.sigmoid, torch.tanh, torch.clamp, torch.neg, operator.neg, torch.abs, operator.abs,
    torch.round, torch.exp, torch.sqrt, torch.rsqrt, torch.log, torch.square, torch.sin, torch.cos, torch.erf,
    torch.zeros_like, torch.ones_like, torch.rand_like, torch.randn_like,
}  # fmt: skip
ELEMENTWISE_METHODS = {
    "relu", "relu_", "sigmoid", "sigmoid_", "tanh", "contiguous", "clone", "detach", "clamp", "clamp_", "clip", "neg",
    "abs", "round", "exp", "sqrt", "rsqrt", "log", "square", "float", "double", "half", "bfloat16", "to", "type_as",
}  # fmt: skip
ELEMENTWISE_NAMES = {"torchvision.ops.stochastic_depth.stochastic_depth"}  # of what is not imported for its sake
JOINS = {
    operator.add, operator.iadd, operator.sub, operator.isub, operator.mul, operator.imul, operator.truediv,
    operator.pow, torch.add, torch.sub, torch.mul, torch.div, torch.pow, torch.maximum, torch.minimum,
    "add", "add_", "sub", "sub_", "mul", "mul_", "div", "div_", "pow", "maximum", "minimum", "expand_as",
}  # fmt: skip
POOL_FUNCTIONS = {
    F.max_pool1d, F.max_pool2d, F.max_pool3d, F.avg_pool1d, F.avg_pool2d, F.avg_pool3d,
    F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.adaptive_avg_pool3d,
    F.adaptive_max_pool1d, F.adaptive_max_pool2d, F.adaptive_max_pool3d, torch.mean, "mean",
}  # fmt: skip
VIEWS = {"view", "reshape", torch.reshape}
CONCATENATIONS = (torch.cat, torch.concat, torch.concatenate)
SOFTMAXES = (F.softmax, torch.softmax, "softmax", F.log_softmax, torch.log_softmax, "log_softmax")
PRODUCTS = (
    operator.matmul, torch.matmul, "matmul", torch.bmm, "bmm", torch.einsum, F.scaled_dot_product_attention,
)  # fmt: skip
EXTREMES = ("max", torch.max, "min", torch.min)  # of two tensors, or along an axis
PARTS = (  # what gives tuples of tensors
    "chunk", torch.chunk, "split", torch.split, "tensor_split", torch.tensor_split, "unbind", torch.unbind,
    *EXTREMES, operator.getitem,
)  # fmt: skip
MIXERS = (
    nn.MultiheadAttention, nn.TransformerEncoder, nn.TransformerEncoderLayer, nn.RNNBase, nn.LocalResponseNorm,
    nn.CrossMapLRN2d, nn.RMSNorm,
)  # fmt: skip
SIZES = ("size", getattr, operator.getitem)  # of a tensor, where they give none themselves
FACTS = ("device", "dtype", "ndim", "is_cuda", "requires_grad")  # attributes of a tensor that channels do not change
PERMUTATIONS = ("permute", torch.permute, "transpose", torch.transpose, "swapaxes", torch.swapaxes)
COMPARISONS = (operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge)
CHOICES = (torch.where, "where", torch.masked_fill, "masked_fill", "masked_fill_")


def read(state: Reading, root: nn.Module, node: fx.Node, values: dict[fx.Node, Read]) -> Read:
    """Return what a node gives; add it to the graph's nodes if it is one.

    Raises:
        ObstacleError: the operation has no reader, or does what cannot be pruned, and some of what it reads might be.
    """
    given = [values[arg] for arg in node.all_input_nodes]
    found = _read_or_leave(state, root, node, given, values)
    hindered = [tensor.obstacle for tensor in tensors_in(given)]
    if isinstance(found, Value) and found.labels is None and hindered and all(hindered):
        return dataclasses.replace(found, obstacle=hindered[0])
    return found


def _read_or_leave(
    state: Reading, root: nn.Module, node: fx.Node, given: list[Read], values: dict[fx.Node, Read]
) -> Read:
    """Read an operation; leave the channels that it reads as they are where it can be read only so."""
    try:
        return _read(state, root, node, given, values)
    except ObstacleError as obstacle:
        if obstacle.is_sure:
            raise
        if not _meets_channels(given):
            return _as_a_whole(state, root, node, given, obstacle)
        if not obstacle.stays:
            raise
        for tensor in tensors_in(given):
            state.fix(tensor.labels, obstacle)
    given = list(map(_without_labels, given))
    known = values | dict(zip(node.all_input_nodes, given, strict=True))
    try:
        return _read(state, root, node, given, known)
    except ObstacleError as obstacle:
        return _as_a_whole(state, root, node, given, obstacle)


def _meets_channels(given: Sequence[Read]) -> bool:
    """Whether anything that is read could be pruned."""
    tells = any(isinstance(value, Number) and value.labels for value in given)
    return tells or any(tensor.labels is not None for tensor in tensors_in(given))


def _without_labels(value: Read) -> Read:
    if isinstance(value, Several):
        return Several(tuple(Value(each.sources, obstacle=each.obstacle) for each in value.values))
    return Value(value.sources, obstacle=value.obstacle) if isinstance(value, Value) else value


def _as_a_whole(state: Reading, root: nn.Module, node: fx.Node, given: Sequence[Read], obstacle: ObstacleError) -> Read:
    """Whatever is done to what is never pruned: it gives the same as before.

    A parameter or buffer that comes out of it cannot meet channels, for the reason that is given.
    """
    direct, tensors = [each for each in given if isinstance(each, Direct)], tensors_in(given)
    for each in direct:
        state.use_directly(node, each)
    state.use_numbers(node, given)
    if not tensors and not direct:  # a number, or a tensor made of numbers
        return Value((), obstacle=obstacle) if "shape" in node.meta else Number()
    flops, parameters = node.meta.get("macs", 0), 0
    if node.op == "call_module":
        module = root.get_submodule(str(node.target))
        flops, parameters = _attention_cost(module, node), sum(each.numel() for each in module.parameters())
    sources = fixed_node(state, node, sources_of(tensors), flops, parameters).sources
    return Value(sources, obstacle=None if tensors else obstacle)


def _attention_cost(module: nn.Module, node: fx.Node) -> int:
    """Multiply-accumulates of an attention's linear maps, and a transformer's; products of activations do not count."""
    attentions = [each for each in module.modules() if isinstance(each, nn.MultiheadAttention)]
    if not attentions:
        return 0
    own = {id(layer) for each in attentions for layer in each.modules()}
    linear = [each for each in module.modules() if isinstance(each, nn.Linear) and id(each) not in own]
    shape = shape_read(node)
    tokens = images_of(shape) * (shape[1] if attentions[0].batch_first else 1)
    squares = sum(4 * int(each.embed_dim) ** 2 for each in attentions)
    return tokens * (squares + sum(each.in_features * each.out_features for each in linear))


def _read(state: Reading, root: nn.Module, node: fx.Node, given: list[Read], values: dict[fx.Node, Read]) -> Read:
    if node.op == "get_attr":
        return _attribute(state, root, node)
    if "shape" not in node.meta and "length" not in node.meta:
        return _number(state, node, given)
    is_mixer = node.op == "call_module" and isinstance(root.get_submodule(str(node.target)), MIXERS)
    if "shape" not in node.meta and node.target not in PARTS and not is_mixer:
        raise unknown(node, given)
    if node.target not in VIEWS:
        state.use_numbers(node, given)
    if node.op == "call_module":
        path = str(node.target)
        module = root.get_submodule(path)
        found = of_module(module)
        if is_mixer:
            raise ObstacleError(node, f"{type(module).__name__} {{place}} mixes channels", stays=True)
        if found is None:
            raise unknown(node, given, type(module).__name__)
        given = [_constant(state, node, each) if isinstance(each, Direct) else each for each in given]
        return found[1](state, module, node, only(node, given), path)
    if _is_join(node):
        return join(state, node, given)
    if is_elementwise(node):
        return _elementwise(node, given)
    if node.target in (*VIEWS, operator.getitem) and isinstance(given[0], Direct):
        return _with_axes_added(node, given[0])
    if node.target in VIEWS:
        return view(state, node, only(node, given), values)
    if node.target in SEVERAL_READERS:
        return SEVERAL_READERS[node.target](state, node, given)
    if operation(node) in FUNCTIONS and getattr(F, operation(node), None) is node.target:
        return read_by_its_layer(state, root, node, given)
    if node.target in (operator.getitem, getattr) and isinstance(given[0], Several) and len(given) == 1:
        return index(state, node, given[0])
    if node.target in FUNCTION_READERS:
        return FUNCTION_READERS[node.target](state, node, only(node, given))
    raise unknown(node, given)


def _constant(state: Reading, node: fx.Node, value: Direct) -> Value:
    """A parameter or buffer as a layer reads it."""
    state.use_directly(node, value)
    return Value((), obstacle=used_directly(node, value))


def is_elementwise(node: fx.Node) -> bool:
    """Whether a function or method gives each element from the same element, or drops whole images."""
    name = f"{getattr(node.target, '__module__', '')}.{operation(node)}"
    return node.target in ELEMENTWISE_FUNCTIONS | ELEMENTWISE_METHODS or name in ELEMENTWISE_NAMES


def _is_join(node: fx.Node) -> bool:
    """Whether an operation joins tensors element by element: `max` and `min` do where they are given two.

    Comparisons and choices do where they give a tensor: numbers can be compared, too, and places be asked for.
    """
    other = argument(node, 1, "other")
    is_of_two = node.target in EXTREMES and isinstance(other, fx.Node) and "shape" in other.meta
    return node.target in JOINS or is_of_two or (node.target in (*COMPARISONS, *CHOICES) and "shape" in node.meta)


def _attribute(state: Reading, root: nn.Module, node: fx.Node) -> Direct:
    path, _, own = str(node.target).rpartition(".")
    tensor = getattr(root.get_submodule(path), own)
    is_parameter = isinstance(tensor, nn.Parameter)
    name = state.names.get(id(tensor))
    label = f"{'parameter' if is_parameter else 'buffer' if name else 'tensor'} '{node.target}'"
    return Direct(name, label, tuple(tensor.shape), tensor.numel() if is_parameter else 0, tensor.dim() == 1)


def _number(state: Reading, node: fx.Node, given: list[Read]) -> Number:
    """Read what gives no tensor: sizes, their parts, and what is computed of them."""
    if not given:
        raise unknown(node)
    value = given[0]
    if isinstance(value, Value):
        if value.labels is None or (node.target is getattr and node.args[1] in FACTS) or node.target == "dim":
            return Number()
        rank = len(shape_read(node))
        sizes = Number(tuple((value.labels,) if axis == value.axis else () for axis in range(rank)), "times")
        if (node.target is getattr and node.args[1] == "shape") or node.target == "size":
            dims = [*node.args[1:], *node.kwargs.values()] if node.target == "size" else []
            return _part(sizes, dims[0]) if dims else sizes
        raise unknown(node, given)
    if isinstance(value, Direct) and node.target is getattr and node.args[1] in (*FACTS, "shape"):
        return Number()
    if not all(isinstance(each, Number) for each in given):
        raise unknown(node, given)
    if node.target is operator.getitem and isinstance(value, Number) and len(given) == 1:
        return _part(value, node.args[1])
    if node.target is torch._assert:
        state.use_numbers(node, given)
        return Number()
    labels = tuple(labels for each in given if isinstance(each, Number) for labels in each.labels)
    if labels and not is_arithmetic(node) and node.target not in COMPARISONS:
        raise unknown(node, given)
    return Number((labels,), _scale(node, given))


def _scale(node: fx.Node, given: Sequence[Read]) -> str:
    """How a computed number follows the one length of pruned channels that it is computed of."""
    followed = [each for each in given if isinstance(each, Number) and each.labels]
    if len(followed) != 1:
        return ""
    if node.target is operator.mul and followed[0].scale == "times":
        return "times"
    is_divided = node.target is operator.floordiv and given and given[0] is followed[0]
    return "part" if is_divided and followed[0].scale == "times" else ""


def _part(sizes: Number, index: Any) -> Number:
    if isinstance(index, int) and -len(sizes.parts) <= index < len(sizes.parts):
        return Number((sizes.parts[index],), sizes.scale)
    return Number(sizes.parts[index] if isinstance(index, slice) else sizes.parts, sizes.scale)


def _elementwise(node: fx.Node, given: list[Read]) -> Value | Direct:
    others = [value for value in given if not isinstance(value, Number)]
    if len(others) == 1 and isinstance(others[0], Direct):
        return others[0]
    return only(node, given)


def _with_axes_added(node: fx.Node, value: Direct) -> Direct:
    """Read `view(1, -1, 1, 1)` or `[:, None, None]` of a parameter or buffer of one axis."""
    asked: Any = node.args[1:] if node.target is not operator.getitem else node.args[1]
    is_nested = isinstance(asked, (tuple, list)) and len(asked) == 1 and isinstance(asked[0], (tuple, list))
    asked = asked[0] if is_nested else asked
    is_free = [part == -1 or part == slice(None) for part in asked] if isinstance(asked, (tuple, list)) else []
    if not value.is_line or is_free.count(True) != 1 or not all(part in (1, -1, None, slice(None)) for part in asked):
        raise used_directly(node, value)
    return dataclasses.replace(value, shape=shape_of(node))


def _normalize(state: Reading, node: fx.Node, value: Value) -> Value:
    """Read a division by a length, along an axis."""
    axes = axes_of(argument(node, 2, "dim", 1), len(shape_read(node)))
    if value.labels is not None and (value.axis in axes or not axes):
        raise ObstacleError(node, "operation 'normalize' at {place} runs over channels", stays=True)
    return value


def _expand(state: Reading, node: fx.Node, given: Sequence[Read]) -> Read:
    """Read a parameter or buffer that is repeated for all images or positions, or what is repeated over positions."""
    value = given[0]
    if isinstance(value, Direct):
        if len(shape_of(node)) != len(value.shape) or shape_of(node)[1:] != value.shape[1:]:
            raise unknown(node, given)
        return value
    if not isinstance(value, Value):
        raise unknown(node, given)
    sizes = node.args[1:]
    if value.labels is not None and (len(sizes) != len(shape_read(node)) or sizes[value.axis] != -1):
        raise unknown(node)
    return value


def _like(state: Reading, node: fx.Node, given: Sequence[Read]) -> Read:
    """Read `view_as` a tensor of the same shape, whose channels are tied to those of what is read."""
    if shape_read(node) != shape_of(node):
        raise ObstacleError(node, unknown(node).text + "; write the sizes, -1 for the channels")
    return join(state, node, given)


SEVERAL_READERS: dict[Any, Callable[[Reading, fx.Node, Sequence[Read]], Read]] = {
    **dict.fromkeys(CONCATENATIONS, concatenate),
    F.layer_norm: layer_norm,
    "expand": _expand,
    **dict.fromkeys(("view_as", "reshape_as"), _like),
    torch.stack: stack,
    **dict.fromkeys(PRODUCTS, products),
}
FUNCTION_READERS: dict[Any, Callable[[Reading, fx.Node, Value], Read]] = {
    **dict.fromkeys(POOL_FUNCTIONS, pool_function),
    F.normalize: _normalize,
    operator.getitem: index,
    F.pad: pad,
    F.interpolate: resize,
    **dict.fromkeys(("flatten", torch.flatten), flatten),
    **dict.fromkeys(("unflatten", torch.unflatten), unflatten),
    **dict.fromkeys(("squeeze", torch.squeeze), squeeze),
    **dict.fromkeys(("unsqueeze", torch.unsqueeze), unsqueeze),
    **dict.fromkeys(("permute", torch.permute), permute),
    **dict.fromkeys(("transpose", torch.transpose, "swapaxes", torch.swapaxes), transpose),
    **dict.fromkeys(("chunk", torch.chunk), chunk),
    **dict.fromkeys(("split", torch.split, "tensor_split", torch.tensor_split), split),
    **dict.fromkeys(("unbind", torch.unbind), unbind),
    **dict.fromkeys(SOFTMAXES, softmax_function),
    **dict.fromkeys(("sum", torch.sum, "amax", torch.amax, "amin", torch.amin, "std", torch.std), total),
    **dict.fromkeys(EXTREMES, extreme),
    **dict.fromkeys((F.pixel_shuffle, torch.pixel_shuffle), pixel_shuffle),
    **dict.fromkeys((F.pixel_unshuffle, torch.pixel_unshuffle), pixel_unshuffle),
    **dict.fromkeys((F.channel_shuffle, torch.channel_shuffle), channel_shuffle),
    F.glu: glu,
    **dict.fromkeys(("flip", torch.flip), flip),
}
