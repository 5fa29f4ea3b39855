"""Whether what was written gives what the network gives."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

TOLERANCE = 1e-4  # as a share of the largest value that an output has
SIZES = (1, 3)  # of batches; neither is the one that is exported

Runner = Callable[[Tensor], Sequence[Tensor]]


def tensors_in(outputs: Any) -> list[Tensor]:
    """The tensors of what a network gives, in the order in which exporters list them."""
    return [each for each in tree_leaves(outputs) if isinstance(each, Tensor)]


def batch_like(example: Tensor, size: int) -> Tensor:
    """A batch [size, ...]: the example's first input, and others; random ones of its magnitude, if they are floats."""
    if not example.is_floating_point():
        return example[torch.arange(size) % len(example)]
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(size, *example.shape[1:], generator=generator, dtype=torch.float64)
    batch = (drawn * (example.abs().max().double().item() or 1)).to(example.dtype)
    batch[0] = example[0]
    return batch


@torch.no_grad()
def difference(network: nn.Module, run: Runner, example: Tensor) -> str | None:
    """In what a written network differs from the network, if in anything; both in evaluation."""
    for size in SIZES:
        batch = batch_like(example, size)
        expected = tensors_in(network(batch))
        found = run(batch.clone())
        if len(found) != len(expected):
            return f"gives {len(found)} outputs for a batch of {size}, the network {len(expected)}"
        for ours, theirs in zip(found, expected, strict=True):
            if why := _differs(ours, theirs):
                return f"{why} for a batch of {size}"
    return None


def _differs(found: Tensor, expected: Tensor) -> str | None:
    if found.shape != expected.shape:
        return f"gives the shape {list(found.shape)}, the network {list(expected.shape)}"
    if not expected.numel():
        return None
    largest = expected.double().abs().max().item()
    error = (found.double() - expected.double()).abs().max().item()
    if not math.isfinite(largest):
        return "cannot be compared: the network gives NaN or infinite values"
    if not error <= TOLERANCE * largest:
        return f"differs from the network by {error / (largest or 1):.1e} of its largest value"
    return None
