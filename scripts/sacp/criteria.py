"""Which channels of a group are kept: an order, best first. The kept set of any ratio is its head: sets are nested."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sacp.graph import CONV, Graph, Node
from sacp.space import kept_counts

Norms = list[NDArray[np.float64]]  # per group, the L1 norm of each channel, [C_g]
Order = list[NDArray[np.int64]]  # per group, channel numbers from the most to the least important, [C_g]
Kept = list[NDArray[np.int64]]  # per group, the kept channel numbers in ascending order


def l1_norms(network: nn.Module, graph: Graph) -> Norms:
    """L1 norm of each channel's filter (Li et al. 2016), summed over the convolutions of the group, per group [C_g]."""
    norms = []
    for group in graph.groups:
        total: Tensor = torch.zeros(group.channels, dtype=torch.float64)
        for layer in group.layers:
            weight = network.get_submodule(layer).get_parameter("weight").detach()  # [C_out, C_in, k, k]
            total += weight.double().abs().sum(dim=(1, 2, 3)).cpu()
        norms.append(total.numpy())
    return norms


def l1_order(network: nn.Module, graph: Graph) -> Order:
    """Channels by falling L1 norm; equal norms in the order of their numbers."""
    return highest_first(l1_norms(network, graph))


def random_order(graph: Graph, rng: np.random.Generator) -> Order:
    """A uniformly random order of each group's channels."""
    return [rng.permutation(channels) for channels in graph.channels]


def highest_first(scores: Sequence[NDArray[np.float64]]) -> Order:
    """Channels by falling score, per group [C_g]; equal scores in the order of their numbers."""
    return [np.argsort(-values, kind="stable") for values in scores]


def kept_mass(norms: Norms, counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Share of each group's L1 mass that its `counts` largest channels hold, counts [n, G] -> [n, G]."""
    shares = [np.cumsum(np.sort(values)[::-1]) / values.sum() for values in norms]
    return np.stack([share[counts[:, group] - 1] for group, share in enumerate(shares)], axis=1)


def log_mass_by_step(norms: Norms, levels: int) -> NDArray[np.float64]:
    """Log of the share of each group's L1 mass that is kept at each step, [G, levels]."""
    steps = np.repeat(np.arange(levels)[:, None], len(norms), axis=1)  # [levels, G]
    shares = kept_mass(norms, kept_counts(steps, [len(values) for values in norms], levels))
    logs: NDArray[np.float64] = np.log(shares).T
    return logs


def log_mass_weights(graph: Graph, channels: float = 0.5, positions: float = 0) -> NDArray[np.float64]:
    """Weights of the groups' log masses in the score `log-mass`: a sum over the group's layers, [G].

    A layer of C channels that computes P positions has the weight C^channels * P^positions.
    """
    computed = {node.name: _positions(node) for node in graph.nodes if node.kind == CONV}
    weights: NDArray[np.float64] = np.array(
        [
            sum(group.channels**channels * computed[layer] ** positions for layer in group.layers)
            for group in graph.groups
        ]
    )
    return weights


def log_mass_values(
    graph: Graph, norms: Norms, levels: int, channels: float = 0.5, positions: float = 0
) -> NDArray[np.float64]:
    """What each group adds to the score `log-mass` at each step, with these exponents of the weights, [G, levels]."""
    values: NDArray[np.float64] = log_mass_weights(graph, channels, positions)[:, None] * log_mass_by_step(
        norms, levels
    )
    return values


def _positions(conv: Node) -> float:
    """Positions that a convolution computes: multiply-accumulates for each of its weights."""
    if conv.params_pair:
        return conv.flops_pair / conv.params_pair
    return conv.flops_channel / conv.params_channel  # depthwise; a bias, if there is one, counts as a weight


def kept_channels(order: Order, counts: NDArray[np.int64]) -> Kept:
    """The first `counts[g]` channels of each group's order, in ascending order."""
    return [np.sort(channels[:count]) for channels, count in zip(order, counts, strict=True)]
