"""Proof that a pruned network is the planned one: traced again, counted, and compared with the masked original."""

import copy
import logging
import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from sacp.errors import INTERRUPTS, InputError
from sacp.network.cost import Cost, cost_of_graph, costs_of_counts
from sacp.network.graph import CONV, LINEAR, Graph, Kept, Node
from sacp.network.surgery import prune
from sacp.network.tracing import Shape, Traced, images_like, retraced, traced

log = logging.getLogger(__name__)
PRECISIONS = ("auto", "float64")
SMALL_MACS = 50_000_000  # multiply-accumulates of a network that is always compared in float64
LARGE_SIDE, SMALLER = 128, 5  # an image of at least so many pixels a side is compared so many times smaller
TOLERANCES = {torch.float32: 1e-4, torch.float64: 1e-9}  # as shares of the largest value that a layer gives


def check(original: Traced, kept: Kept, smaller: nn.Module, input_shape: Shape, precision: str = "auto") -> None:
    """Raise `InputError` unless `smaller` is the original with the kept channels alone.

    It is traced again, must run in training too, and must have the widths and costs that follow from the graph. On a
    random image, layer by layer, it must give what the original gives whose layers read nothing of other channels.

    Args:
        original: the unpruned network, as `tracing.traced` has read it.
        kept: per group, the channel numbers that are kept.
        smaller: the pruned network; neither is changed.
        input_shape: of one input with its batch axis, [1, C, H, W].
        precision: of the comparison. `auto` is float64 for small networks; float32 for others, and float64 where that
            finds a difference. `float64` takes a copy of both networks, whatever their size.

    Raises:
        InputError: something differs; the layer is named.
    """
    found = retraced(smaller, original, input_shape)
    _check_plan(original, kept, found)
    if any(parameter.is_meta for parameter in smaller.parameters()):
        return  # no values to compare
    image = _image(original, input_shape)
    is_large = precision == "auto" and cost_of_graph(original.graph).flops > SMALL_MACS
    difference = _difference(original, kept, found, image.float() if is_large else image)
    if difference and is_large:  # or is it rounding?
        difference = _difference(original, kept, found, image)
    if difference:
        raise InputError(f"network: {difference}; it does to its channels what is not understood and cannot be pruned")


def rehearse(network: nn.Module, input_shape: Shape) -> Graph:
    """Prune every second channel of a network, prove the result, and return the network's graph.

    Raises:
        InputError: the network is not understood, or what is pruned is not what was planned.
    """
    original = traced(network, input_shape)
    kept = [np.arange(0, channels, 2) for channels in original.graph.channels]
    check(original, kept, prune(network, original.graph, kept), input_shape)
    return original.graph


def _check_plan(original: Traced, kept: Kept, found: Traced) -> None:
    """Compare the graph of a pruned network, and all its parameters, with what the original's graph says of them."""
    counts = [len(channels) for channels in kept]
    names = [[node.name for node in traced.graph.nodes] for traced in (original, found)]
    if names[0] != names[1]:
        other = next(iter(set(names[0]) ^ set(names[1])), names[1][0])
        raise InputError(f"network: pruned, it has other layers than before, among them '{other}'")
    for planned, node in zip(original.graph.nodes, found.graph.nodes, strict=True):
        widths = [
            channels if group is None else counts[group]
            for channels, group in ((planned.in_channels, planned.in_group), (planned.channels, planned.group))
        ]
        if widths != [node.in_channels, node.channels]:
            has, expected = f"{node.in_channels} -> {node.channels}", " -> ".join(map(str, widths))
            raise InputError(f"network: layer '{node.name}' has {has} channels when pruned, expected {expected}")
    flops, parameters = costs_of_counts(original.graph, np.array([counts], np.int64))
    planned_cost, cost = Cost(int(flops[0]), int(parameters[0])), cost_of_graph(found.graph)
    if cost != planned_cost:
        raise InputError(f"network: pruned, it costs {cost}, expected {planned_cost}")
    outside = [_size(each.network) - cost_of_graph(each.graph).parameters for each in (original, found)]
    if outside[0] != outside[1]:
        raise InputError(f"network: pruned, it has {outside[1]} parameters outside its layers, expected {outside[0]}")


def _size(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def _image(original: Traced, shape: Shape) -> Tensor:
    """A random image in float64, [1, C, H, W]; where that is large, a smaller one if the network takes it."""
    generator = torch.Generator().manual_seed(0)
    if min(shape[2:]) >= LARGE_SIDE:
        sides = [math.ceil(side / SMALLER) for side in shape[2:]]
        try:
            with torch.no_grad():
                original.network(images_like(original.network, (0, shape[1], *sides)))
            return torch.randn(1, shape[1], *sides, generator=generator, dtype=torch.float64)
        except INTERRUPTS:
            raise
        except BaseException:  # the user's code: anything can be raised there
            log.debug("compared at full size")
    return torch.randn(1, *shape[1:], generator=generator, dtype=torch.float64)


@torch.no_grad()
def _difference(original: Traced, kept: Kept, found: Traced, image: Tensor) -> str | None:
    """The first layer of the pruned network that does not give what the masked original gives, and by how much."""
    masked = _Masked(_in(image.dtype, original.network), original, kept)
    expected = masked.run(image)
    compared = _Compared(_in(image.dtype, found.network), found, masked.given, TOLERANCES[image.dtype])
    try:
        result = compared.run(image)
    except _DiffersError as difference:
        return str(difference)
    return _compare("the output", result, expected, TOLERANCES[image.dtype])


def _in(dtype: torch.dtype, network: nn.Module) -> nn.Module:
    """The network in this precision: a copy if it has another."""
    floating = [each for each in (*network.parameters(), *network.buffers()) if each.is_floating_point()]
    return network if all(each.dtype == dtype for each in floating) else copy.deepcopy(network).to(dtype)


class _DiffersError(Exception):
    """A layer of the pruned network gives something else."""


class _Masked(fx.Interpreter):
    """Runs a network whose layers read nothing of the removed channels; notes what they give of the kept ones."""

    def __init__(self, network: nn.Module, original: Traced, kept: Kept) -> None:
        super().__init__(network, graph=original.operations)
        self.nodes, self.given = _layers(original), dict[str, Tensor]()
        self.kept = [torch.as_tensor(channels) for channels in kept]

    def call_module(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run a layer on the kept channels of its input [B, C, H, W] or [B, C * positions]."""
        node = self.nodes.get(str(target))
        if node is None:
            return super().call_module(target, args, kwargs)
        if node.mixes and node.in_group is not None:
            args = (_without_others(args[0], node, self.kept[node.in_group]), *args[1:])
        result = super().call_module(target, args, kwargs)
        self.given[node.name] = result if node.group is None else result[:, self.kept[node.group]]
        return result


def _without_others(x: Tensor, node: Node, kept: Tensor) -> Tensor:
    """What a layer reads, [B, C, H, W] or [B, C * positions], with zeros in all but the kept channels."""
    removed = torch.ones(node.in_channels, dtype=torch.bool)
    removed[kept] = False
    return x.masked_fill(removed.repeat_interleave(node.positions).view(1, -1, *[1] * (x.dim() - 2)), 0)


class _Compared(fx.Interpreter):
    """Runs a network and compares what its layers give with what was given before."""

    def __init__(self, network: nn.Module, found: Traced, given: dict[str, Tensor], tolerance: float) -> None:
        super().__init__(network, graph=found.operations)
        self.extra_traceback = False
        self.nodes, self.given, self.tolerance = _layers(found), given, tolerance

    def call_module(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run a layer and compare."""
        result = super().call_module(target, args, kwargs)
        if str(target) in self.nodes:
            difference = _compare(f"layer '{target}'", result, self.given[str(target)], self.tolerance)
            if difference:
                raise _DiffersError(difference)
        return result


def _layers(network: Traced) -> dict[str, Node]:
    return {node.name: node for node in network.graph.nodes if node.kind in (CONV, LINEAR)}


def _compare(what: str, found: Any, expected: Any, tolerance: float) -> str | None:
    """What is wrong with a result, if anything: values of one tensor, or of those that a structure holds."""
    for ours, theirs in zip(_tensors(found), _tensors(expected), strict=True):
        if ours.shape != theirs.shape:
            return f"{what} has the shape {list(ours.shape)} when pruned, expected {list(theirs.shape)}"
        if not theirs.numel():
            continue
        largest, error = theirs.abs().max().item(), (ours - theirs).abs().max().item()
        if not math.isfinite(largest):
            return f"{what} gives NaN or infinite values"
        if not error <= tolerance * largest:
            return f"{what} differs from the masked original by {error / (largest or 1):.1e} of its largest value"
    return None


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    return [tensor for part in value for tensor in _tensors(part)] if isinstance(value, (tuple, list)) else []
