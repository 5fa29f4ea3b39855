"""Which channels of a group are kept: an order, best first. Any ratio keeps the start of it: kept sets are nested."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sacp.errors import InputError
from sacp.network.graph import Graph, Group, Kept, Scales, places
from sacp.network.surgery import weight_axes
from sacp.pruning.space import Steps, kept_counts

Norms = list[NDArray[np.float64]]  # per group, the L1 norm of each channel, [C_g]
Order = list[NDArray[np.int64]]  # per group, channel numbers from the most to the least important, [C_g]

PART = 1 << 17  # weights whose norms are added up at once: 1 MiB in float64


@dataclass(frozen=True)
class Rescaled:
    """What a criterion returns that also rescales what is left: an order, and factors once channels are chosen."""

    order: Order
    scales: Callable[[Kept], Scales]


def l1_norms(network: nn.Module, graph: Graph) -> Norms:
    """L1 norm of each channel's filter (Li et al. 2016), summed over the convolutions of the group, per group [C_g].

    Raises:
        InputError: weights are not finite.
    """
    norms = []
    for number, group in enumerate(graph.groups):
        total: Tensor = torch.zeros(group.channels, dtype=torch.float64)
        for layer, weight in filters(network, group).items():
            own = _l1_of_rows(weight.flatten(1)).cpu()
            if not own.isfinite().all():
                wrong = int(own.isfinite().logical_not().sum())
                found = f"{wrong} of {len(own)} filters of layer '{layer}' hold NaN or infinite weights"
                raise InputError(f"network: {found}; expected finite ones")
            elements, channels = places(graph.node(layer).outputs, number)
            total.index_add_(0, torch.as_tensor(channels), own[torch.as_tensor(elements)])
        norms.append(total.numpy())
    return norms


def _l1_of_rows(weight: Tensor) -> Tensor:
    """L1 norm of each row in float64, [C, n] -> [C].

    By parts that fit in the cache, each of whole rows: the same bits as of a copy of the whole, in a fraction of the
    time. No part is a single row, unless it is the only one: torch adds up a row that is alone in another order where
    it has several threads.
    """
    parts = max(1, min(len(weight) // 2, weight.numel() // PART))
    return torch.cat([part.abs().double().sum(dim=1) for part in weight.tensor_split(parts)])


def filters(network: nn.Module, group: Group) -> dict[str, Tensor]:
    """The weights of a group's layers by name, output channels first, [C_out, ...]."""
    layers = {layer: network.get_submodule(layer) for layer in group.layers}
    return {
        name: layer.get_parameter("weight").detach().movedim(weight_axes(layer)[0], 0) for name, layer in layers.items()
    }


def l1_order(network: nn.Module, graph: Graph) -> Order:
    """Channels by falling L1 norm; equal norms in the order of their numbers."""
    return highest_first(l1_norms(network, graph))


def random_order(graph: Graph, rng: np.random.Generator) -> Order:
    """A uniformly random order of each group's channels."""
    return [rng.permutation(channels) for channels in graph.channels]


def highest_first(scores: Sequence[NDArray[np.float64]]) -> Order:
    """Channels by falling score, per group [C_g]; equal scores in the order of their numbers."""
    return [np.argsort(-values, kind="stable") for values in scores]


def kept_channels(order: Order, counts: NDArray[np.int64]) -> Kept:
    """The first `counts[g]` channels of each group's order, in ascending order."""
    return [np.sort(channels[:count]) for channels, count in zip(order, counts, strict=True)]


def kept_of(steps: Steps, order: Order, graph: Graph, levels: int) -> Kept:
    """Kept channels of one configuration [G] under a channel order."""
    return kept_channels(order, kept_counts(steps, graph, levels))
