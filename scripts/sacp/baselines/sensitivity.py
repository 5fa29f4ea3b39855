"""Sensitivity: channels on which the logits depend most stay, by gradients on images without labels."""

from collections.abc import Sequence

from torch import Tensor, nn

from sacp.network.graph import Graph
from sacp.pruning.criteria import Order, highest_first
from sacp.pruning.sensitivity import measure


def orders(network: nn.Module, graph: Graph, batches: Sequence[Tensor], seed: int) -> Order:
    """Channels of each group, those of the highest sensitivity (`pruning.sensitivity`) first.

    Args:
        network: the network, which is looked at in evaluation mode.
        graph: its graph.
        batches: normalised images [B, C, H, W] on the network's device.
        seed: of the random directions of the logits.
    """
    return highest_first(measure(network, graph, batches, seed).channels)
