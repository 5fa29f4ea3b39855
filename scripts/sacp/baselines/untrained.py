"""Networks that are evaluated as they are pruned, without any training: what agents and evolutions are rewarded by."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from sacp.baselines.episodes import Counts
from sacp.baselines.learning import LongTask
from sacp.images.splits import Images
from sacp.network.cost import costs_of_counts
from sacp.network.graph import Graph, Kept
from sacp.network.surgery import prune
from sacp.pruning.criteria import Order, kept_channels
from sacp.training.evaluation import accuracy_percent
from sacp.training.ranking import ACCURACY

Tried = Sequence[tuple[list[int], float]]  # kept channels, and the reward
Prepare = Callable[[nn.Module, Kept], None]  # what is done to a pruned network before it is evaluated


def validation_part(task: LongTask, number: int) -> Images:
    """So many of the validation images, drawn at random; all if there are no more."""
    images = task.splits.validation
    if number >= len(images.labels):
        return images
    drawn = torch.randperm(len(images.labels), generator=torch.Generator().manual_seed(task.seed))[:number]
    return images.part(drawn.sort().values)


def accuracy_of(task: LongTask, order: Order, images: Images, prepare: Prepare) -> Callable[[Counts], float]:
    """A function: the accuracy, in 0..1, of the base pruned to these counts, [G]."""

    def accuracy(counts: Counts) -> float:
        kept = kept_channels(order, counts)
        pruned = prune(task.base, task.graph, kept)
        prepare(pruned, kept)
        return accuracy_percent(pruned, images, task.splits) / 100

    return accuracy


def rows_of(graph: Graph, tried: Tried) -> list[dict[str, Any]]:
    """A row of `ranking.TUNED_COLUMNS` for each network that was evaluated."""
    flops, parameters = costs_of_counts(graph, np.array([counts for counts, _ in tried], np.int64))
    return [
        {
            "rank": number, "candidate": number, ACCURACY: 100 * value, "flops": int(flops[number]),
            "parameters": int(parameters[number]), "failure": None,
        }
        for number, (_, value) in enumerate(tried)
    ]  # fmt: skip
