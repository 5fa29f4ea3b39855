"""The parameters of each channel: all that must be zero for its output to be zero.

OTO's zero-invariant groups (Chen et al., Only Train Once, NeurIPS 2021, definition 1): the filters of all layers of the
channel's group, their biases, and the scales and shifts of the batch norms that carry the channel.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from sacp.network.graph import PLAIN, Axis, Graph, groups_of, places
from sacp.network.surgery import weight_axes


class ChannelParameters:
    """Parameters by the channel that they belong to; all channels of all groups follow one another, [Z]."""

    def __init__(self, network: nn.Module, graph: Graph) -> None:
        """Find the parameters of the channels of `graph` in `network`, which it was traced from."""
        self.channels = graph.channels
        self.device = next(network.parameters()).device
        first = np.concatenate([[0], np.cumsum(graph.channels)])
        self._parts = list[tuple[Tensor, int, Tensor]]()  # parameter, its axis of channels, owner of each element of it
        for parameter, axis, outputs in _per_channel(network, graph):
            owner = np.full(parameter.shape[axis], first[-1])  # those that are never pruned are the last one's
            for group in groups_of(outputs):
                elements, numbers = places(outputs, group)
                owner[elements] = first[group] + numbers
            self._parts.append((parameter, axis, torch.as_tensor(owner, device=self.device)))
        self.sizes = self._sum([torch.ones_like(parameter) for parameter, _, _ in self._parts])  # parameters, [Z]

    def values(self) -> list[Tensor]:
        """Copies of all parameters as they are."""
        return [parameter.detach().clone() for parameter, _, _ in self._parts]

    def products(self, first: Sequence[Tensor], second: Sequence[Tensor]) -> Tensor:
        """Inner products of two lists of values over the parameters of each channel, float64 [Z]."""
        return self._sum([a * b for a, b in zip(first, second, strict=True)])

    @torch.no_grad()
    def scale(self, factors: Tensor) -> None:
        """Multiply the parameters of each channel by its factor, [Z]."""
        whole = torch.cat([factors, factors.new_ones(1)])
        for parameter, axis, owner in self._parts:
            shape = [1] * parameter.dim()
            shape[axis] = -1
            parameter.mul_(whole[owner].to(parameter.dtype).view(shape))

    @torch.no_grad()
    def shift(self, values: Sequence[Tensor], factors: Tensor) -> None:
        """Add `values`, each channel's times its factor, [Z]."""
        whole = torch.cat([factors, factors.new_zeros(1)])
        for (parameter, axis, owner), value in zip(self._parts, values, strict=True):
            shape = [1] * parameter.dim()
            shape[axis] = -1
            parameter.add_(value * whole[owner].to(parameter.dtype).view(shape))

    def by_group(self, values: Tensor) -> list[np.ndarray]:
        """Values of all channels [Z], group by group, [C_g]."""
        return [part.cpu().numpy() for part in values.split(self.channels)]

    def _sum(self, values: Sequence[Tensor]) -> Tensor:
        total = torch.zeros(sum(self.channels) + 1, dtype=torch.float64, device=self.device)
        for value, (_, axis, owner) in zip(values, self._parts, strict=True):
            total.index_add_(0, owner, value.movedim(axis, 0).reshape(len(owner), -1).sum(1).double())
        return total[:-1]


def _per_channel(network: nn.Module, graph: Graph) -> Iterator[tuple[Tensor, int, Axis]]:
    """Yield the parameters that have an axis of output channels, that axis, and whose channels its elements are."""
    found = dict(network.named_parameters())
    known = set[str]()
    for node in graph.nodes:
        if node.kind in PLAIN or node.name in known or not node.groups:
            continue
        known.add(node.name)
        if (weight := found.get(f"{node.name}.weight")) is not None:
            yield weight, weight_axes(network.get_submodule(node.name))[0] if weight.dim() > 1 else 0, node.outputs
        if (bias := found.get(f"{node.name}.bias")) is not None:
            yield bias, 0, node.outputs
    for direct in graph.direct:
        if direct.name in found and groups_of(direct.values):
            yield found[direct.name], direct.axis, direct.values
