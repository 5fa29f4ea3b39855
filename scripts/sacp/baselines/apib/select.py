"""Which channels one penalty for all groups leaves, at the FLOPs of the matched winner."""

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sacp.baselines.apib.kernels import products
from sacp.baselines.apib.lasso import Lasso
from sacp.baselines.inner import is_inner
from sacp.baselines.learning import Learned, LongTask
from sacp.baselines.match_flops import BAND, gaps
from sacp.baselines.spaces import narrowed, nearest
from sacp.errors import InputError
from sacp.network.cost import costs_of_counts
from sacp.network.graph import Graph, Kept
from sacp.pruning.criteria import Order, kept_channels
from sacp.pruning.space import rounded

STEPS = 40  # of the bisection, at most
Ordered = tuple[Order, NDArray[np.int64]]  # channels of each group, best first, and how many of them are left, [G]
COLUMNS = ("penalty", "flops")  # of the history: what was tried
log = logging.getLogger(__name__)


def select(task: LongTask) -> Learned:
    """Kept channels by the kernels of one batch of training images."""
    own, images = task.options, torch.cat(task.images(task.options["images"]))
    kept, tried = kept_by_penalty(
        task.base, task.graph, images, task.target_flops, own["positive"], own["sums"], task.seed
    )
    return Learned(kept, tried, [], columns=COLUMNS, nearest=task.misses(kept))


def kept_by_penalty(
    network: nn.Module, graph: Graph, images: Tensor, target_flops: int, positive: bool, sums: bool, seed: int
) -> tuple[Kept, list[dict[str, Any]]]:
    """Kept channels by one penalty for all groups, at the target's FLOPs by single channels, and rows of `COLUMNS`.

    Where the groups that are pruned have no network there, the nearest.

    Args:
        network: the base.
        graph: its graph.
        images: one batch [b, C, H, W], normalised, on the network's device.
        target_flops: FLOPs to match.
        positive: whether no coefficient may be negative, as HSIC Lasso has it; the authors' code lets them.
        sums: whether groups of several layers, the streams of residual networks, are pruned too.
        seed: of what the network draws in training.

    Raises:
        InputError: no group can be pruned.
    """
    free = is_inner(graph) | sums
    if not free.any():
        raise InputError("apib: all channels of the network are summed; expected apib.sums: true, which prunes them")
    found = products(network, graph, np.flatnonzero(free).tolist(), images, seed)
    lassos = {group: Lasso(each, positive) for group, each in found.items()}
    (order, counts), tried = _bisected(narrowed(graph, free), lassos, target_flops)
    return kept_channels(order, nearest(graph, counts[None], free, target_flops)), tried


def _bisected(graph: Graph, lassos: Mapping[int, Lasso], target_flops: int) -> tuple[Ordered, list[dict[str, Any]]]:
    """The order and the numbers of channels at the penalty whose FLOPs are nearest to the target, and all tried."""
    low, high, tried = 0.0, max(lasso.least_penalty for lasso in lassos.values()), list[Ordered]()
    rows = list[dict[str, Any]]()
    for step in range(STEPS):
        penalty = (low + high) / 2
        tried.append(_at(penalty, graph, lassos))
        flops = int(costs_of_counts(graph, tried[-1][1][None])[0][0])
        rows.append({"penalty": penalty, "flops": flops})
        log.info("penalty %.3e (%d of at most %d): %d FLOPs, target %d", penalty, step + 1, STEPS, flops, target_flops)
        if abs(flops / target_flops - 1) <= BAND:
            break
        low, high = (penalty, high) if flops > target_flops else (low, penalty)
    off = gaps(graph, np.stack([counts for _, counts in tried]), target_flops)
    return tried[int(np.argmin(off))], rows


def _at(penalty: float, graph: Graph, lassos: Mapping[int, Lasso]) -> Ordered:
    """What a penalty leaves of the groups that are pruned; groups without a Lasso are left whole."""
    order: Order = [np.arange(channels) for channels in graph.channels]
    counts = np.array(graph.channels, np.int64)
    for group, lasso in lassos.items():
        order[group], counts[group] = lasso.ordered(penalty)
    return order, rounded(counts, graph)
