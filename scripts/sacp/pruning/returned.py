"""What criteria and baselines return, checked: a user's function may return anything."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sacp.errors import INTERRUPTS, InputError, told
from sacp.network.graph import Graph
from sacp.pruning.criteria import Order, Rescaled


def order_of(ranked: Any, graph: Graph, function: str) -> Order:
    """The order in what a criterion returned; `InputError` if it does not have each channel of each group once."""
    found = ranked.order if isinstance(ranked, Rescaled) else ranked
    try:
        return by_group(found, graph, _fault_of_order)
    except InputError as error:
        raise InputError(
            f"criterion '{function}': {error}; expected each channel of each group once: {graph.channels}"
        ) from None


def by_group(found: Any, graph: Graph, fault: Callable[[NDArray[Any], int], str | None]) -> list[NDArray[Any]]:
    """Arrays of what a function returned for each group; `InputError` names the first group that has a fault."""
    try:
        arrays = [np.atleast_1d(np.asarray(each)) for each in found]
    except INTERRUPTS:
        raise
    except BaseException as error:  # what a user's function returns may compute as it is read
        raise InputError(f"found no list of arrays ({told(error)})") from None
    if len(arrays) != len(graph.groups):
        raise InputError(f"found {len(arrays)} lists for {len(graph.groups)} groups")
    for group, channels in zip(graph.groups, arrays, strict=True):
        if wrong := fault(channels, group.channels):
            raise InputError(f"found {wrong} for the {group.channels} channels of group '{group.name}'")
    return arrays


def fault_of_channels(channels: NDArray[Any], number: int) -> str | None:
    """What is wrong with channel numbers of a group that has so many; None if nothing is."""
    if channels.ndim != 1 or not len(channels):
        return f"an array of shape {list(channels.shape)}"
    if channels.dtype.kind not in "iu":
        return f"values of the type {channels.dtype.name}, no channel numbers"
    outside = channels[(channels < 0) | (channels >= number)]
    return f"channel {outside[0]}" if len(outside) else None


def _fault_of_order(channels: NDArray[Any], number: int) -> str | None:
    """What is wrong with an order of a group's channels; None if nothing is."""
    if len(channels) == number and channels.dtype.kind == "f":
        return f"values of the type {channels.dtype.name}, which look like scores rather than an order,"
    if channels.ndim == 1 and len(channels) != number:
        return f"{len(channels)} values"
    if wrong := fault_of_channels(channels, number):
        return wrong
    values, times = np.unique(channels, return_counts=True)
    return f"channel {values[times.argmax()]} {times.max()} times" if times.max() > 1 else None
