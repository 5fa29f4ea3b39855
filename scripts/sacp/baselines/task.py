"""What a baseline is given to choose kept channels with."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sacp import imports
from sacp.baselines.match_flops import TOLERANCE, gaps, no_match
from sacp.errors import InputError
from sacp.images.batches import Normalizer, evaluation_batches
from sacp.images.splits import Splits
from sacp.network.graph import Graph, Kept
from sacp.pruning.criteria import Order
from sacp.pruning.space import Space

BATCH = 100  # images that a criterion looks at at a time


@dataclass(frozen=True)
class Task:
    """Keep channels of the base so that its FLOPs are, within 2 %, those of another method's winner."""

    base: nn.Module  # in evaluation mode
    graph: Graph
    target_flops: int
    seed: int  # of the baseline's random draws
    space: Space
    criterion: Mapping[str, Any] | None = None  # `function`, an import path, and the number of `images` it looks at
    splits: Splits | None = None  # the data, if it looks at images
    sparse: nn.Module | None = None  # the sparsely trained network, if it uses that

    @cached_property
    def order(self) -> Order:
        """Channels of each group by the criterion, best first.

        Raises:
            InputError: the criterion cannot be imported, or does not order the channels.
        """
        assert self.criterion is not None
        function, number = self.criterion["function"], self.criterion["images"]
        found = _by_group(imports.call(function, self.base, self.graph, self.images(number), self.seed))
        right = [
            channels.dtype.kind in "iu" and np.array_equal(np.sort(channels), np.arange(number))
            for channels, number in zip(found, self.graph.channels, strict=False)
        ]
        if len(found) != len(self.graph.groups) or not all(right):
            sizes = [len(channels) for channels in found]
            raise InputError(
                f"criterion '{function}': found orders of {sizes} channels, expected each channel of each group once: "
                f"{self.graph.channels}"
            )
        return found

    def images(self, number: int) -> list[Tensor]:
        """Normalised images [B, C, H, W] of the training part, drawn at random, on the base's device."""
        if not number:
            return []
        assert self.splits is not None
        return sampled_images(self.splits, number, self.seed, next(self.base.parameters()).device)


def checked(kept: Any, task: Task, function: str) -> Kept:
    """What a baseline returned; `InputError` if it keeps channels that do not exist, or misses the FLOPs."""
    found = [np.unique(channels) for channels in _by_group(kept)]
    wrong = [len(found) != len(task.graph.groups)]
    wrong += [
        len(channels) == 0 or channels.dtype.kind not in "iu" or channels[0] < 0 or channels[-1] >= number
        for channels, number in zip(found, task.graph.channels, strict=False)
    ]
    if any(wrong):
        raise InputError(
            f"'{function}': expected the kept channel numbers of each of the {len(task.graph.groups)} groups, at least "
            f"one of {task.graph.channels}; found {len(found)} lists of the lengths {[len(each) for each in found]}"
        )
    counts = np.array([[len(channels) for channels in found]], np.int64)
    off = float(gaps(task.graph, counts, task.target_flops)[0])
    if off > TOLERANCE:
        raise InputError(no_match(f"network by '{function}'", task.target_flops, off))
    return found


def _by_group(found: Any) -> list[NDArray[Any]]:
    """Arrays of what a function returned for each group; none where it returned something else."""
    try:
        return [np.atleast_1d(np.asarray(each)) for each in found]
    except (TypeError, ValueError, RuntimeError):  # torch refuses what requires gradients
        return []


def sampled_images(splits: Splits, number: int, seed: int, device: torch.device) -> list[Tensor]:
    """Normalised training images in batches [B, C, H, W], drawn at random, on a device."""
    drawn = torch.randperm(len(splits.train.labels), generator=torch.Generator().manual_seed(seed))[:number]
    normalizer = Normalizer(splits.mean, splits.std, device)
    found = [images for images, _ in evaluation_batches(splits.train.part(drawn), normalizer)]
    return [batch for images in found for batch in images.split(BATCH)]
