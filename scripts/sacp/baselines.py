"""Baselines at the FLOPs of another method's winner. Each ends in the kept channels of every group."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sacp import criteria, fpgm, hrank, slimming, thinet
from sacp.batches import Normalizer, evaluation_batches
from sacp.cost import costs_of_counts
from sacp.data import Splits
from sacp.errors import InputError
from sacp.graph import Graph
from sacp.seeds import derive
from sacp.space import Space, Steps, kept_counts

TOLERANCE = 0.02  # of the FLOPs to match
GRAIN = 1000  # steps of the uniform ratio
DRAWS = 100_000  # configurations drawn at a time
MOST_DRAWS = 10_000_000
BATCH = 100  # images that a criterion looks at at a time
SEEN = {"hrank": hrank.IMAGES, "thinet": thinet.IMAGES}  # images that a criterion looks at, of those that have any


def select(
    settings: Mapping[str, Any], base: nn.Module, graph: Graph, target_flops: int, seed: int,
    splits: Splits | None = None, sparse: nn.Module | None = None,
) -> criteria.Kept:  # fmt: skip
    """Kept channels of a baseline within 2 % of the target's FLOPs.

    Args:
        settings: `kind` (uniform, random or slimming), `criterion` and `space`.
        base: the base, in evaluation mode.
        graph: its graph.
        target_flops: FLOPs to match.
        seed: of what the baseline draws.
        splits: the data, for criteria that look at images.
        sparse: the sparsely trained network, for `slimming`.

    Raises:
        InputError: nothing within 2 % was found.
    """
    if settings["kind"] == "slimming":
        assert sparse is not None
        scores = slimming.scales(sparse, graph)
        counts = threshold_counts(graph, scores, target_flops)
        return criteria.kept_channels(criteria.highest_first(scores), counts)
    if settings["kind"] == "uniform":
        counts = uniform_counts(graph, target_flops)
    else:
        levels = settings["space"]["levels"]
        space = Space.build(graph.weights, levels, settings["space"]["threshold"])
        counts = kept_counts(random_steps(graph, space, target_flops, seed), graph.channels, levels)
    # ASSUME: baselines keep channels by L1 norm, as a candidate does, to differ by their ratios alone.
    order = channel_order(settings["criterion"], base, graph, seed, splits)
    return criteria.kept_channels(order, counts)


def channel_order(
    criterion: str, network: nn.Module, graph: Graph, seed: int, splits: Splits | None = None
) -> criteria.Order:
    """Channels of each group, best first, by a criterion: l1, random, fpgm, hrank or thinet.

    Args:
        criterion: its name.
        network: the base, in evaluation mode.
        graph: its graph.
        seed: of what the criterion draws.
        splits: the data, for criteria that look at images (`SEEN`); they see images of the training part.
    """
    if criterion == "l1":
        return criteria.l1_order(network, graph)
    if criterion == "random":
        return criteria.random_order(graph, np.random.default_rng(seed))
    if criterion == "fpgm":
        return criteria.highest_first(fpgm.scores(network, graph))
    assert splits is not None
    batches = sampled_images(splits, SEEN[criterion], seed, next(network.parameters()).device)
    if criterion == "hrank":
        return criteria.highest_first(hrank.scores(network, graph, batches))
    return thinet.orders(network, graph, batches, seed)


def sampled_images(splits: Splits, number: int, seed: int, device: torch.device) -> list[Tensor]:
    """Normalised training images in batches [B, C, H, W], drawn at random, on a device."""
    drawn = torch.randperm(len(splits.train.labels), generator=torch.Generator().manual_seed(seed))[:number]
    normalizer = Normalizer(splits.mean, splits.std, device)
    found = [images for images, _ in evaluation_batches(splits.train.part(drawn), normalizer)]
    return [batch for images in found for batch in images.split(BATCH)]


def uniform_counts(graph: Graph, target_flops: int) -> NDArray[np.int64]:
    """Kept channels [G] of one ratio for all groups, at the target's FLOPs (L1-Norm pruning, Li et al. 2016).

    Channels are whole: where the nearest ratio misses the tolerance, single channels are added or removed, each time
    the one that brings the FLOPs nearest.

    Raises:
        InputError: no such network is within 2 % of the target.
    """
    channels = np.array(graph.channels, np.int64)
    ratios = np.arange(GRAIN)[:, None] * np.ones_like(channels)  # [GRAIN, G]
    counts = kept_counts(ratios, channels, GRAIN)
    return approached(graph, counts, target_flops, "uniform ratio")


def approached(graph: Graph, counts: NDArray[np.int64], target_flops: int, what: str) -> NDArray[np.int64]:
    """The row of counts [n, G] that is nearest to the target's FLOPs, moved nearer by single channels if need be."""
    channels = np.array(graph.channels, np.int64)
    best: NDArray[np.int64] = counts[_nearest(graph, counts, target_flops)]
    moves = np.concatenate([np.eye(len(channels), dtype=np.int64), -np.eye(len(channels), dtype=np.int64)])
    while _gap(graph, best[None], target_flops)[0] > TOLERANCE:
        neighbours = np.clip(best + moves, 1, channels)
        step = neighbours[_nearest(graph, neighbours, target_flops)]
        if _gap(graph, step[None], target_flops) >= _gap(graph, best[None], target_flops):
            raise InputError(_no_match(what, target_flops, _gap(graph, best[None], target_flops)[0]))
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
    falling = [np.sort(values) for values in scores]
    thresholds = np.unique(np.concatenate(scores))
    counts = [len(values) - np.searchsorted(values, thresholds) for values in falling]
    return approached(graph, np.maximum(np.stack(counts, axis=1), 1), target_flops, "threshold for all groups")


def random_steps(graph: Graph, space: Space, target_flops: int, seed: int) -> Steps:
    """A configuration [G], uniform over those of the space whose FLOPs are within 2 % of the target.

    Raises:
        InputError: ten million draws met none.
    """
    smallest = np.inf
    for attempt in range(MOST_DRAWS // DRAWS):
        steps = space.draw(DRAWS, derive(seed, attempt))
        gaps = _gap(graph, kept_counts(steps, graph.channels, space.levels), target_flops)
        if (gaps <= TOLERANCE).any():
            match: Steps = steps[int(np.argmax(gaps <= TOLERANCE))]
            return match
        smallest = min(smallest, float(gaps.min()))
    raise InputError(_no_match(f"random configuration among {MOST_DRAWS}", target_flops, smallest))


def _gap(graph: Graph, counts: NDArray[np.int64], target_flops: int) -> NDArray[np.float64]:
    """Relative distance of the FLOPs to the target, [M, G] -> [M]."""
    return np.abs(costs_of_counts(graph, counts)[0] / target_flops - 1)


def _nearest(graph: Graph, counts: NDArray[np.int64], target_flops: int) -> int:
    return int(np.argmin(_gap(graph, counts, target_flops)))


def _no_match(what: str, target_flops: int, gap: float) -> str:
    return (
        f"baseline: no {what} within {TOLERANCE:.0%} of {target_flops} FLOPs; the nearest is {gap:.1%} off. "
        "Expected a wider network or a finer granularity (space.levels)"
    )
