"""Methods that remove channels of inner groups alone: which these are, and gates on them.

A group is inner if one of its layers alone makes its channels, as within a residual block; those of a sum stay whole.
"""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call

from sacp.errors import InputError
from sacp.network.graph import BATCH_NORM, PLAIN, Graph, Node, groups_of, places
from sacp.network.surgery import weight_axes

Marks = NDArray[np.bool_]  # of groups [G]


def is_inner(graph: Graph) -> Marks:
    """Which groups have channels that one layer makes: those of no sum, bool [G]."""
    mixing = {node.name for node in graph.nodes if node.mixes}
    return np.array([len(mixing.intersection(group.layers)) == 1 for group in graph.groups])


def inner_groups(graph: Graph) -> Marks:
    """The same, where there must be some.

    Raises:
        InputError: there is none.
    """
    found = is_inner(graph)
    if not found.any():
        raise InputError("baseline: every group of the network is that of a sum; expected one within a block at least")
    return found


class Gates:
    """Factors on the channels of some groups, put into parameters: no layer has to be changed.

    These are scale and shift of the batch norms that carry a channel, and filter and bias of layers that batch norms do
    not follow. Gates of 0 are exact where an activation leaves zero at zero, others where it leaves positive factors.
    """

    def __init__(self, network: nn.Module, graph: Graph, gated: Marks) -> None:
        """Find these parameters; `gated` groups have gates, [G]."""
        self.network = network
        device = next(network.parameters()).device
        first = np.concatenate([[0], np.cumsum(graph.channels)])
        own = dict(network.named_parameters())
        self._places = list[tuple[str, int, Tensor]]()  # parameter, its axis of channels, gates of its elements
        for node in _last_nodes(graph):
            gates = np.full(node.channels, first[-1])  # channels without a gate have that behind all others, 1
            for group in groups_of(node.outputs):
                elements, numbers = places(node.outputs, group)
                gates[elements] = first[group] + numbers if gated[group] else first[-1]
            for kind in ("weight", "bias"):
                if (name := f"{node.name}.{kind}") in own:
                    many = kind == "weight" and own[name].dim() > 1
                    axis = weight_axes(network.get_submodule(node.name))[0] if many else 0
                    self._places.append((name, axis, torch.as_tensor(gates, device=device)))

    def __call__(self, images: Tensor, gates: Tensor, frozen: bool = False) -> Tensor:
        """Logits of images with gates [Z]; `frozen` takes no gradients for the network's own parameters."""
        own = {name: value.detach() if frozen else value for name, value in self.network.named_parameters()}
        changed = {name: own[name] * factors for name, factors in self._factors(gates)}
        logits: Tensor = functional_call(self.network, {**own, **changed}, (images,))
        return logits

    @torch.no_grad()
    def fold(self, gates: Tensor) -> None:
        """Multiply gates [Z] into the network's parameters."""
        for name, factors in self._factors(gates):
            self.network.get_parameter(name).mul_(factors)

    def _factors(self, gates: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Parameters that have gates, by name, and their factors in a shape that fits."""
        whole = torch.cat([gates, gates.new_ones(1)])
        for name, axis, numbers in self._places:
            shape = [1] * self.network.get_parameter(name).dim()
            shape[axis] = -1
            yield name, whole[numbers].view(shape)


def _last_nodes(graph: Graph) -> list[Node]:
    """The nodes whose parameters are the last on the way of their channels: batch norms, and layers before none."""
    bare = {source for source, target in graph.edges if graph.nodes[target].kind != BATCH_NORM}
    return [
        node
        for number, node in enumerate(graph.nodes)
        if node.groups and node.kind not in PLAIN and (node.kind == BATCH_NORM or number in bare)
    ]
