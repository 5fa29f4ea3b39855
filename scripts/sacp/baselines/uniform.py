"""One ratio for all groups (L1-Norm pruning, Li et al. 2016)."""

import numpy as np
from numpy.typing import NDArray

from sacp.baselines.match_flops import approached
from sacp.baselines.task import Task
from sacp.network.graph import Graph, Kept
from sacp.pruning.criteria import kept_channels
from sacp.pruning.space import counts_by_step

GRAIN = 1000  # steps of the ratio


def select(task: Task) -> Kept:
    """Kept channels: the same ratio everywhere, the best channels by the criterion."""
    return kept_channels(task.order, counts(task.graph, task.target_flops))


def counts(graph: Graph, target_flops: int) -> NDArray[np.int64]:
    """Kept channels [G] of one ratio for all groups, at the target's FLOPs.

    Channels are whole: where the nearest ratio misses the tolerance, single channels are added or removed, each time
    the one that brings the FLOPs nearest.

    Raises:
        InputError: no such network is within 2 % of the target.
    """
    return approached(graph, counts_by_step(graph, GRAIN).T, target_flops, "uniform ratio")
