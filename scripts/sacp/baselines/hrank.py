"""HRank: channels whose feature maps have a low rank carry little information.

Lin et al., HRank: Filter Pruning using High-Rank Feature Map, CVPR 2020, section 3.2.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn

from sacp.baselines.maps import look_at_maps, maps_read
from sacp.errors import InputError
from sacp.network.graph import Graph, places
from sacp.pruning.criteria import Order, highest_first

HALVES = (torch.float16, torch.bfloat16)  # in which no ranks can be taken


def orders(network: nn.Module, graph: Graph, batches: Sequence[Tensor], seed: int) -> Order:
    """Channels of each group, those whose feature maps have the highest rank first."""
    return highest_first(scores(network, graph, batches))


def scores(network: nn.Module, graph: Graph, batches: Sequence[Tensor]) -> list[NDArray[np.float64]]:
    """Mean rank of each channel's feature maps (eq. 4), summed over the convolutions of the group, per group [C_g].

    Maps are those that the next layer reads, as in the authors' code (`rank_generation.py`): after batch norm and ReLU,
    and of a convolution that ends a residual block, or projects its shortcut, after the sum and its ReLU.

    Args:
        network: the network, in evaluation mode.
        graph: its graph.
        batches: normalised images [B, C, H, W] on the network's device.

    Raises:
        InputError: a group has no maps, as that of a linear layer.
    """
    for group in graph.groups:
        if not isinstance(network.get_submodule(group.layers[0]), nn.Conv2d | nn.ConvTranspose2d):
            raise InputError(f"hrank: layer '{group.layers[0]}' gives no feature maps, whose rank could be taken")
    traced = fx.symbolic_trace(network)
    values = {layer: maps_read(traced, layer) for group in graph.groups for layer in group.layers}
    totals: dict[fx.Node, Tensor] = {}

    def look(value: fx.Node, maps: Tensor) -> None:
        ranks = (
            torch.linalg.matrix_rank(maps.float() if maps.dtype in HALVES else maps).double().sum(dim=0)
        )  # [B, C] -> [C]
        totals[value] = totals.get(value, 0) + ranks

    look_at_maps(traced, values.values(), batches, look)
    # DEVIATION: the authors rank and prune each convolution by its own maps; a group is pruned by the sum over its own.
    ranks = []
    for number, group in enumerate(graph.groups):
        total = torch.zeros(group.channels, dtype=torch.float64)
        for layer in group.layers:
            elements, channels = places(graph.node(layer).outputs, number)
            total.index_add_(0, torch.as_tensor(channels), totals[values[layer]].cpu()[torch.as_tensor(elements)])
        ranks.append(total.div(sum(map(len, batches))).numpy())
    return ranks
