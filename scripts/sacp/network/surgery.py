"""Network and kept channels -> a smaller network with inherited weights."""

import copy
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sacp.errors import InputError, one_line
from sacp.network.graph import LINEAR, POOL, Graph, Kept, Node, Scales


def prune(network: nn.Module, graph: Graph, kept: Kept, scales: Scales | None = None) -> nn.Module:
    """Return a copy of `network` that has only the kept channels, weights and statistics inherited.

    Args:
        network: the network that `graph` was traced from; it is left untouched.
        graph: its graph.
        kept: per group, the channel numbers to keep.
        scales: per group, factors of the kept channels, which go into the weights of all layers that mix them.
    """
    state = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
    for node in graph.nodes:
        if node.kind != POOL:
            _slice_node(state, node, kept)
            if scales is not None and node.in_group is not None and node.mixes:
                _scale_inputs(state, node, scales[node.in_group])
    return resized(network, state)


def _slice_node(state: dict[str, Tensor], node: Node, kept: Kept) -> None:
    outputs = None if node.group is None else torch.as_tensor(kept[node.group])
    inputs = None if node.in_group is None else torch.as_tensor(kept[node.in_group])
    prefix = f"{node.name}."
    for name in [name for name in state if name.startswith(prefix)]:
        tensor = state[name]
        if outputs is not None and tensor.dim() > 0 and node.kind != LINEAR:
            tensor = tensor[outputs.to(tensor.device)]
        if inputs is not None and node.mixes and name == f"{prefix}weight":
            columns = inputs[:, None] * node.positions + torch.arange(node.positions)
            tensor = tensor[:, columns.flatten().to(tensor.device)]
        state[name] = tensor.contiguous()


def _scale_inputs(state: dict[str, Tensor], node: Node, factors: NDArray[np.float64]) -> None:
    """Multiply the weights [C_out, C_in * positions, ...] of a layer by its input channels' factors [C_in]."""
    weight = state[f"{node.name}.weight"]
    columns = torch.as_tensor(factors).repeat_interleave(node.positions).to(weight)
    state[f"{node.name}.weight"] = weight * columns.view(1, -1, *[1] * (weight.dim() - 2))


def resized(network: nn.Module, state: Mapping[str, Tensor]) -> nn.Module:
    """Return a copy of `network` whose layers have the sizes of the tensors in `state`, and those tensors as weights.

    Raises:
        InputError: `state` does not belong to this network.
    """
    result = copy.deepcopy(network)
    for name, module in network.named_modules():
        weight = getattr(module, "weight", None)
        if isinstance(weight, Tensor) and f"{name}.weight" in state and weight.dim() == state[f"{name}.weight"].dim():
            replacement = _resized_layer(module, state[f"{name}.weight"].shape)
            if replacement is not None:
                result.set_submodule(name, replacement.train(module.training))
    try:
        result.load_state_dict(dict(state), assign=True)
    except RuntimeError as error:
        raise InputError(f"weights do not fit the network: {one_line(error)}") from None
    for name, parameter in network.named_parameters():
        result.get_parameter(name).requires_grad_(parameter.requires_grad)
    return result


def _resized_layer(layer: nn.Module, shape: torch.Size) -> nn.Module | None:
    """An empty layer of the same kind for a weight of `shape`; None for kinds whose size never changes."""
    if isinstance(layer, nn.Conv2d):
        groups = shape[0] if layer.groups > 1 else 1
        return nn.Conv2d(
            shape[1] * groups, shape[0], layer.kernel_size, layer.stride, layer.padding, layer.dilation, groups,  # type: ignore[arg-type]
            layer.bias is not None, layer.padding_mode, device="meta",
        )  # fmt: skip
    if isinstance(layer, nn.BatchNorm2d):
        return nn.BatchNorm2d(
            shape[0], layer.eps, layer.momentum, layer.affine, layer.track_running_stats, device="meta"
        )
    if isinstance(layer, nn.Linear):
        return nn.Linear(shape[1], shape[0], layer.bias is not None, device="meta")
    return None


def widths(graph: Graph, kept: Kept) -> dict[str, int]:
    """Kept output channels of every prunable layer, by layer name."""
    counts = {
        layer: len(channels) for group, channels in zip(graph.groups, kept, strict=True) for layer in group.layers
    }
    return {node.name: counts[node.name] for node in graph.nodes if node.name in counts}
