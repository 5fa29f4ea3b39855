"""Operations that move positions about, and what they must leave alone: the channels of [B, C, ...]."""

import math
import operator
from collections.abc import Mapping
from typing import Any

from torch import fx

from sacp.network.graph import UPSAMPLE
from sacp.network.reading import (
    ARITHMETIC,
    Condition,
    Number,
    ObstacleError,
    Read,
    Reading,
    Value,
    argument,
    check_map,
    operation,
    shape_of,
    shape_read,
    unknown,
    written,
)

# Operations for each value that a resizing gives, as thop 0.1.1 counts them; other modes are free.
RESIZE_COSTS = {"nearest": 1, "bilinear": 11, "bicubic": 259}


def resize(state: Reading, node: fx.Node, inputs: Value, mode: str | None = None) -> Value:
    """Read a resizing of [B, C, H, W] to other heights and widths; `mode` is that of a module."""
    check_map(node, "resizing")
    cost = RESIZE_COSTS.get(mode or argument(node, 3, "mode", "nearest"), 0)
    return state.add_plain(node, UPSAMPLE, inputs, cost * math.prod(shape_of(node)[2:]))


def pad(state: Reading, node: fx.Node, inputs: Value) -> Value:
    """Read a padding that leaves the first two axes as they are; torch pads the last axes first."""
    amounts, rank = argument(node, 1, "pad"), len(shape_read(node))
    spatial = 2 * (rank - 2)
    if not isinstance(amounts, (tuple, list)) or any(not _is_zero(amount) for amount in amounts[spatial:]):
        raise ObstacleError(node, "padding at {place} pads more than positions; cannot be pruned")
    return inputs


def slice_positions(state: Reading, node: fx.Node, inputs: Value) -> Value:
    """Read `x[:, :, ...]`, which takes some positions, of all images and channels."""
    index = _whole_index(node.args[1], len(shape_read(node)))
    if index is None or index[:2] != (slice(None),) * 2 or not all(map(_is_part, index[2:])):
        raise unknown(node)
    if inputs.positions > 1 and None in index:
        raise unknown(node)
    return inputs


def _whole_index(index: Any, rank: int) -> tuple[Any, ...] | None:
    """An index with a part for each axis, `...` written out; None if it cannot be told."""
    parts = index if isinstance(index, tuple) else (index,)
    rest = rank - sum(part is not None and part is not Ellipsis for part in parts)
    if any(isinstance(part, fx.Node) for part in parts) or sum(part is Ellipsis for part in parts) > 1 or rest < 0:
        return None
    place = next((number for number, part in enumerate(parts) if part is Ellipsis), len(parts))
    return (*parts[:place], *[slice(None)] * rest, *parts[place + 1 :])


def _is_part(part: Any) -> bool:
    """What an index says of an axis: some of its positions, one of them, or that there is a new one."""
    return part is None or isinstance(part, slice) or type(part) is int


def _is_zero(amount: Any) -> bool:
    return isinstance(amount, int) and amount == 0


def is_over_positions(node: fx.Node) -> bool:
    """Whether an operation names its axes, `dim`, and all of them lie behind that of the channels."""
    dims, rank = argument(node, 1, "dim"), len(shape_read(node))
    axes = [dim % rank if isinstance(dim, int) else 0 for dim in (dims if isinstance(dims, (tuple, list)) else [dims])]
    return min(axes, default=0) > 1


def squeeze(state: Reading, node: fx.Node, inputs: Value) -> Value:
    """Read what removes axes of positions; without axes it would remove that of images or of a single channel too."""
    if not is_over_positions(node):
        raise unknown(node)
    return inputs


def unsqueeze(state: Reading, node: fx.Node, inputs: Value) -> Value:
    """Read what adds an axis behind that of the channels."""
    dim = argument(node, 1, "dim")
    if not isinstance(dim, int) or dim % len(shape_of(node)) < 2 or inputs.positions > 1:
        raise unknown(node)
    return inputs


def reshape(node: fx.Node, inputs: Value) -> Value:
    """Read what turns [B, C, ...] into [B, C * positions] or into other positions [B, C, ...]."""
    before, after = shape_read(node), shape_of(node)
    is_flat, is_kept = len(after) == 2, inputs.positions == 1 and after[1:2] == (inputs.channels,)
    if after[:1] != before[:1] or math.prod(after[1:]) != math.prod(before[1:]) or not (is_flat or is_kept):
        raise ObstacleError(
            node,
            f"reshape of {written(before)} to {written(after)} at {{place}} is not one to [B, C, ...] or flatten(1)",
        )
    return Value(inputs.sources, inputs.tie, inputs.channels, math.prod(after[1:]) // inputs.channels if is_flat else 1)


def view(state: Reading, node: fx.Node, inputs: Value, values: Mapping[fx.Node, Read]) -> Value:
    """Read a reshape to sizes, of which that of the channels must be -1, or follow their number when it is pruned."""
    sizes = node.args[1:] or tuple(node.kwargs.values())
    sizes = tuple(sizes[0]) if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)) else sizes
    result = reshape(node, inputs)
    if len(sizes) != len(shape_of(node)) or not all(isinstance(size, (int, fx.Node)) for size in sizes):
        raise ObstacleError(node, "reshape at {place} is not given its sizes one by one")
    others = [values[size] for size in (sizes[0], *sizes[2:]) if isinstance(size, fx.Node)]
    state.use_numbers(node, others)
    if sizes[1] != -1:
        found = f"a number of channels that pruning changes is written in '{operation(node)}' at {{place}}"
        obstacle = ObstacleError(node, f"{found}; write -1 or x.size(1)")
        ties = _ties(sizes[1], values) | {inputs.tie}
        state.conditions.append(Condition(ties, obstacle, unless_one=_is_proportional(sizes[1], values)))
    return result


def _is_proportional(size: Any, values: Mapping[fx.Node, Read]) -> bool:
    """Whether a number is a number of channels, or a product of one and of what pruning does not change."""
    if not _ties(size, values):
        return False
    if size.target is not operator.mul:
        return size.target not in ARITHMETIC
    changing = [factor for factor in size.args if _ties(factor, values)]
    return len(changing) == 1 and _is_proportional(changing[0], values)


def _ties(size: Any, values: Mapping[fx.Node, Read]) -> frozenset[int]:
    """The channel sets that a size tells of."""
    number = values[size] if isinstance(size, fx.Node) else None
    return number.ties if isinstance(number, Number) else frozenset()
