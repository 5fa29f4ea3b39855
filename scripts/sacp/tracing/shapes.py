"""Operations that move elements about: where the channels are afterwards, and what must be pruned in step for it."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from torch import fx

from sacp.network.graph import UPSAMPLE
from sacp.tracing.values import (
    Condition,
    Labels,
    Number,
    ObstacleError,
    Read,
    Reading,
    Several,
    Value,
    argument,
    operation,
    shape_of,
    shape_read,
    unknown,
    written,
)

# Operations for each value that a resizing gives, as thop 0.1.1 counts them; other modes are free.
RESIZE_COSTS = {"nearest": 1, "linear": 5, "bilinear": 11, "bicubic": 259}


def moved(value: Value, axis: int) -> Value:
    """The same value with its channels along another axis."""
    return Value(value.sources, value.labels, axis, value.obstacle)


def resize(state: Reading, node: fx.Node, value: Value, mode: str | None = None) -> Value:
    """Read a resizing of [B, C, ...] to other positions; `mode` is that of a module."""
    if value.labels is not None and value.axis != 1:
        raise ObstacleError(node, "resizing {place} changes channels", stays=True)
    cost = RESIZE_COSTS.get(mode or argument(node, 3, "mode", "nearest"), 0)
    return state.add_plain(node, UPSAMPLE, value, cost * math.prod(shape_of(node)[2:]))


def pad(state: Reading, node: fx.Node, value: Value) -> Value:
    """Read a padding; torch pads the last axes first. Channels that it adds are never pruned."""
    amounts, rank = argument(node, 1, "pad"), len(shape_read(node))
    if value.labels is None:
        return value
    place = 2 * (rank - 1 - value.axis)  # of the amounts for the channels
    if not isinstance(amounts, (tuple, list)) or any(not isinstance(each, int) for each in amounts[place : place + 2]):
        raise ObstacleError(node, "padding at {place} pads channels by what is not written there")
    if not any(amounts[place : place + 2]):
        return value
    before, after = amounts[place : place + 2]
    if min(before, after) < 0 or argument(node, 2, "mode", "constant") != "constant":
        raise ObstacleError(node, "padding at {place} pads channels, or cuts some off, otherwise than by a constant")
    zeros = [np.zeros(count, np.int64) for count in (before, after)]
    return Value(value.sources, np.concatenate([zeros[0], value.labels, zeros[1]]), value.axis)


def index(state: Reading, node: fx.Node, value: Read) -> Read:
    """Read `x[...]`: an item of a tuple, or some positions of all images and channels."""
    if isinstance(value, Several):
        return _item(node, value)
    if not isinstance(value, Value):
        raise unknown(node, [value])
    if value.labels is None:
        return value
    parts = _whole_index(node.args[1], len(shape_read(node)))
    if parts is None or parts[0] != slice(None) or not all(map(_is_part, parts)):
        raise unknown(node)
    axis = new = 0  # those of what is read, and of what is given
    for part in parts:
        if part is None:
            new += 1
            continue
        if axis == value.axis:
            if part != slice(None):
                raise _takes_channels(node, part)
            return moved(value, new)
        axis, new = axis + 1, new + (not isinstance(part, int))
    raise unknown(node)


def _takes_channels(node: fx.Node, part: Any) -> ObstacleError:
    """The obstacle that an index takes some channels: those that are left are others."""
    if isinstance(part, int) or all(map(_is_written, _ends(part))):
        return ObstacleError(node, "operation 'getitem' at {place} takes channels from written places", stays=True)
    return ObstacleError(node, "operation 'getitem' at {place} takes channels from computed places; cut them by chunk")


def _item(node: fx.Node, value: Several) -> Read:
    place = node.args[1]
    place = ("values", "indices").index(place) if place in ("values", "indices") else place  # of what `max` gives
    if isinstance(place, int) and -len(value.values) <= place < len(value.values):
        return value.values[place]
    if isinstance(place, slice):
        return Several(value.values[place])
    raise unknown(node)


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


def _ends(part: slice) -> tuple[Any, Any, Any]:
    return part.start, part.stop, part.step


def _is_written(end: Any) -> bool:
    return end is None or isinstance(end, int)


def axes_of(dims: Any, rank: int) -> tuple[int, ...]:
    """Axes by their names, negative or not, one or several; all axes where there is no name."""
    dims = range(rank) if dims is None else dims if isinstance(dims, (tuple, list)) else [dims]
    return tuple(dim % rank for dim in dims) if rank and all(isinstance(dim, int) for dim in dims) else ()


def is_over_positions(node: fx.Node) -> bool:
    """Whether an operation names its axes, `dim`, and all of them lie behind that of the channels."""
    axes = axes_of(argument(node, 1, "dim"), len(shape_read(node)))
    return min(axes, default=0) > 1


def reduced(node: fx.Node, value: Value, axes: Sequence[int], keepdim: bool) -> Value:
    """What is left of a value whose elements along some axes, not that of the channels, are made one."""
    if value.labels is None or keepdim:
        return value
    return moved(value, value.axis - sum(axis < value.axis for axis in axes))


def flip(state: Reading, node: fx.Node, value: Value) -> Value:
    """Read what turns positions round."""
    dims = node.args[1:] if len(node.args) > 1 else (node.kwargs.get("dims"),)
    axes = axes_of(dims[0] if isinstance(dims[0], (tuple, list)) else dims, len(shape_read(node)))
    if value.labels is not None and (not axes or value.axis in axes):
        raise unknown(node)
    return value


def total(state: Reading, node: fx.Node, value: Value) -> Value:
    """Read a sum, an extreme or a deviation over axes that are not that of the channels."""
    axes = axes_of(argument(node, 1, "dim"), len(shape_read(node)))
    check_axes(node, value, axes)
    return reduced(node, value, axes, keepdim=len(shape_of(node)) == len(shape_read(node)))


def extreme(state: Reading, node: fx.Node, value: Value) -> Read:
    """Read `max` or `min`: of all elements, or along an axis, which gives where they are, too."""
    if "shape" in node.meta:
        return total(state, node, value)
    axes = axes_of(argument(node, 1, "dim"), len(shape_read(node)))
    check_axes(node, value, axes)
    return Several((reduced(node, value, axes, bool(argument(node, 2, "keepdim", False))),) * 2)


def check_axes(node: fx.Node, value: Value, axes: Sequence[int]) -> None:
    """Raise `ObstacleError` if an operation that makes one element of all along some axes runs over channels."""
    if value.labels is None or (axes and 0 not in axes and value.axis not in axes):
        return
    if not axes or 0 in axes:
        raise unknown(node)
    raise ObstacleError(node, f"operation '{operation(node)}' at {{place}} runs over channels", stays=True)


def squeeze(state: Reading, node: fx.Node, value: Value) -> Value:
    """Read what removes axes of positions; without axes it would remove that of images or of a single channel too."""
    axes = axes_of(argument(node, 1, "dim"), len(shape_read(node)))
    if not axes or 0 in axes:
        raise ObstacleError(node, unknown(node).text, is_sure=True)
    if value.labels is None:
        return value
    if value.axis in axes:
        raise unknown(node)
    shape = shape_read(node)
    return moved(value, value.axis - sum(axis < value.axis and shape[axis] == 1 for axis in axes))


def unsqueeze(state: Reading, node: fx.Node, value: Value) -> Value:
    """Read what adds an axis."""
    dim = argument(node, 1, "dim")
    if not isinstance(dim, int):
        raise unknown(node)
    return moved(value, value.axis + (dim % len(shape_of(node)) <= value.axis))


def permute(state: Reading, node: fx.Node, value: Value) -> Value:
    """Read `permute`."""
    axes = axes_of(_several(node), len(shape_read(node)))
    if len(axes) != len(shape_read(node)):
        raise unknown(node)
    return moved(value, axes.index(value.axis)) if value.labels is not None else value


def transpose(state: Reading, node: fx.Node, value: Value) -> Value:
    """Read `transpose`."""
    axes = axes_of((argument(node, 1, "dim0"), argument(node, 2, "dim1")), len(shape_read(node)))
    if len(axes) != 2:
        raise unknown(node)
    return moved(value, {axes[0]: axes[1], axes[1]: axes[0]}.get(value.axis, value.axis))


def chunk(state: Reading, node: fx.Node, value: Value) -> Several:
    """Read what cuts a tensor in equal parts, `chunk`: where it cuts channels, those of all parts go in step."""
    count, axis = argument(node, 1, "chunks"), argument(node, 2, "dim", 0)
    if not isinstance(count, int) or not isinstance(axis, int):
        raise unknown(node)
    parts = min(count, shape_read(node)[axis])
    if value.labels is None or axis % len(shape_read(node)) != value.axis:
        return Several((value,) * parts)
    if len(value.labels) % count:
        found = f"operation 'chunk' at {{place}} cuts {len(value.labels)} channels in {count} unequal parts"
        raise ObstacleError(node, found, stays=True)
    rows = value.labels.reshape(count, -1)
    state.unite(rows, rows[:1])
    return Several(tuple(Value(value.sources, row, value.axis) for row in rows))


def split(state: Reading, node: fx.Node, value: Value) -> Read:
    """Read what cuts positions in parts of written sizes; channels in such parts cannot be pruned."""
    axis = argument(node, 2, "dim", 0)
    if not isinstance(axis, int) or node.meta.get("length") is None:
        raise unknown(node)
    if value.labels is not None and axis % len(shape_read(node)) == value.axis:
        found = f"operation '{operation(node)}' at {{place}} cuts channels in parts of written sizes"
        raise ObstacleError(node, f"{found}; cut them by chunk", stays=True)
    return Several((value,) * node.meta["length"])


def unbind(state: Reading, node: fx.Node, value: Value) -> Several:
    """Read what takes the positions of an axis apart."""
    axis = axes_of(argument(node, 1, "dim", 0), len(shape_read(node)))
    if len(axis) != 1 or (value.labels is not None and axis[0] == value.axis):
        raise unknown(node)
    return Several((reduced(node, value, axis, keepdim=False),) * shape_read(node)[axis[0]])


def flatten(state: Reading, node: fx.Node, value: Value) -> Value:
    """Read `flatten`, which makes one axis of several."""
    return reshape(state, node, value, [-1 if size != 1 else 1 for size in shape_of(node)])


def unflatten(state: Reading, node: fx.Node, value: Value, dim: Any = None, sizes: Any = None) -> Value:
    """Read `unflatten`, which makes several axes of one; `dim` and `sizes` are those of a module."""
    dim, sizes = argument(node, 1, "dim", dim), argument(node, 2, "sizes", sizes)
    if not isinstance(dim, int) or not isinstance(sizes, (tuple, list)) or not all(type(size) is int for size in sizes):
        raise unknown(node)
    axis, rank = dim % len(shape_read(node)), len(shape_of(node))
    return reshape(state, node, value, [*[-1] * axis, *sizes, *[-1] * (rank - axis - len(sizes))])


def view(state: Reading, node: fx.Node, value: Value, values: Mapping[fx.Node, Read]) -> Value:
    """Read a reshape to sizes, of which that of the channels must be -1, or follow their number when it is pruned."""
    sizes = _several(node)
    if value.labels is None:
        state.use_numbers(node, [values[size] for size in sizes if isinstance(size, fx.Node)])
        return value
    if len(sizes) != len(shape_of(node)) or not all(isinstance(size, (int, fx.Node)) for size in sizes):
        raise ObstacleError(node, "reshape at {place} is not given its sizes one by one")
    return reshape(state, node, value, [values[size] if isinstance(size, fx.Node) else int(size) for size in sizes])


def reshape(state: Reading, node: fx.Node, value: Value, sizes: Sequence[Read | int]) -> Value:
    """Read what makes other axes of [B, ...], those of the channels among them, in the same order of elements.

    Where the axis of the channels is cut in two, one size follows their number; along the other, channels go in step.
    """
    if value.labels is None:
        return value
    before, after = shape_read(node), shape_of(node)
    first = 0 if before[0] else 1  # without images, the first axis must be that of images, and stay it
    blocks = list(_blocks(before[first:], after[first:])) if first == 0 or before[:1] == after[:1] else []
    block = next((block for block in blocks if value.axis - first in block[0]), None)
    if block is None or not block[1] or (first == 0 and (0 in block[0] or 0 in block[1])):
        found = f"reshape of {written(before)} to {written(after)} at {{place}} moves channels to other axes"
        raise ObstacleError(node, found, stays=value.obstacle is not None)
    old, new = ([axis + first for axis in part] for part in block)
    inner = math.prod(before[axis] for axis in old if axis > value.axis)
    outer = math.prod(before[axis] for axis in old if axis < value.axis)
    labels = np.tile(np.repeat(value.labels, inner), outer).reshape([after[axis] for axis in new])
    follows = [axis for axis in new if sizes[axis] == -1 or _tells(sizes[axis])]
    behind = new[-1] + 1
    if not follows and behind < len(after) and after[behind] == 1 and sizes[behind] == -1:
        new, follows = [*new, behind], [behind]  # a single channel for each part
    if not follows and sum(after[axis] > 1 for axis in new) > 1:
        found = f"reshape of {written(before)} to {written(after)} at {{place}} cuts channels in parts of written sizes"
        raise ObstacleError(node, found, stays=True)
    state.use_numbers(node, [each for axis, each in enumerate(sizes) if axis not in new and isinstance(each, Number)])
    free = _free(labels, new, follows)
    for axis, each in enumerate(labels.shape):
        if new[axis] != free and each > 1:
            state.unite(labels, labels.take([0], axis))
            labels = labels.take([0], axis)
    labels = labels.flatten()
    if not (follows == [free] and sizes[free] == -1):
        _check_sizes(state, node, value, [sizes[axis] for axis in new], labels if follows == [free] else None)
    return Value(value.sources, labels, free)


def _several(node: fx.Node) -> tuple[Any, ...]:
    """The arguments after a tensor, whether given one by one or together."""
    found: tuple[Any, ...] = node.args[1:] or tuple(node.kwargs.values())
    return tuple(found[0]) if len(found) == 1 and isinstance(found[0], (tuple, list)) else found


def _tells(size: Read | int) -> bool:
    """Whether a size is one that pruning changes."""
    return isinstance(size, Number) and bool(size.labels)


def _blocks(before: Sequence[int], after: Sequence[int]) -> Iterable[tuple[list[int], list[int]]]:
    """Axes before and after a reshape that hold the same elements, as few together as can be."""
    i = j = 0
    while i < len(before) and j < len(after):
        old, new = [i], [j]
        while (sizes := (math.prod(before[k] for k in old), math.prod(after[k] for k in new)))[0] != sizes[1]:
            if sizes[0] < sizes[1]:
                old.append(old[-1] + 1)
            else:
                new.append(new[-1] + 1)
            if old[-1] >= len(before) or new[-1] >= len(after):
                return
        i, j = old[-1] + 1, new[-1] + 1
        if j == len(after):  # what is left holds one element
            old, i = [*old, *range(i, len(before))], len(before)
        if i == len(before):
            new, j = [*new, *range(j, len(after))], len(after)
        yield old, new


def _free(labels: Labels, axes: Sequence[int], follows: Sequence[int]) -> int:
    """The axis that is to hold the channels: that whose size follows their number; else the first they differ along."""
    if len(follows) == 1:
        return follows[0]
    varies = [axis for place, axis in enumerate(axes) if (labels != labels.take([0], place)).any()]
    return varies[0] if varies else axes[0]


def _check_sizes(
    state: Reading, node: fx.Node, value: Value, sizes: Sequence[Read | int], labels: Labels | None
) -> None:
    """Note under which conditions sizes that are not -1 follow the channels."""
    assert value.labels is not None
    found = f"a number of channels that pruning changes is written in '{operation(node)}' at {{place}}"
    obstacle = ObstacleError(node, f"{found}; write -1 or x.size(1)", stays=value.obstacle is not None)
    if obstacle.stays:  # what comes of parameters alone
        raise obstacle
    told = [size for size in sizes if isinstance(size, Number) and size.labels]
    if labels is not None and len(told) == 1 and len(told[0].labels) == 1 and told[0].scale:
        state.conditions.append(Condition((value.labels, *told[0].labels), obstacle, unless_like=told[0].labels[0]))
    else:
        state.conditions.append(Condition((value.labels, *(each for size in told for each in size.labels)), obstacle))
