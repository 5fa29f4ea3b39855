"""What a baseline is given to choose kept channels with."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from torch import Tensor, nn

from sacp.baselines.match_flops import TOLERANCE, gaps
from sacp.errors import InputError
from sacp.images.splits import Splits
from sacp.network.cost import costs_of_counts
from sacp.network.graph import Graph, Kept, Scales
from sacp.pruning.criteria import Order
from sacp.pruning.ordering import Ordering
from sacp.pruning.returned import by_group, fault_of_channels
from sacp.pruning.space import Space, rounded


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
    def ordering(self) -> Ordering:
        """What the criterion makes of the base."""
        return Ordering(self.base, self.graph, self.criterion, self.splits, self.seed)

    @property
    def order(self) -> Order:
        """Channels of each group by the criterion, best first."""
        return self.ordering.order

    def scales(self, kept: Kept) -> Scales | None:
        """Factors of kept channels by the criterion, per group [C_kept]; None if it rescales nothing."""
        return self.ordering.scales(kept)

    def images(self, number: int) -> list[Tensor]:
        """Normalised images [B, C, H, W] of the training part, drawn at random, on the base's device."""
        return self.ordering.images(number)


def checked(kept: Any, task: Task, function: str) -> Kept:
    """What a baseline returned; `InputError` if it keeps channels that do not exist, or misses the FLOPs."""
    try:
        found = [np.unique(channels) for channels in by_group(kept, task.graph, fault_of_channels)]
    except InputError as error:
        raise InputError(
            f"'{function}': {error}; expected the kept channel numbers of each group, at least one of "
            f"{task.graph.channels}"
        ) from None
    counts = np.array([[len(channels) for channels in found]], np.int64)
    for group, number, nearest in zip(task.graph.groups, counts[0], rounded(counts[0], task.graph), strict=True):
        if number != nearest:
            raise InputError(
                f"'{function}': it keeps {number} channels of group '{group.name}'; expected a multiple of "
                f"{group.multiple} and {group.least} at least, or all {group.channels} (space.round_to, space.at_least)"
            )
    off = float(gaps(task.graph, counts, task.target_flops)[0])
    if off > TOLERANCE:
        flops = int(costs_of_counts(task.graph, counts)[0][0])
        raise InputError(
            f"'{function}': its kept channels take {flops} FLOPs, {off:.1%} off; expected channels within "
            f"{TOLERANCE:.0%} of {task.target_flops} FLOPs (task.target_flops)"
        )
    return found
