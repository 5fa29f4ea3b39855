"""Networks at the FLOPs of another method's winner: within 1 % if there are any, within 2 % otherwise."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sacp.errors import InputError
from sacp.network.cost import costs_of_counts
from sacp.network.graph import Graph
from sacp.pruning.space import rounded

BAND = 0.01  # of the FLOPs to match, on either side: any two that match the same winner are within 2 % of each other
TOLERANCE = 0.02  # for a baseline that has no network in the band


def approached(graph: Graph, counts: NDArray[np.int64], target_flops: int, what: str) -> NDArray[np.int64]:
    """The row of counts [n, G] nearest to the target's FLOPs, moved into the band by single channels if need be.

    Where kept channels are rounded, they and the moves are as well.

    Raises:
        InputError: the nearest that was found is more than 2 % off.
    """
    best = moved(graph, counts, target_flops)
    gap = gaps(graph, best[None], target_flops)[0]
    if gap > TOLERANCE:
        raise InputError(no_match(what, target_flops, gap))
    return best


def moved(graph: Graph, counts: NDArray[np.int64], target_flops: int) -> NDArray[np.int64]:
    """As `approached`, however far the nearest is off."""
    counts = rounded(counts, graph)
    best: NDArray[np.int64] = counts[_nearest(graph, counts, target_flops)]
    unit = np.eye(len(best), dtype=np.int64)
    while (gap := gaps(graph, best[None], target_flops)[0]) > BAND:
        neighbours = rounded(np.concatenate([best + unit * graph.rounding, best - unit]), graph)
        step = neighbours[_nearest(graph, neighbours, target_flops)]
        if gaps(graph, step[None], target_flops)[0] >= gap:
            break
        best = step
    return best


def threshold_counts(graph: Graph, scores: Sequence[NDArray[np.float64]], target_flops: int) -> NDArray[np.int64]:
    """Kept channels [G] of one threshold for all groups, at the target's FLOPs; a group keeps one at least.

    Args:
        graph: the network's graph.
        scores: of the channels of each group, [C_g].
        target_flops: FLOPs to match.

    Raises:
        InputError: no such network is within 2 % of the target.
    """
    counts = above(scores, np.unique(np.concatenate(scores)))
    return approached(graph, np.maximum(counts, 1), target_flops, "threshold for all groups")


def above(scores: Sequence[NDArray[np.float64]], thresholds: NDArray[np.float64]) -> NDArray[np.int64]:
    """How many channels of each group have a score of at least each threshold, [n] -> [n, G]."""
    rising = [np.sort(values) for values in scores]
    return np.stack([len(values) - np.searchsorted(values, thresholds) for values in rising], axis=1)


def nearest_threshold(graph: Graph, scores: Sequence[NDArray[np.float64]], target_flops: int) -> NDArray[np.int64]:
    """Kept channels [G] of the one threshold for all groups that is nearest to the target's FLOPs, however far.

    Args:
        graph: the network's graph.
        scores: of the channels of each group, [C_g].
        target_flops: FLOPs to come near.
    """
    rows = rounded(above(scores, np.unique(np.concatenate(scores))), graph)
    nearest: NDArray[np.int64] = rows[_nearest(graph, rows, target_flops)]
    return nearest


def gaps(graph: Graph, counts: NDArray[np.int64], target_flops: int) -> NDArray[np.float64]:
    """Relative distance of the FLOPs to the target, [M, G] -> [M]."""
    return np.abs(costs_of_counts(graph, counts)[0] / target_flops - 1)


def _nearest(graph: Graph, counts: NDArray[np.int64], target_flops: int) -> int:
    return int(np.argmin(gaps(graph, counts, target_flops)))


def no_match(what: str, target_flops: int, gap: float) -> str:
    """A message: what was sought, and by which share of the FLOPs the nearest one misses them."""
    return (
        f"baseline: no {what} within {TOLERANCE:.0%} of {target_flops} FLOPs; the nearest is {gap:.1%} off. "
        "Expected a wider network, a finer granularity (space.levels) or finer rounding (space.round_to)"
    )
