"""Pruned networks against masked ones, for any network that can be pruned at all.

Which channels a layer has lost is not asked of the graph: a copy of the network whose weights are their own places is
pruned, and what is left in it says so. In the masked network, all layers then give zeros for the channels that they
would have lost, and read zeros where they would read nothing.
"""

import copy
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from sacp.network.graph import Graph, Kept
from sacp.network.surgery import prune
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd
from torch.utils._pytree import tree_leaves

# Difference of two images' outputs, relative to them, below which rounding is too near.
NEXT_TO_NOTHING = 1e-4
LEAST_SIGNALS = {torch.float64: 1e-6, torch.float32: 1e-3}


@dataclass(frozen=True)
class _Left:
    """What a layer has kept: output and input channels."""

    outputs: Tensor
    inputs: Tensor


def difference(network: nn.Module, graph: Graph, kept: Kept, images: Tensor) -> float | None:
    """Largest difference of the pruned and the masked network's outputs, relative to that of two images' outputs.

    Batch norms are fitted to the masked network first: with the statistics of another one, the images would hardly
    reach the output of a deep network, and wrong channels would not either.

    Args:
        network: in evaluation mode; it is left as it is.
        graph: its graph.
        kept: of each group, what is not pruned.
        images: two, [2, C, H, W].

    Returns:
        None where the images hardly reach the output.
    """
    fitted = copy.deepcopy(network)
    with torch.no_grad():
        _enliven(fitted)
        with _masked(fitted, _left(network, graph, kept)):
            _fit_norms(fitted, images)
            masked = _outputs(fitted, images)
        pruned = _outputs(prune(fitted, graph, kept), images)
    if [each.shape for each in pruned] != [each.shape for each in masked]:
        raise ValueError(f"outputs {[list(each.shape) for each in pruned]} of the pruned network")
    size = max(_largest(each) for each in masked)
    signal = max(_largest(each[0] - each[1]) for each in masked)
    distance = np.max([_largest(ours - each) for ours, each in zip(pruned, masked, strict=True)])  # NaN if one is
    return float(distance) / signal if signal > LEAST_SIGNALS[images.dtype] * size else None


def _enliven(network: nn.Module) -> None:
    """Give values to parameters that begin as zeros, or as next to nothing, and would hide what is behind them."""
    generator = torch.Generator().manual_seed(8)
    for module in network.modules():
        for parameter in module.parameters(recurse=False):
            if parameter.abs().max() < NEXT_TO_NOTHING and not isinstance(module, _NormBase | nn.GroupNorm):
                parameter.uniform_(-1, 1, generator=generator).div_(math.sqrt(parameter.shape[-1]))


def _largest(values: Tensor) -> float:
    return float(values.abs().max())


def _fit_norms(network: nn.Module, images: Tensor) -> None:
    """Give batch norms the statistics of what reaches them, and affine parameters that let most of it pass a ReLU."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    generator = torch.Generator().manual_seed(7)
    for norm in norms:
        norm.train().momentum = 1.0
        if norm.affine:
            norm.weight.uniform_(0.5, 1.5, generator=generator)
            norm.bias.uniform_(0, 1, generator=generator)
    network(images)
    for norm in norms:
        norm.eval()


def _outputs(network: nn.Module, images: Tensor) -> list[Tensor]:
    """The tensors that a network gives, in whatever it puts them."""
    return [leaf for leaf in tree_leaves(network(images)) if isinstance(leaf, Tensor)]


def _weighted(network: nn.Module) -> dict[str, Tensor]:
    """Weights by their module's name."""
    weights = {name: getattr(module, "weight", None) for name, module in network.named_modules()}
    return {name: weight.detach() for name, weight in weights.items() if isinstance(weight, Tensor)}


def _places(weight: Tensor) -> Tensor:
    """A weight's own places in its first two axes: row * columns + column, in double precision, where all are exact."""
    rows, columns = weight.shape[0], weight.shape[1] if weight.dim() > 1 else 1
    places = torch.arange(rows * columns, dtype=torch.float64)
    return places.view(*weight.shape[:2], *[1] * (weight.dim() - 2)).expand_as(weight)


def _left(network: nn.Module, graph: Graph, kept: Kept) -> dict[str, _Left]:
    """What each layer that has lost anything has kept."""
    coded = copy.deepcopy(network)
    for name, weight in _weighted(network).items():
        coded.get_submodule(name).weight = nn.Parameter(_places(weight))
    pruned = _weighted(prune(coded, graph, kept))
    return {
        name: _decoded(
            weight,
            pruned[name],
            getattr(network.get_submodule(name), "groups", 1),
            getattr(network.get_submodule(name), "transposed", False),
        )
        for name, weight in _weighted(network).items()
        if weight.shape != pruned[name].shape
    }


def _decoded(weight: Tensor, pruned: Tensor, groups: int, is_transposed: bool) -> _Left:
    """Read rows and columns; a column of a convolution in groups counts from its row's group on."""
    columns = weight.shape[1] if weight.dim() > 1 else 1
    places = pruned.flatten(2)[..., 0] if pruned.dim() > 2 else pruned.view(len(pruned), -1)
    rows = places[:, 0].long() // columns
    if is_transposed:
        return _Left(torch.unique(places.long() % columns), rows)
    first = rows // (weight.shape[0] // groups) * columns
    return _Left(rows, torch.unique(first[:, None] + places.long() % columns))


@contextmanager
def _masked(network: nn.Module, left: Mapping[str, _Left]) -> Iterator[None]:
    """Mask a network while the block runs."""
    handles = []
    for name, each in left.items():
        module = network.get_submodule(name)
        handles.append(module.register_forward_hook(partial(_zero_outputs, channels=each.outputs)))
        if isinstance(module, _ConvNd | nn.Linear):
            handles.append(module.register_forward_pre_hook(partial(_zero_inputs, channels=each.inputs)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _zero_outputs(module: nn.Module, inputs: Any, output: Tensor, channels: Tensor) -> Tensor:
    return _zeroed(module, output, channels)


def _zero_inputs(module: nn.Module, inputs: tuple[Tensor, ...], channels: Tensor) -> Tensor:
    return _zeroed(module, inputs[0], channels)


def _zeroed(module: nn.Module, values: Tensor, channels: Tensor) -> Tensor:
    """All but these channels of `values` set to zero."""
    axis = 1 if isinstance(module, _ConvNd | _NormBase | nn.GroupNorm) else -1
    rest = torch.ones(values.shape[axis], dtype=torch.bool)
    rest[channels] = False
    return values.index_fill(axis, rest.nonzero().flatten(), 0)
