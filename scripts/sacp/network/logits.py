"""What a network must give: a finite logit for each class of each image, in evaluation as in training."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sacp.errors import INTERRUPTS, InputError, listed, told
from sacp.network.surgery import copied

BATCH = 2  # images


def check_logits(
    who: str, network: nn.Module, shape: Sequence[int], classes: int, modes: Sequence[bool] = (False, True)
) -> None:
    """Run a copy of a network on a batch of two random images, and check what it gives. The network is not changed.

    Args:
        who: the network, for messages.
        network: gives logits [B, classes].
        shape: of one image with its batch axis, [1, C, H, W].
        classes: of the data.
        modes: whether it trains; in both if nothing else is said.

    Raises:
        InputError: it fails, or gives anything else than one tensor [2, classes] of finite floating point.
    """
    like = next((each for each in network.parameters() if each.is_floating_point()), torch.zeros(()))
    draws = torch.Generator().manual_seed(0)
    images = torch.randn(BATCH, *shape[1:], generator=draws).to(like)  # not alike: some networks divide by deviations
    for training in modes:
        here = f"{who} in {'training' if training else 'evaluation'}"
        found = _given(here, network, images, training)
        if wrong := _wrong(found, classes):
            expected = f"expected one tensor {[BATCH, classes]}, a logit for each of the classes"
            raise InputError(f"{here} gives {wrong} for images of shape {list(images.shape)}, {expected}{_hint(found)}")
        if not found.isfinite().all():
            raise InputError(f"{here} gives NaN or infinite values for random images; expected finite logits")


def _given(here: str, network: nn.Module, images: Tensor, training: bool) -> Any:
    """What a copy returns, as norms note what they see in training; the forward is the user's code."""
    copy = copied(network).train(training)
    try:
        with torch.no_grad(), torch.random.fork_rng():  # a dropout draws
            return copy(images)
    except INTERRUPTS:
        raise
    except BaseException as error:  # anything can be raised there
        raise InputError(f"{here} fails on images of shape {list(images.shape)} ({told(error)})") from error


def _wrong(found: Any, classes: int) -> str:
    """What a network has given, if it is no logit for each class; empty if it is."""
    is_right = isinstance(found, Tensor) and found.is_floating_point() and found.shape == (BATCH, classes)
    return "" if is_right else _kind(found)


def _kind(found: Any) -> str:
    if isinstance(found, Tensor):
        kind = "" if found.is_floating_point() else f" and type {found.dtype}"
        return f"a tensor of shape {list(found.shape)}{kind}"
    if found is None:
        return "nothing"
    if isinstance(found, Mapping):
        return f"a {type(found).__name__} with the keys {listed(found)}"
    if isinstance(found, (tuple, list)):
        return f"a {type(found).__name__} of {len(found)}"
    return f"a {type(found).__name__}"


def _hint(found: Any) -> str:
    """What to do, where it can be told."""
    if found is None:
        return "; does its forward end with `return`?"
    if isinstance(found, (tuple, list, Mapping)):
        return "; return the logits alone"
    if isinstance(found, Tensor) and found.dim() > 2 and found[0, :, ...].numel() == found.size(1):
        return "; return y.flatten(1)"
    return ""
