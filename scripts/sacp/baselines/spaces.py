"""The part of a network that a method prunes, where that is less than all groups."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from sacp.baselines.inner import Marks
from sacp.baselines.match_flops import above, moved
from sacp.network.graph import Graph


def narrowed(graph: Graph, free: Marks) -> Graph:
    """The same graph, in which groups that are not free keep all their channels; free ones, [G]."""
    own = (
        group if is_free else replace(group, least=group.channels)
        for group, is_free in zip(graph.groups, free, strict=True)
    )
    return replace(graph, groups=tuple(own))


def nearest(graph: Graph, counts: NDArray[np.int64], free: Marks, target_flops: int) -> NDArray[np.int64]:
    """The row of counts nearest to the target's FLOPs, then single channels of free groups, however far it stays off.

    Args:
        graph: the network's graph.
        counts: kept channels, [n, G]; the least that groups can keep is tried as well.
        free: groups that lose channels, [G].
        target_flops: FLOPs to come near.
    """
    least = np.zeros((1, len(graph.groups)), np.int64)
    return moved(narrowed(graph, free), np.concatenate([counts, least]), target_flops)


def nearest_counts(
    graph: Graph, scores: Sequence[NDArray[np.float64]], free: Marks, target_flops: int
) -> NDArray[np.int64]:
    """As `nearest`, of one threshold for the scores of all free groups, each [C_g]; those of others do not count."""
    thresholds = np.unique(np.concatenate([values for values, is_free in zip(scores, free, strict=True) if is_free]))
    return nearest(graph, above(scores, thresholds), free, target_flops)
