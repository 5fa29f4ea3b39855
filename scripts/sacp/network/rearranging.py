"""Operations that move positions about, and what they must leave alone: the channels of [B, C, ...]."""

import math
from typing import Any

from torch import fx

from sacp.network.graph import UPSAMPLE
from sacp.network.reading import ObstacleError, Reading, Value, argument, is_map, shape_of, shape_read, unknown

# Operations for each value that a resizing gives, as thop 0.1.1 counts them; other modes are free.
RESIZE_COSTS = {"nearest": 1, "bilinear": 11, "bicubic": 259}


def resize(state: Reading, node: fx.Node, inputs: Value, mode: str | None = None) -> Value:
    """Read a resizing of [B, C, H, W] to other heights and widths; `mode` is that of a module."""
    if not is_map(node):
        raise ObstacleError(node, "resizing {place} reads no [B, C, H, W]; cannot be pruned", is_sure=False)
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
    if (
        index is None
        or any(part != slice(None) for part in index[:2])
        or not all(isinstance(part, slice) for part in index[2:])
    ):
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


def _is_zero(amount: Any) -> bool:
    return isinstance(amount, int) and amount == 0
