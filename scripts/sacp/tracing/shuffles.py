"""Operations that shuffle channels, make positions of them or gate one half by the other: which go in step."""

from typing import Any

import numpy as np
from torch import fx, nn

from sacp.tracing.values import Labels, ObstacleError, Reading, Value, argument, operation, shape_read, unknown


def pixel_shuffle(state: Reading, node: fx.Node, value: Value, factor: Any = None) -> Value:
    """Read what makes positions of channels, [B, C r r, H, W] -> [B, C, H r, W r]; `factor` r is that of a module."""
    labels = _of_maps(node, value)
    if labels is None:
        return value
    rows = labels.reshape(-1, _written(node, argument(node, 1, "upscale_factor", factor)) ** 2)
    state.unite(rows, rows[:, :1])
    return Value(value.sources, rows[:, 0], 1, value.obstacle)


def pixel_unshuffle(state: Reading, node: fx.Node, value: Value, factor: Any = None) -> Value:
    """Read what makes channels of positions, [B, C, H r, W r] -> [B, C r r, H, W]; `factor` r is that of a module."""
    labels = _of_maps(node, value)
    if labels is None:
        return value
    each = _written(node, argument(node, 1, "downscale_factor", factor)) ** 2
    return Value(value.sources, np.repeat(labels, each), 1, value.obstacle)


def channel_shuffle(state: Reading, node: fx.Node, value: Value, groups: Any = None) -> Value:
    """Read what takes the channels of groups in turns; `groups` are those of a module."""
    labels = value.labels
    if labels is None:
        return value
    if value.axis != 1:
        raise unknown(node)
    rows = labels.reshape(_written(node, argument(node, 1, "groups", groups)), -1)
    state.unite(rows, rows[:1])
    return Value(value.sources, rows.T.flatten(), 1, value.obstacle)


def glu(state: Reading, node: fx.Node, value: Value, dim: Any = -1) -> Value:
    """Read what gates the first half of an axis by the second; `dim` is that of a module."""
    axis = _written(node, argument(node, 1, "dim", dim)) % len(shape_read(node))
    if value.labels is None or axis != value.axis:
        return value
    halves = value.labels.reshape(2, -1)
    state.unite(halves, halves[:1])
    return Value(value.sources, halves[0], axis, value.obstacle)


def read_pixel_shuffle(state: Reading, layer: nn.PixelShuffle, node: fx.Node, value: Value, name: str) -> Value:
    """Read the module of `pixel_shuffle`."""
    return pixel_shuffle(state, node, value, layer.upscale_factor)


def read_pixel_unshuffle(state: Reading, layer: nn.PixelUnshuffle, node: fx.Node, value: Value, name: str) -> Value:
    """Read the module of `pixel_unshuffle`."""
    return pixel_unshuffle(state, node, value, layer.downscale_factor)


def read_channel_shuffle(state: Reading, layer: nn.ChannelShuffle, node: fx.Node, value: Value, name: str) -> Value:
    """Read the module of `channel_shuffle`."""
    return channel_shuffle(state, node, value, layer.groups)


def read_glu(state: Reading, layer: nn.GLU, node: fx.Node, value: Value, name: str) -> Value:
    """Read the module of `glu`."""
    return glu(state, node, value, layer.dim)


def _of_maps(node: fx.Node, value: Value) -> Labels | None:
    """The labels of maps [B, C, H, W]; `ObstacleError` if the channels are along another axis."""
    if value.labels is not None and (len(shape_read(node)) != 4 or value.axis != 1):
        raise ObstacleError(node, f"operation '{operation(node)}' at {{place}} reads no [B, C, H, W]", stays=True)
    return value.labels


def _written(node: fx.Node, number: Any) -> int:
    """A number that the network's code gives; `ObstacleError` if it is computed."""
    if not isinstance(number, int):
        raise unknown(node)
    return number
