"""FPGM: channels near the geometric median of their layer are the replaceable ones.

He et al., Filter Pruning via Geometric Median for Deep Convolutional Neural Networks Acceleration, CVPR 2019, section
3.3.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sacp.network.graph import Graph
from sacp.pruning.criteria import Order, highest_first


def orders(network: nn.Module, graph: Graph, batches: Sequence[Tensor], seed: int) -> Order:
    """Channels of each group, those farthest from all others first."""
    return highest_first(scores(network, graph))


def scores(network: nn.Module, graph: Graph) -> list[NDArray[np.float64]]:
    """Sum of the Euclidean distances of each channel's filter to all others of its group (eq. 5), per group [C_g].

    The filter of a channel of several convolutions is all of their filters for it, one after the other.
    """
    found = []
    for group in graph.groups:
        weights = [network.get_submodule(layer).get_parameter("weight").detach() for layer in group.layers]
        filters = torch.cat([weight.double().flatten(1) for weight in weights], dim=1)  # [C_g, values]
        found.append(
            torch.cdist(filters, filters, compute_mode="donot_use_mm_for_euclid_dist").sum(dim=1).cpu().numpy()
        )
    return found
