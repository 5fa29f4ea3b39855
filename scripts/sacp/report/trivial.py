"""What is known of a pruned network from its shape and the base's weights alone: the least that a score has to beat."""

import numpy as np
from numpy.typing import NDArray
from torch import nn

from sacp.network.cost import costs_of_counts
from sacp.network.graph import Graph
from sacp.pruning.space import Steps, kept_counts, pruning_ratio
from sacp.search.log_mass import group_weights, kept_mass, masses


def trivial(network: nn.Module, graph: Graph, steps: Steps, levels: int) -> dict[str, NDArray[np.float64]]:
    """Predictors that need neither an encoder nor data, of configurations [n, G], each [n]."""
    counts = kept_counts(steps, graph, levels)
    flops, parameters = costs_of_counts(graph, counts)
    mass = np.log(kept_mass(masses(network, graph), counts))  # [n, G]
    layers = np.array([len(group.layers) for group in graph.groups])
    return {
        "minus pruning ratio": -pruning_ratio(steps, graph.weights, levels),
        "FLOPs": flops.astype(np.float64),
        "parameters": parameters.astype(np.float64),
        "kept L1 mass, mean": np.exp(mass) @ layers / layers.sum(),
        "kept L1 mass, sum of logs": mass @ layers,
        "kept L1 mass, sum of sqrt(C) logs": mass @ group_weights(graph),
    }
