"""ATO's controller: a recurrent network that draws which channels are on, and the price of their FLOPs.

Wu et al., Auto-Train-Once: Controller Network Guided Automatic Network Pruning from Scratch, CVPR 2024; sizes and
constants are those of the authors' code (AutoTrainOnce, f0ebc5b).
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sacp.network.cost import terms
from sacp.network.graph import Graph

INPUT, HIDDEN = 64, 128  # of the recurrent network, in each of its two directions
OFFSET, TEMPERATURE = 3.0, 0.4  # of the gates: nearly all are on at the start
MARGIN = 0.005  # around the target share, within which its price does not fall further
TINY = 1e-20


class Controller(nn.Module):
    """A logit for each channel of some groups, made from fixed inputs, one for each group."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.recurrent = nn.GRU(INPUT, HIDDEN, bidirectional=True)
        self.norm = nn.LayerNorm(2 * HIDDEN)
        self.heads = nn.ModuleList(nn.Linear(2 * HIDDEN, number, bias=False) for number in channels)
        self.inputs: Tensor
        self.register_buffer("inputs", nn.init.orthogonal_(torch.empty(len(channels), INPUT)))

    def forward(self) -> Tensor:
        """Logits of all channels, group by group, [Z]."""
        outputs, _ = self.recurrent(self.inputs)
        hidden = self.norm(outputs).relu()
        return torch.cat([head(row) for head, row in zip(self.heads, hidden, strict=True)])


def gumbel(number: int, seed: int) -> Tensor:
    """Noise of Gumbel's distribution, a function of the seed, [number]; on the CPU."""
    uniform = torch.rand(number, generator=torch.Generator().manual_seed(seed))
    return -torch.log(-torch.log(uniform + TINY) + TINY)


def soft_gates(logits: Tensor, noise: Tensor) -> Tensor:
    """Gates between 0 and 1, [Z]."""
    return torch.sigmoid((logits + noise + OFFSET) / TEMPERATURE)


def hard_gates(logits: Tensor, noise: Tensor) -> Tensor:
    """Gates of 0 or 1 [Z], with the gradient of the soft ones."""
    soft = soft_gates(logits, noise)
    return (soft >= 0.5).to(soft.dtype) - soft.detach() + soft


def price(share: Tensor, target: float, weight: float) -> Tensor:
    """R of a share of the FLOPs: weight times the logarithm of how far it is from the target, as a ratio."""
    if share > target:
        return weight * torch.log(share.clamp(min=target + MARGIN) / target)
    return weight * torch.log(target / share.clamp(max=target - MARGIN, min=TINY))


class Shares:
    """FLOPs that gates leave, as a share of those that they could take."""

    def __init__(self, graph: Graph, gated: Sequence[bool]) -> None:
        """Of a network's FLOPs, what involves a group that is gated, [G]."""
        self.channels = [number for number, is_gated in zip(graph.channels, gated, strict=True) if is_gated]
        self._all = [float(number) for number in graph.channels]
        self._gated = [group for group, is_gated in enumerate(gated) if is_gated]
        own = {*self._gated}
        found = terms(graph, "flops_pair", "flops_channel")
        self._terms = [term for term in found if own.intersection(term[1:])]
        values = [*self._all, 1.0]
        self.most = sum(c * values[i] * values[j] for c, i, j in self._terms)
        self.fixed = sum(c * values[i] * values[j] for c, i, j in found) - self.most

    def __call__(self, gates: Tensor) -> Tensor:
        """The share that gates [Z] of the gated groups leave; differentiable."""
        sums = [part.sum() for part in gates.split(self.channels)]
        values: list[Tensor | float] = [*self._all, 1.0]
        for group, value in zip(self._gated, sums, strict=True):
            values[group] = value
        total = gates.new_zeros(())
        for coefficient, i, j in self._terms:
            total = total + coefficient / self.most * values[i] * values[j]
        return total

    def of_flops(self, flops: float) -> float:
        """The share that leads to so many FLOPs of the whole network, between what can be priced."""
        return min(max((flops - self.fixed) / self.most, 2 * MARGIN), 1 - math.ulp(1.0))
