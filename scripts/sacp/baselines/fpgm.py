"""FPGM: channels near the geometric median of their layer are the replaceable ones.

He et al., Filter Pruning via Geometric Median for Deep Convolutional Neural Networks Acceleration, CVPR 2019, section
3.3.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sacp.network.graph import Graph, places
from sacp.pruning.criteria import Order, filters, highest_first


def orders(network: nn.Module, graph: Graph, batches: Sequence[Tensor], seed: int) -> Order:
    """Channels of each group, those farthest from all others first."""
    return highest_first(scores(network, graph))


def scores(network: nn.Module, graph: Graph) -> list[NDArray[np.float64]]:
    """Sum of the Euclidean distances of each channel's filter to all others of its group (eq. 5), per group [C_g].

    The filter of a channel of several convolutions is all of their filters for it, one after the other.
    """
    found = []
    for number, group in enumerate(graph.groups):
        parts = []
        for layer, weight in filters(network, group).items():
            elements, channels = places(graph.node(layer).outputs, number)
            rows = torch.as_tensor(elements[np.argsort(channels, kind="stable")])
            parts.append(weight.double().flatten(1).cpu()[rows].reshape(group.channels, -1))
        of_channels = torch.cat(parts, dim=1)  # [C_g, values]
        distances = torch.cdist(of_channels, of_channels, compute_mode="donot_use_mm_for_euclid_dist")
        found.append(distances.sum(dim=1).numpy())
    return found
