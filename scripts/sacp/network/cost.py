"""FLOPs (multiply-accumulates) and parameters, of one network or of millions of configurations.

The conventions are those of thop 0.1.1, with which the paper's base rows agree to the printed digit: convolutions
and linear layers without their bias additions, 4 per element of an affine batch norm, (window + 1) per output of an
adaptive average pooling, nothing for ReLU, max pooling and sums.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray

from sacp.network.graph import Graph

Term = tuple[int, int, int]  # coefficient, group, group; the group number G stands for the constant 1


@dataclass(frozen=True)
class Cost:
    """Cost of one network on one image: multiply-accumulates and number of parameters."""

    flops: int
    parameters: int


def is_share(limit: float) -> bool:
    """Whether a limit is a share of the base, as a fraction up to 1.0 is, not a number: 1 is one operation."""
    return isinstance(limit, float) and limit <= 1


LARGEST = 2**62  # numbers that searches compare with are of 64 bits


@dataclass(frozen=True)
class Budget:
    """Bounds on a candidate's cost: at most, where there is such a bound, and at least."""

    flops: int | None = None
    parameters: int | None = None
    least_flops: int = 0
    least_parameters: int = 0

    @classmethod
    def of(cls, limits: Mapping[str, float | Sequence[float]], base: Cost) -> "Budget":
        """A budget from the config: an upper limit or [least, most], shares or numbers (see `is_share`)."""
        absolute: dict[str, int] = {}
        for name, limit in limits.items():
            whole = getattr(base, name)
            least, most = (0, limit) if isinstance(limit, int | float) else limit
            absolute[name] = int(most * whole) if is_share(most) else min(int(most), LARGEST)
            absolute[f"least_{name}"] = ceil(least * whole) if is_share(least) else min(ceil(least), LARGEST)
        return cls(**absolute)

    def holds(self, flops: NDArray[np.int64], parameters: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of these costs are within the budget, [n] and [n] -> [n]."""
        inside = (flops >= self.least_flops) & (parameters >= self.least_parameters)
        if self.flops is not None:
            inside &= flops <= self.flops
        if self.parameters is not None:
            inside &= parameters <= self.parameters
        return inside

    def __str__(self) -> str:
        parts = []
        for name, least, most in (
            ("FLOPs", self.least_flops, self.flops), ("parameters", self.least_parameters, self.parameters),
        ):  # fmt: skip
            if most is not None:
                parts.append(f"{least} to {most} {name}" if least else f"{most} {name}")
        return " and ".join(parts) or "no budget"


def terms(graph: Graph, pair: str, channel: str) -> list[Term]:
    """Return a cost as a quadratic form in the kept counts of the groups: the sum of coefficient * k_i * k_j."""
    constant = len(graph.groups)
    total: dict[tuple[int, int], int] = {}

    def add(coefficient: int, i: int, j: int) -> None:
        key = (min(i, j), max(i, j))
        total[key] = total.get(key, 0) + coefficient

    for tensor in graph.direct if channel == "params_channel" else ():
        for group, values in graph.multiples_of(tensor.values).items():
            add(values * tensor.params_channel, group, constant)
    for number in range(len(graph.nodes)):
        for term in _terms_of_node(graph, number, pair, channel):
            add(*term)
    return [(coefficient, i, j) for (i, j), coefficient in total.items() if coefficient]


def _terms_of_node(graph: Graph, number: int, pair: str, channel: str) -> Iterator[Term]:
    node, (inputs, outputs) = graph.nodes[number], graph.multiples[number]
    for group, channels in outputs.items():
        yield getattr(node, channel) * channels, group, len(graph.groups)
        for in_group, in_channels in inputs.items() if getattr(node, pair) else ():
            yield getattr(node, pair) * in_channels * channels // node.divisor, in_group, group


def costs_by_node(graph: Graph, counts: NDArray[np.int64]) -> list[Cost]:
    """What each node costs with these kept channels, counts [G]; together with what is used directly, the whole."""
    k = [*counts.tolist(), 1]

    def cost(number: int, kind: str) -> int:
        return sum(c * k[i] * k[j] for c, i, j in _terms_of_node(graph, number, f"{kind}_pair", f"{kind}_channel"))

    return [Cost(cost(number, "flops"), cost(number, "params")) for number in range(len(graph.nodes))]


def costs_of_counts(graph: Graph, counts: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Cost of networks with these kept channels: counts [M, G] -> FLOPs [M], parameters [M]; exact integers."""
    ones = np.ones((len(counts), 1), np.int64)
    k = np.ascontiguousarray(np.hstack([counts, ones]).T)  # [G + 1, M]
    result = []
    for quantity in ("flops", "params"):
        total = np.zeros(len(counts), np.int64)
        for coefficient, i, j in terms(graph, f"{quantity}_pair", f"{quantity}_channel"):
            total += coefficient * k[i] * k[j]
        result.append(total)
    return result[0], result[1]


def cost_of_graph(graph: Graph) -> Cost:
    """Cost of the network as it stands, nothing pruned."""
    flops, parameters = costs_of_counts(graph, np.array([graph.channels], np.int64))
    return Cost(int(flops[0]), int(parameters[0]))
