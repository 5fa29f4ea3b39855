"""Network Slimming: channels whose batch norm was trained towards zero are removed, by one threshold for all layers.

Liu et al., Learning Efficient Convolutional Networks through Network Slimming, ICCV 2017, section 3. The sparse
training is a recipe with `bn_l1`; its network only decides what is kept; the weights are the base's, as for every
method here.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from sacp.baselines.match_flops import threshold_counts
from sacp.baselines.task import Task
from sacp.errors import InputError
from sacp.network.graph import BATCH_NORM, Graph, Kept, places
from sacp.pruning.criteria import highest_first, kept_channels


def select(task: Task) -> Kept:
    """Kept channels: those whose scale is above one threshold for all groups."""
    assert task.sparse is not None
    found = scales(task.sparse, task.graph)
    return kept_channels(highest_first(found), threshold_counts(task.graph, found, task.target_flops))


def scales(network: nn.Module, graph: Graph) -> list[NDArray[np.float64]]:
    """Size of each channel's batch norm scale, the mean over the batch norms of the group, per group [C_g].

    Raises:
        InputError: a group has no batch norm.
    """
    found = []
    for number, group in enumerate(graph.groups):
        norms = [node for node in graph.nodes if node.kind == BATCH_NORM and number in node.groups]
        if not norms:
            raise InputError(f"slimming: no batch norm behind '{group.name}'; its channels have no scale to go by")
        by_channel = []
        for norm in norms:
            sizes = network.get_parameter(f"{norm.name}.weight").detach().double().abs().cpu()
            elements, channels = places(norm.outputs, number)
            rows = torch.as_tensor(elements[np.argsort(channels, kind="stable")])
            by_channel.append(sizes[rows].view(group.channels, -1).mean(dim=1))
        found.append(torch.stack(by_channel).mean(dim=0).numpy())
    return found
