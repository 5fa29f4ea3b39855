"""Operations of several tensors: sums and products, which tie channels to one another, and concatenations."""

from collections.abc import Sequence

import numpy as np
from torch import fx

from sacp.tracing.values import (
    Direct,
    Labels,
    Number,
    ObstacleError,
    Read,
    Reading,
    Value,
    argument,
    operation,
    shape_of,
    sources_of,
    unknown,
    used_directly,
    written,
)


def join(state: Reading, node: fx.Node, given: Sequence[Read]) -> Read:
    """Read a sum or a product, whose shapes are aligned from the right: of tensors, constants and values per channel.

    Channels that meet are tied. What has one element along the channels' axis joins all of them.
    """
    tensors = [
        (value, shape_of(arg))
        for arg, value in zip(node.all_input_nodes, given, strict=True)
        if isinstance(value, Value)
    ]
    direct = [value for value in given if isinstance(value, Direct)]
    if not tensors and len(direct) == 1:
        return direct[0]
    if not tensors or any(not isinstance(value, (Value, Number, Direct)) for value in given):
        raise unknown(node, direct)
    rank = len(shape_of(node))
    sources = sources_of(value for value, _ in tensors)
    labelled = [(value, value.axis + rank - len(shape)) for value, shape in tensors if value.labels is not None]
    axes = {axis for value, axis in labelled if value.labels is not None and len(value.labels) > 1}
    if len(axes) > 1:
        shapes = " and ".join(written(shape) for _, shape in tensors)
        found = f"operation '{operation(node)}' at {{place}} joins {shapes}; expected equal ranks and channels"
        raise ObstacleError(node, found)
    if not labelled:
        result = Value(sources)
    else:
        axis = min(axes, default=labelled[0][1])
        result = Value(sources, _tied(state, node, tensors, axis), axis)
    for value in direct:
        join_direct(state, node, result, value)
    return result


def stack(state: Reading, node: fx.Node, given: Sequence[Read]) -> Value:
    """Read `stack`, which ties the channels of tensors along a new axis."""
    parts, dim = _listed(node, given)
    values = [value for _, value in parts if isinstance(value, Value)]
    axes = {value.axis for value in values if value.labels is not None}
    if len(values) < len(parts) or len(axes) > 1:
        raise unknown(node, given)
    if not axes:
        return Value(sources_of(values))
    axis = axes.pop()
    return Value(sources_of(values), _all_tied(state, values), axis + (dim % len(shape_of(node)) <= axis))


def products(state: Reading, node: fx.Node, given: Sequence[Read]) -> Value:
    """Read products of activations, as in attention: what they read stays."""
    if any(isinstance(value, Direct) for value in given):
        raise unknown(node, given)
    raise ObstacleError(node, f"operation '{operation(node)}' at {{place}} multiplies activations", stays=True)


def _tied(state: Reading, node: fx.Node, tensors: Sequence[tuple[Value, tuple[int, ...]]], axis: int) -> Labels | None:
    """Tie the channels of tensors that meet along an axis of the result; return their labels, if they can be pruned."""
    length, rank = shape_of(node)[axis], len(shape_of(node))
    first: Labels | None = None
    for value, shape in tensors:
        own = axis - (rank - len(shape))
        if value.labels is not None and len(value.labels) == length and value.axis == own:
            if first is not None:
                state.unite(first, value.labels)
            first = value.labels if first is None else first
        elif value.labels is not None:
            state.fix(value.labels)  # a single one, which joins all
    if first is None:
        return None
    for value, shape in tensors:
        own = axis - (rank - len(shape))
        if value.labels is None and own >= 0 and shape[own] > 1:
            if value.obstacle is not None:
                raise value.obstacle
            state.fix(first)
            return None
    return first


def join_direct(state: Reading, node: fx.Node, value: Value, direct: Direct) -> None:
    """Take a parameter or buffer, aligned from the right, as a constant or as values per channel."""
    shape = shape_of(node)
    axis = value.axis - (len(shape) - len(direct.shape))  # that of the channels; negative if there is none
    size = direct.shape[axis] if 0 <= axis < len(direct.shape) else 1
    if value.labels is None or size == 1:
        state.use_directly(node, direct)
    elif size == len(value.labels) and len(direct.shape) <= len(shape):
        state.use_directly(node, direct, 0 if direct.is_line else axis, value.labels)
    else:
        raise used_directly(node, direct, f", with {size} values for {len(value.labels)} channels")


def concatenate(state: Reading, node: fx.Node, given: Sequence[Read]) -> Value:
    """Read `cat`: channels follow one another, or are tied where positions do."""
    parts, dim = _listed(node, given)
    tensors = [(part, value) for part, value in parts if isinstance(value, Value)]
    direct = [value for _, value in parts if isinstance(value, Direct)]
    axes = {value.axis for _, value in tensors if value.labels is not None}
    dim %= len(shape_of(node))
    if len(tensors) + len(direct) < len(parts) or (direct and dim in axes):
        raise unknown(node, given)
    values = [value for _, value in tensors]
    if not axes:
        for each in direct:
            state.use_directly(node, each)
        return Value(sources_of(values))
    if len(axes) > 1:
        shapes = " and ".join(written(shape_of(part)) for part, _ in tensors)
        raise ObstacleError(node, f"operation 'cat' at {{place}} joins {shapes}, channels along different axes")
    if axes == {dim}:
        labels = [
            np.zeros(shape_of(part)[dim], np.int64) if value.labels is None else value.labels for part, value in tensors
        ]
        return Value(sources_of(values), np.concatenate(labels), dim)
    result = Value(sources_of(values), _all_tied(state, values), axes.pop())
    for each in direct:
        join_direct(state, node, result, each)
    return result


def _listed(node: fx.Node, given: Sequence[Read]) -> tuple[list[tuple[fx.Node, Read]], int]:
    """What `cat` or `stack` reads, each as often as it is listed, and the axis along which."""
    parts, dim = argument(node, 0, "tensors"), argument(node, 1, "dim", 0)
    if not isinstance(dim, int) or not isinstance(parts, (tuple, list)):
        raise unknown(node, given)
    known = dict(zip(node.all_input_nodes, given, strict=True))
    return [(part, known[part]) for part in parts], dim


def _all_tied(state: Reading, values: Sequence[Value]) -> Labels:
    """Tie the channels of all tensors, of which some have labels; return the labels of the first."""
    first = next(value.labels for value in values if value.labels is not None)
    for value in values:
        if value.obstacle is not None:
            raise value.obstacle
        state.unite(first, np.zeros(1, np.int64) if value.labels is None else value.labels)
    return first
