"""The score `log-mass`: a weighted sum over layers of ln(kept share of the L1 mass). It needs no encoder, no images."""

import numpy as np
from numpy.typing import NDArray
from torch import nn

from sacp.errors import InputError
from sacp.network.graph import CONV, LINEAR, Graph, Node
from sacp.pruning.criteria import Norms, l1_norms
from sacp.pruning.space import counts_by_step


def values(
    network: nn.Module, graph: Graph, levels: int, channels: float = 0.5, positions: float = 0
) -> NDArray[np.float64]:
    """What each group adds to the score at each step, with these exponents of the weights, [G, levels]."""
    return values_of(masses(network, graph), graph, levels, channels, positions)


def values_of(
    norms: Norms, graph: Graph, levels: int, channels: float = 0.5, positions: float = 0
) -> NDArray[np.float64]:
    """As `values`, from `masses` that are known already."""
    weights = group_weights(graph, channels, positions)
    found: NDArray[np.float64] = weights[:, None] * log_mass_by_step(norms, graph, levels)
    return found


def masses(network: nn.Module, graph: Graph) -> Norms:
    """L1 norm of each channel, per group [C_g], of which each group keeps a share.

    Raises:
        InputError: there is nothing of which to keep a share, as all weights of a group are 0.
    """
    norms = l1_norms(network, graph)
    for group, values in zip(graph.groups, norms, strict=True):
        if not values.any():
            layers = " and ".join(f"'{layer}'" for layer in group.layers)
            raise InputError(
                f"network: all weights of {layers} are 0, so none of the channels is worth more than others; "
                "expected trained weights"
            )
    return norms


def kept_mass(norms: Norms, counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Share of each group's L1 mass that its `counts` largest channels hold, counts [n, G] -> [n, G]."""
    shares = [np.cumsum(np.sort(values)[::-1]) / values.sum() for values in norms]
    return np.stack([share[counts[:, group] - 1] for group, share in enumerate(shares)], axis=1)


def log_mass_by_step(norms: Norms, graph: Graph, levels: int) -> NDArray[np.float64]:
    """Log of the share of each group's L1 mass that is kept at each step, [G, levels]."""
    shares = kept_mass(norms, counts_by_step(graph, levels).T)
    logs: NDArray[np.float64] = np.log(shares).T
    return logs


def group_weights(graph: Graph, channels: float = 0.5, positions: float = 0) -> NDArray[np.float64]:
    """Weights of the groups' log masses in the score `log-mass`: a sum over the group's layers, [G].

    A layer of C channels that computes P positions has the weight C^channels * P^positions.
    """
    computed = {node.name: _positions(node) for node in graph.nodes if node.kind in (CONV, LINEAR)}
    weights: NDArray[np.float64] = np.array(
        [
            sum(
                (group.channels * copies) ** channels * computed[layer] ** positions
                for layer, copies in zip(group.layers, group.copies, strict=True)
            )
            for group in graph.groups
        ]
    )
    return weights


def _positions(conv: Node) -> float:
    """Positions that a layer computes: multiply-accumulates for each of its weights."""
    if conv.params_pair:
        return conv.flops_pair / conv.params_pair
    return conv.flops_channel / conv.params_channel  # depthwise; a bias, if there is one, counts as a weight
