"""The part of a network that a method prunes, where that is less than all groups."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from sacp.baselines.inner import Marks
from sacp.baselines.match_flops import BAND, above, approached, gaps, moved
from sacp.network.cost import costs_of_counts
from sacp.network.graph import Graph
from sacp.pruning.space import rounded


def narrowed(graph: Graph, free: Marks) -> Graph:
    """The same graph, in which groups that are not free keep all their channels; free ones, [G]."""
    own = (
        group if is_free else replace(group, least=group.channels)
        for group, is_free in zip(graph.groups, free, strict=True)
    )
    return replace(graph, groups=tuple(own))


def nearest(graph: Graph, counts: NDArray[np.int64], target_flops: int, what: str) -> NDArray[np.int64]:
    """As `match_flops.approached`; where a narrowed graph has no network so small, its smallest.

    Args:
        graph: the graph, in which groups that are not pruned keep all their channels.
        counts: kept channels, [n, G].
        target_flops: FLOPs to match.
        what: what is sought, for a message.

    Raises:
        InputError: the smallest network is not too large, but none that was found is within 2 % of the target.
    """
    least: NDArray[np.int64] = rounded(np.zeros(len(graph.groups), np.int64), graph)
    gap = float(gaps(graph, least[None], target_flops)[0])
    if gap > BAND and costs_of_counts(graph, least[None])[0][0] > target_flops:
        return least
    return approached(graph, counts, target_flops, what)


def nearest_counts(
    graph: Graph, scores: Sequence[NDArray[np.float64]], free: Marks, target_flops: int
) -> NDArray[np.int64]:
    """Kept channels [G] of one threshold for all free groups, then single channels, nearest to the target's FLOPs.

    Args:
        graph: the network's graph.
        scores: of the channels of each group, [C_g]; those of other groups do not count.
        free: groups that lose channels, [G].
        target_flops: FLOPs to come near, however far they are.
    """
    thresholds = np.unique(np.concatenate([values for values, is_free in zip(scores, free, strict=True) if is_free]))
    # One above all of them too: the least that groups keep may be nearer still.
    thresholds = np.append(thresholds, np.nextafter(thresholds[-1], np.inf))
    return moved(narrowed(graph, free), above(scores, thresholds), target_flops)
