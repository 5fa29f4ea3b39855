"""Scores that look at no weights: what a search is compared with."""

import numpy as np
from numpy.typing import NDArray
from torch import nn

from sacp.network.graph import Graph


def pruning_ratio(network: nn.Module, graph: Graph, levels: int) -> NDArray[np.float64]:
    """Minus R of eq. 1, the least pruned first: what each group adds at each step, [G, levels]."""
    weights = np.array(graph.weights, np.float64)
    ratios: NDArray[np.float64] = weights[:, None] * np.arange(levels) / (levels * weights.sum())
    return -ratios


def random(network: nn.Module, graph: Graph, levels: int) -> NDArray[np.float64]:
    """Zero for all, [G, levels]: of equal scores the earlier candidates come first, and those were drawn at random."""
    return np.zeros((len(graph.groups), levels))
