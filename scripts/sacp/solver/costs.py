"""Costs of configurations as sums of tables, and limits on them.

FLOPs and parameters are sums of products of two kept counts, and so of this form. What is measured is of it too, as
latency, where a layer's cost depends on the channels that it reads and on those that it writes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sacp.network.cost import Budget, terms
from sacp.network.graph import Graph
from sacp.solver.tables import Tables

Integers = NDArray[np.int64]
KINDS = {"flops": "flops", "params": "parameters"}  # as in a graph's nodes: as in a budget


@dataclass(frozen=True)
class CostTables(Tables[np.int64]):
    """A cost, exact in integers."""

    @classmethod
    def of_graph(cls, graph: Graph, counts: Sequence[Integers], kind: str) -> "CostTables":
        """FLOPs (`flops`) or parameters (`params`) of a network.

        Args:
            graph: the network's graph.
            counts: kept channels at each place of a group, [places] for each.
            kind: one of `KINDS`.
        """
        groups, constant = len(graph.groups), 0
        unary = [np.zeros(len(kept), np.int64) for kept in counts]
        pairs = dict[tuple[int, int], Integers]()
        for coefficient, i, j in terms(graph, f"{kind}_pair", f"{kind}_channel"):  # i <= j
            if i == groups:
                constant += coefficient
            elif j in (i, groups):
                unary[i] += coefficient * counts[i] * (counts[i] if j == i else 1)
            else:
                pairs[i, j] = coefficient * counts[i][:, None] * counts[j]
        return cls(constant, tuple(unary), pairs)


@dataclass(frozen=True)
class Limit:
    """A cost, and between what it has to lie."""

    cost: CostTables
    least: int
    most: int | None

    def holds(self, costs: Integers) -> NDArray[np.bool_]:
        """Which of these costs are within it, [n] -> [n]."""
        inside = costs >= self.least
        return inside if self.most is None else inside & (costs <= self.most)

    def at(self, places: Sequence[NDArray[np.integer]]) -> "Limit":
        """The same limit where each group has only some of its places."""
        return Limit(self.cost.at(places), self.least, self.most)


def limits_of(graph: Graph, counts: Sequence[Integers], budget: Budget) -> list[Limit]:
    """The costs that a budget bounds, with kept channels `counts` at each place of a group."""
    found = []
    for kind, name in KINDS.items():
        least, most = getattr(budget, f"least_{name}"), getattr(budget, name)
        if least > 0 or most is not None:
            found.append(Limit(CostTables.of_graph(graph, counts, kind), least, most))
    return found
