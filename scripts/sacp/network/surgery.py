"""Network and kept channels -> a smaller network with inherited weights."""

import copy
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.parameter import is_lazy
from torch.nn.utils.parametrize import is_parametrized

from sacp.errors import INTERRUPTS, InputError, one_line, told
from sacp.network.fitting import difference
from sacp.network.graph import PLAIN, Graph, Kept, Node, Scales, groups_of, kept_elements, places

PART = 1 << 18  # elements of a weight that are cut at once: 1 MiB in float32
PER_CHANNEL = ("weight", "bias", "running_mean", "running_var")  # tensors of a layer whose first axis is its channels
# Hooks that compute a layer's weight anew in each forward, by the module of their kind, and what makes it ordinary.
REMOVERS = {
    f"torch.nn.utils.{module}": f"torch.nn.utils.{remover}(layer, '{{tensor}}')"
    for module, remover in (
        ("prune", "prune.remove"), ("weight_norm", "remove_weight_norm"), ("spectral_norm", "remove_spectral_norm"),
    )
}  # fmt: skip


def prune(network: nn.Module, graph: Graph, kept: Kept, scales: Scales | None = None) -> nn.Module:
    """Return a copy of `network` that has only the kept channels, weights and statistics inherited.

    Args:
        network: the network that `graph` was traced from; it is left untouched.
        graph: its graph.
        kept: per group, the channel numbers to keep.
        scales: per group, factors of the kept channels, which go into the weights of all layers that mix them.
    """
    own = network.state_dict(keep_vars=True)
    names = {id(value): name for name, value in reversed(own.items())}  # a layer may be registered under two names
    before = {name: own[name].detach() if isinstance(own[name], Tensor) else own[name] for name in names.values()}
    state = dict(before)
    for node in graph.nodes:
        if node.kind not in PLAIN:
            axes = weight_axes(network.get_submodule(node.name))
            _slice_node(state, node, kept, *axes)
            if scales is not None and node.mixes:
                _scale_inputs(state, node, kept, scales, axes[1])
    for direct in graph.direct:
        if (elements := kept_elements(direct.values, kept)) is not None:
            state[direct.name] = _taken(state[direct.name], direct.axis, elements)
    for name, value in before.items():
        if state[name] is value:
            state[name] = value.clone() if isinstance(value, Tensor) else copy.deepcopy(value)
    return resized(network, {name: state[names[id(value)]] for name, value in own.items()})


def weight_axes(layer: nn.Module) -> tuple[int, int]:
    """The axes of a layer's weight that hold its output and input channels."""
    return (1, 0) if isinstance(layer, _ConvTransposeNd) else (0, 1)


def _slice_node(state: dict[str, Tensor], node: Node, kept: Kept, out_axis: int, in_axis: int) -> None:
    outputs, inputs = kept_elements(node.outputs, kept), _weight_inputs(node, kept)
    for own in PER_CHANNEL:
        if (name := f"{node.name}.{own}") in state:
            cuts = {out_axis: outputs, in_axis: inputs} if own == "weight" else {0: outputs}
            state[name] = _cut(state[name], {axis: left for axis, left in cuts.items() if left is not None})


def _cut(tensor: Tensor, cuts: Mapping[int, NDArray[np.int64]]) -> Tensor:
    """What is left of a tensor by the elements that are left along some of its first two axes."""
    if len(cuts) == 2:
        return _taken_of_both(tensor, cuts[0], cuts[1])
    for axis, elements in cuts.items():
        tensor = _taken(tensor, axis, elements)
    return tensor


def _weight_inputs(node: Node, kept: Kept) -> NDArray[np.int64] | None:
    """Input channels that a layer's weight keeps; of channels in step, those of the first group of a convolution."""
    elements = kept_elements(node.inputs, kept) if node.mixes else None
    return None if elements is None else elements[elements < node.in_channels // node.divisor]


def _taken(tensor: Tensor, axis: int, elements: NDArray[np.int64]) -> Tensor:
    return tensor.index_select(axis, torch.as_tensor(elements, device=tensor.device)).contiguous()


def _taken_of_both(weight: Tensor, first: NDArray[np.int64], second: NDArray[np.int64]) -> Tensor:
    """What is left of the first two axes; by parts of the first, as a copy that is cut once is large and slow."""
    rows, columns = (torch.as_tensor(elements, device=weight.device) for elements in (first, second))
    taken = weight.new_empty((len(rows), len(columns), *weight.shape[2:]))
    parts = max(1, min(len(rows), taken.numel() // PART))
    for part, own in zip(taken.tensor_split(parts), rows.tensor_split(parts), strict=True):
        torch.index_select(weight.index_select(0, own), 1, columns, out=part)
    return taken


def _scale_inputs(state: dict[str, Tensor], node: Node, kept: Kept, scales: Scales, axis: int) -> None:
    """Multiply what is left of a layer's weight by the factors of the channels that it reads."""
    factors = np.ones(node.in_channels)
    for group in groups_of(node.inputs):
        elements, numbers = places(node.inputs, group)
        of_channels = np.zeros(numbers.max() + 1)
        is_known = kept[group] <= numbers.max()
        of_channels[kept[group][is_known]] = scales[group][is_known]
        factors[elements] = of_channels[numbers]
    left = _weight_inputs(node, kept)
    if left is None:
        return
    weight = state[f"{node.name}.weight"]
    shape = [1] * weight.dim()
    shape[axis] = len(left)
    state[f"{node.name}.weight"] = weight * torch.as_tensor(factors[left]).to(weight).view(shape)


def goes_by_groups(conv: nn.Module) -> bool:
    """Whether whole groups of a convolution are pruned, as of a depthwise one, not channels of all groups in step.

    What leaves more to choose from is done. Nothing is chosen by what was pruned before: a weight's sizes tell.
    """
    groups, inputs, outputs = (int(getattr(conv, name)) for name in ("groups", "in_channels", "out_channels"))
    return groups > 1 and groups > min(inputs, outputs) // groups


def resized(network: nn.Module, state: Mapping[str, Any]) -> nn.Module:
    """Return a copy of `network` whose layers have the sizes of the tensors in `state`, and those tensors as weights.

    All else about the layers stays: their kinds, options, modes and hooks, and which parameters are frozen.

    Raises:
        InputError: `state` does not belong to this network.
    """
    result = copied(network)
    for name, module in result.named_modules():
        _resize(module, f"{name}." if name else "", state)
    weights = OrderedDict(state)
    # Versions of the layers' formats: without them some layers take their own weights for those of an older version.
    weights._metadata = getattr(network.state_dict(keep_vars=True), "_metadata", None)  # type: ignore[attr-defined]
    try:
        result.load_state_dict(weights, assign=True)
    except RuntimeError as error:
        found = difference(result.state_dict(keep_vars=True), weights) or one_line(error)
        raise InputError(f"weights do not fit the network: {found}") from None
    return result


def copied(network: nn.Module) -> nn.Module:
    """Return a copy of a network that shares its parameters; modules, buffers and hooks are its own.

    Raises:
        InputError: something in the network cannot be copied.
    """
    known: dict[int, Any] = {id(parameter): parameter for parameter in network.parameters()}
    # Most of a layer's dicts are empty, as those of its hooks; what `deepcopy` would make of them, at half the time.
    for held in (value for module in network.modules() for value in vars(module).values()):
        if type(held) in (dict, OrderedDict, set) and not held:
            known[id(held)] = type(held)()
    try:
        return copy.deepcopy(network, known)
    except INTERRUPTS:
        raise
    except BaseException as error:  # copying can be the user's code: anything can be raised there
        raise InputError(f"network: {type(network).__name__} cannot be copied ({told(error)})") from error


def _resize(layer: nn.Module, prefix: str, state: Mapping[str, Any]) -> None:
    """Empty a layer and give it the sizes of its tensors in `state`; what does not fit its kind keeps its size."""
    shapes = {
        name: tuple(state[prefix + name].shape)
        for name, tensor in tensors_of(layer)
        if isinstance(state.get(prefix + name), Tensor) and state[prefix + name].dim() == tensor.dim()
    }
    if isinstance(layer, _ConvNd):
        shapes = _resize_conv(layer, shapes)
    elif isinstance(layer, nn.GroupNorm):
        size = layer.num_channels // layer.num_groups  # channels of a group
        layer.num_channels = shapes.get("weight", (layer.num_channels,))[0]
        layer.num_groups = layer.num_channels // size
        shapes |= {name: (layer.num_channels,) for name in shapes}
    elif isinstance(layer, _NormBase):
        layer.num_features = next((shapes[name][0] for name in PER_CHANNEL if name in shapes), layer.num_features)
        shapes |= {name: (layer.num_features,) for name in PER_CHANNEL if name in shapes}
    elif isinstance(layer, nn.PReLU):
        layer.num_parameters = shapes.get("weight", (layer.num_parameters,))[0]
    elif isinstance(layer, nn.Linear):
        layer.out_features, layer.in_features = shapes.get("weight", (layer.out_features, layer.in_features))
        shapes |= {"bias": (layer.out_features,)}
    for name, shape in shapes.items():
        tensor = getattr(layer, name)
        if tensor is not None and tuple(tensor.shape) != shape:
            empty = torch.empty(shape, dtype=tensor.dtype, device="meta")
            is_parameter = isinstance(tensor, nn.Parameter)
            setattr(layer, name, nn.Parameter(empty, tensor.requires_grad) if is_parameter else empty)


def _resize_conv(conv: _ConvNd, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """Shapes of a convolution's tensors, of which its numbers of channels are set; none if the kernel is another's."""
    shape = shapes.get("weight", ())
    if shape[2:] != tuple(conv.weight.shape[2:]):
        return {}
    inputs, outputs = conv.in_channels // conv.groups, conv.out_channels // conv.groups  # of each group
    if conv.transposed:  # of one group
        conv.in_channels, conv.out_channels = shape[:2]
        return {**shapes, "bias": (conv.out_channels,)}
    if goes_by_groups(conv):
        if shape[1] != inputs or shape[0] % outputs:
            return {}  # not cut by groups: where it was cut before, its number of groups cannot be told
        conv.groups = shape[0] // outputs
    elif shape[0] % conv.groups:
        return {}
    conv.out_channels, conv.in_channels = shape[0], shape[1] * conv.groups
    return {**shapes, "bias": (conv.out_channels,)}


def check_layers(network: nn.Module) -> None:
    """Raise `InputError` for what cannot be traced or cut as it stands, with what can be done about it."""
    check_unwrapped(network)
    found = [text for path, module in network.named_modules() for text in _ways_out(path, module)]
    found += [
        f"'{first}' and '{path}' are one tensor; give each layer one of its own" for first, path in _shared(network)
    ]
    if found:
        raise InputError(f"network: {'; '.join(found)}")


def check_unwrapped(network: nn.Module) -> None:
    """Raise `InputError` for what holds the network that is meant."""
    is_parallel = isinstance(network, nn.DataParallel | nn.parallel.DistributedDataParallel)
    wrapped = "module" if is_parallel else "_orig_mod"  # the latter in what torch.compile returns
    if wrapped in network._modules and (is_parallel or len(network._modules) == 1):
        raise InputError(f"network: found it wrapped in {type(network).__name__}; pass its attribute '{wrapped}'")


def check_values(who: str, network: nn.Module) -> None:
    """Raise `InputError` for a tensor of the network, called so, that has a shape and no values."""
    for name, tensor in (*network.named_parameters(), *network.named_buffers()):
        if tensor.is_meta:
            raise InputError(f"{who}: '{name}' has no values (it is on the device 'meta')")


def _shared(network: nn.Module) -> Iterable[tuple[str, str]]:
    """Tensors of two modules that lie in one place of the memory."""
    known: dict[object, str] = {}
    for path, module in network.named_modules():
        for own, tensor in tensors_of(module):
            if is_lazy(tensor):
                continue
            name = f"{path}.{own}".removeprefix(".")
            first = known.setdefault(id(tensor) if tensor.is_meta or not tensor.numel() else tensor.data_ptr(), name)
            if first != name:
                yield first, name


def tensors_of(layer: nn.Module) -> Iterable[tuple[str, Tensor]]:
    """A module's own parameters and buffers by their names in it."""
    yield from layer.named_parameters(recurse=False, remove_duplicate=False)
    yield from layer.named_buffers(recurse=False, remove_duplicate=False)


def _ways_out(path: str, module: nn.Module) -> list[str]:
    """What there is in a layer that cannot be cut as it stands, and what to do about it."""
    layer, found, computed = f"layer '{path}'" if path else "the network", [], []
    if is_parametrized(module):
        for tensor, kinds in module.parametrizations.items():  # type: ignore[union-attr, operator]
            remover = "torch.nn.utils.parametrize.remove_parametrizations(layer, '{tensor}')"
            computed.append((tensor, type(kinds[0]).__name__, remover))
    for hook in module._forward_pre_hooks.values():
        remover = REMOVERS.get(type(hook).__module__, "")
        tensor = getattr(hook, "_tensor_name", getattr(hook, "name", ""))
        computed += [(tensor, type(hook).__name__, remover)] if remover else []
    for tensor, kind, remover in computed:
        what = f"{layer} computes its '{tensor}' anew in each forward ({kind})"
        found.append(f"{what}; make it an ordinary parameter first: {remover.format(tensor=tensor)}")
    if "forward" in vars(module):
        found.append(f"{layer} was given a forward of its own, which a copy would not have; define it in the class")
    for own, parameter in module.named_parameters(recurse=False):
        if is_lazy(parameter):
            found.append(f"{layer} has a '{own}' without a size yet; run the network once")
        elif parameter._backward_hooks:
            found.append(f"{layer} has a hook on the gradient of its '{own}', which would be lost; remove it")
    return found


def widths(graph: Graph, kept: Kept) -> dict[str, int]:
    """Kept output channels of every prunable layer, by layer name."""
    layers = {layer for group in graph.groups for layer in group.layers}
    left = {node.name: kept_elements(node.outputs, kept) for node in graph.nodes if node.name in layers}
    return {name: len(elements) for name, elements in left.items() if elements is not None}
