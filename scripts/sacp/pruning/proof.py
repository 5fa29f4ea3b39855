"""Proof that a pruned network is the planned one: traced again, counted, and compared with the masked original."""

import copy
import logging
import math
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from itertools import count
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from sacp.errors import INTERRUPTS, InputError, told
from sacp.network.constraints import NONE, Constraints
from sacp.network.cost import Cost, cost_of_graph, costs_of_counts
from sacp.network.graph import CONV, LINEAR, Axis, Graph, Kept, Node, kept_elements
from sacp.network.surgery import prune
from sacp.tracing.running import images_like
from sacp.tracing.trace import Shape, Traced, retraced, traced

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
        input_shape: of one input with its batch axis, [1, C, H, W] or [1, ...].
        precision: of the comparison. `auto` is float64 for small networks; float32 for others, and float64 where that
            finds a difference. `float64` takes a copy of both networks, whatever their size.

    Raises:
        InputError: something differs; the layer is named.
    """
    small = _small(original, input_shape)  # before `retraced`, which notes other shapes
    found = retraced(smaller, original, input_shape)
    _check_plan(original, kept, found)
    if any(parameter.is_meta for parameter in smaller.parameters()):
        return  # no values to compare
    is_large = precision == "auto" and cost_of_graph(original.graph).flops > SMALL_MACS
    with torch.random.fork_rng(devices=[]):  # a forward may draw
        if is_large and _is_quickly_alike(original, kept, found, small):
            return
        image = _image(original, small, input_shape)
        difference = _difference(original, kept, found, image.float() if is_large else image)
        if difference and is_large:  # or is it rounding?
            difference = _difference(original, kept, found, image)
        if difference:
            why = _unsteady(original, image) or "it does to its channels what is not understood and cannot be pruned"
            raise InputError(f"network: {difference}; {why}")


def rehearse(network: nn.Module, input_shape: Shape, constraints: Constraints = NONE) -> Graph:
    """Prune every second channel of a network, prove the result, and return the network's graph.

    Raises:
        InputError: the network is not understood, or what is pruned is not what was planned.
    """
    original = traced(network, input_shape, constraints)
    kept = [np.arange(0, channels, 2) for channels in original.graph.channels]
    check(original, kept, prune(network, original.graph, kept), input_shape)
    return original.graph


def _check_plan(original: Traced, kept: Kept, found: Traced) -> None:
    """Compare the graph of a pruned network, and all its parameters, with what the original's graph says of them."""
    counts = [len(channels) for channels in kept]

    def width(axis: Axis, channels: int) -> int:
        elements = kept_elements(axis, kept)
        return channels if elements is None else len(elements)

    names = [[node.name for node in traced.graph.nodes] for traced in (original, found)]
    if names[0] != names[1]:
        other = next(iter(set(names[0]) ^ set(names[1])), names[1][0])
        raise InputError(f"network: pruned, it has other layers than before, among them '{other}'")
    for before, node in zip(original.graph.nodes, found.graph.nodes, strict=True):
        widths = [width(before.inputs, before.in_channels), width(before.outputs, before.channels)]
        if widths != [node.in_channels, node.channels]:
            has, expected = f"{node.in_channels} -> {node.channels}", " -> ".join(map(str, widths))
            raise InputError(f"network: layer '{node.name}' has {has} channels when pruned, expected {expected}")
    flops, parameters = costs_of_counts(original.graph, np.array([counts, original.graph.channels], np.int64))
    (planned, whole), cost = map(Cost, flops.tolist(), parameters.tolist()), cost_of_graph(found.graph)
    if cost != planned:
        raise InputError(f"network: pruned, it costs {cost}, expected {planned}")
    outside = [_size(original.network) - whole.parameters, _size(found.network) - cost.parameters]
    if outside[0] != outside[1]:
        raise InputError(f"network: pruned, it has {outside[1]} parameters outside its layers, expected {outside[0]}")


def _size(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def _small(original: Traced, shape: Shape) -> Shape:
    """The shape of an input to compare by; of large images, a smaller one, which not all networks take."""
    # What more than images lie along the first axis of, as windows, says of no images nothing about other sizes.
    of_no_images = next(iter(original.operations.nodes)).meta["shape"][:1] == (0,)
    if len(shape) != 4 or min(shape[2:]) < LARGE_SIDE or not of_no_images:
        return shape
    return (1, shape[1], *(math.ceil(side / SMALLER) for side in shape[2:]))


def _is_quickly_alike(original: Traced, kept: Kept, found: Traced, shape: Shape) -> bool:
    """Whether the cheapest comparison finds no difference; if it finds one, or fails, the others tell more."""
    image = _random(shape).float()
    if image.dim() == 4:  # torch has faster convolutions of few positions in this layout
        image = image.contiguous(memory_format=torch.channels_last)
    try:
        return _difference(original, kept, found, image) is None
    except INTERRUPTS:
        raise
    except BaseException as error:  # the user's code: anything can be raised there
        log.debug("compared at more cost: %s", told(error))
        return False


def _image(original: Traced, small: Shape, shape: Shape) -> Tensor:
    """A random input in float64, [1, ...]; the smaller one if the network takes it."""
    if small == shape:
        return _random(shape)
    try:
        with torch.no_grad():
            original.network(images_like(original.network, (0, *small[1:])))
        return _random(small)
    except INTERRUPTS:
        raise
    except BaseException:  # the user's code: anything can be raised there
        log.debug("compared at full size")
        return _random(shape)


def _random(shape: Shape) -> Tensor:
    """A random input in float64, [1, ...]."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(1, *shape[1:], generator=generator, dtype=torch.float64)


@torch.no_grad()
def _difference(original: Traced, kept: Kept, found: Traced, image: Tensor) -> str | None:
    """The first layer of the pruned network that does not give what the masked original gives, and by how much."""
    tolerance, given = TOLERANCES[image.dtype], dict[str, deque[Tensor]]()
    reads = {layer.name: kept_elements(layer.inputs, kept) for layer in _layers(original) if layer.mixes}

    def note(layer: Node, output: Tensor) -> None:
        left = kept_elements(layer.outputs, kept)
        # A copy: what comes next may change it in place.
        output = output.clone() if left is None else output.index_select(_axis(layer, output), torch.as_tensor(left))
        given.setdefault(layer.name, deque()).append(output)

    def compare(layer: Node, output: Tensor) -> None:
        expected = given[layer.name].popleft()  # of each call
        if difference := _compare(f"layer '{layer.name}'", output, expected, tolerance):
            raise _DiffersError(difference)

    expected = _run(original, image, note, reads)
    try:
        result = _run(found, image, compare)
    except _DiffersError as difference:
        return str(difference)
    return _compare("the output", result, expected, tolerance)


@torch.no_grad()
def _unsteady(original: Traced, image: Tensor) -> str | None:
    """Which layer of the original gives other values each time, if one does."""
    given, calls = list[Tensor](), count()

    def compare(layer: Node, output: Tensor) -> None:
        call = next(calls)
        given.extend([output.clone()] if call == len(given) else [])
        if not torch.equal(given[call], output):
            raise _DiffersError(
                f"already '{layer.name}' of the original gives other values each time in evaluation mode"
            )

    try:
        for _ in range(2):
            calls = count()
            _run(original, image, compare)
    except _DiffersError as difference:
        return str(difference)
    return None


def _run(
    network: Traced, image: Tensor, look: Callable[[Node, Tensor], None],
    reads: Mapping[str, NDArray[np.int64] | None] = MappingProxyType({}),
) -> Any:  # fmt: skip
    """Run a network itself, not what was traced of it, and look at what its layers give.

    Args:
        network: as it was traced.
        image: an input, [1, ...].
        look: called with each layer and what it gives, [1, C, ...] or [..., C].
        reads: by the names of layers, the channels that they read; others are zeros to them. Without, they read all.
    """
    module, handles = _in(image.dtype, network.network), list[RemovableHandle]()
    for node in _layers(network):
        layer = module.get_submodule(node.name)
        if (left := reads.get(node.name)) is not None:
            handles.append(layer.register_forward_pre_hook(partial(_mask, node, left)))
        handles.append(layer.register_forward_hook(partial(_look, node, look)))
    try:
        return module(image)
    finally:
        for handle in handles:
            handle.remove()


def _layers(network: Traced) -> list[Node]:
    return [node for node in network.graph.nodes if node.kind in (CONV, LINEAR)]


def _look(node: Node, look: Callable[[Node, Tensor], None], module: nn.Module, inputs: Any, output: Tensor) -> None:
    look(node, output)


def _axis(node: Node, x: Tensor) -> int:
    """The axis of the channels of what a layer reads or gives, [B, C, ...], or [..., C] of a linear layer."""
    return x.dim() - 1 if node.kind == LINEAR else 1


def _mask(node: Node, kept: NDArray[np.int64], module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """What a layer reads, with zeros in all but the kept elements along the axis of the channels."""
    x = inputs[0]
    is_kept = torch.zeros(node.in_channels, dtype=torch.bool)
    is_kept[torch.as_tensor(kept)] = True
    shape = [1] * x.dim()
    shape[_axis(node, x)] = node.in_channels
    return torch.where(is_kept.view(shape), x, 0), *inputs[1:]  # `masked_fill` would lose the layout


def _in(dtype: torch.dtype, network: nn.Module) -> nn.Module:
    """The network in this precision: a copy if it has another."""
    held = (each for module in network.modules() for each in (*module._parameters.values(), *module._buffers.values()))
    floating = (each.dtype for each in held if each is not None and each.is_floating_point())
    return network if all(each == dtype for each in floating) else copy.deepcopy(network).to(dtype)


class _DiffersError(Exception):
    """A layer of the pruned network gives something else."""


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
