"""HRank: channels whose feature maps have a low rank carry little information.

Lin et al., HRank: Filter Pruning using High-Rank Feature Map, CVPR 2020, section 3.2.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sacp.network.graph import BATCH_NORM, Graph
from sacp.pruning.criteria import Order, highest_first


def orders(network: nn.Module, graph: Graph, batches: Sequence[Tensor], seed: int) -> Order:
    """Channels of each group, those whose feature maps have the highest rank first."""
    return highest_first(scores(network, graph, batches))


def scores(network: nn.Module, graph: Graph, batches: Sequence[Tensor]) -> list[NDArray[np.float64]]:
    """Mean rank of each channel's feature maps (eq. 4), summed over the convolutions of the group, per group [C_g].

    Args:
        network: the network, in evaluation mode.
        graph: its graph.
        batches: normalised images [B, C, H, W] on the network's device.
    """
    # ASSUME: maps are taken after batch norm and ReLU, as in the authors' code; before, nearly all have full rank.
    sources = {layer: _normalised(graph, layer) for group in graph.groups for layer in group.layers}
    totals: dict[str, Tensor] = {}

    def watch(layer: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def look(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            ranks = torch.linalg.matrix_rank(output.relu()).double().sum(dim=0)  # [B, C] -> [C]
            totals[layer] = totals.get(layer, 0) + ranks

        return look

    handles = [network.get_submodule(name).register_forward_hook(watch(layer)) for layer, name in sources.items()]
    try:
        with torch.no_grad():
            for batch in batches:
                network(batch)
    finally:
        for handle in handles:
            handle.remove()
    return [
        torch.stack([totals[layer] for layer in group.layers]).sum(dim=0).div(sum(map(len, batches))).cpu().numpy()
        for group in graph.groups
    ]


def _normalised(graph: Graph, layer: str) -> str:
    """The batch norm that follows a convolution, or the convolution itself where none does."""
    number = next(n for n, node in enumerate(graph.nodes) if node.name == layer)
    following = (graph.nodes[target] for source, target in graph.edges if source == number)
    return next((node.name for node in following if node.kind == BATCH_NORM), layer)
