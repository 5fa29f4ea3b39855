"""Criteria that need no images: the largest filters, or chance."""

from collections.abc import Sequence

import numpy as np
from torch import Tensor, nn

from sacp.network.graph import Graph
from sacp.pruning.criteria import Order, l1_order, random_order


def l1(network: nn.Module, graph: Graph, batches: Sequence[Tensor], seed: int) -> Order:
    """Channels of each group by falling L1 norm of their filters."""
    return l1_order(network, graph)


def random(network: nn.Module, graph: Graph, batches: Sequence[Tensor], seed: int) -> Order:
    """Channels of each group in a random order."""
    return random_order(graph, np.random.default_rng(seed))
