"""Batches of inputs that a user gives: looked at before they are used, and of the network's own type and device."""

from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any

import torch
from torch import Tensor, nn

from sacp.errors import INTERRUPTS, InputError, told
from sacp.network.surgery import copied
from sacp.tracing.running import images_like
from sacp.tracing.trace import Shape


def given_batches(key: str, given: Any, network: nn.Module, shape: Shape) -> Iterator[Tensor]:
    """The batches as the network takes them. The first is looked at here, the others as they are drawn.

    Args:
        key: the argument that holds them.
        given: tensors [B, ...] of floating point.
        network: it is tried on batches of each new size, in evaluation mode; it stays as it is.
        shape: of one input, [1, ...].

    Raises:
        InputError: these are no such batches, their values are not finite, or the network fails on them.
    """
    if isinstance(given, (Tensor, str)) or not isinstance(given, Iterable):
        found = f"a tensor of shape {list(given.shape)}" if isinstance(given, Tensor) else _told(given)
        raise InputError(f"{key}: found {found}, expected several batches, as a list of tensors")
    checked = _checked(key, iter(given), copied(network).eval(), shape)
    return chain(list(islice(checked, 1)), checked)


def _checked(key: str, batches: Iterator[Any], network: nn.Module, shape: Shape) -> Iterator[Tensor]:
    like, known = images_like(network, ()), set[torch.Size]()
    for found in batches:
        if not _is_batch(found, shape):
            expected = f"tensors of floating point, [B, {', '.join(map(str, shape[1:]))}]"
            without = "; of images with labels, the images alone" if isinstance(found, (tuple, list)) else ""
            raise InputError(f"{key}: found {_told(found)}, expected {expected}{without}")
        if not found.isfinite().all():
            raise InputError(f"{key}: found a batch that holds NaN or infinite values; expected finite ones")
        batch = found.to(like)
        if batch.shape[1:] not in known:
            _try(key, network, batch)
            known.add(batch.shape[1:])
        yield batch


def _is_batch(found: Any, shape: Shape) -> bool:
    is_right = isinstance(found, Tensor) and found.is_floating_point() and found.dim() == len(shape)
    return is_right and len(found) > 0


def _try(key: str, network: nn.Module, batch: Tensor) -> None:
    """Raise `InputError` if a network fails on an input of this size; the forward is the user's code."""
    try:
        with torch.no_grad():
            network(batch[:1])
    except INTERRUPTS:
        raise
    except BaseException as error:
        found = f"a batch of shape {list(batch.shape)}, on which the network fails ({told(error)})"
        raise InputError(f"{key}: found {found}") from error


def _told(found: Any) -> str:
    if isinstance(found, Tensor):
        return f"a tensor of shape {list(found.shape)} and type {found.dtype}"
    return f"a {type(found).__name__}"
