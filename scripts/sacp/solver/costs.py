"""Costs of configurations as tables: a number, a table for each group, and one for each pair of groups that meet.

FLOPs and parameters are sums of products of two kept counts, and so of this form. What is measured is of it too, as
latency, where a layer's cost depends on the channels that it reads and on those that it writes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sacp.network.cost import Budget, terms
from sacp.network.graph import Graph

Integers = NDArray[np.int64]
KINDS = {"flops": "flops", "params": "parameters"}  # as in a graph's nodes: as in a budget


@dataclass(frozen=True)
class CostTables:
    """constant + sum of unary[g][x_g] + sum of pairs[i, j][x_i, x_j] at the places x of all groups; exact integers."""

    constant: int
    unary: tuple[Integers, ...]  # [places] for each group
    pairs: Mapping[tuple[int, int], Integers]  # of groups i < j: [places of i, places of j]

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

    def at(self, places: Sequence[NDArray[np.integer]]) -> "CostTables":
        """The same cost where each group has only some of its places, [places] for each."""
        unary = tuple(table[own] for table, own in zip(self.unary, places, strict=True))
        pairs = {(i, j): table[np.ix_(places[i], places[j])] for (i, j), table in self.pairs.items()}
        return CostTables(self.constant, unary, pairs)

    def of(self, places: NDArray[np.integer]) -> Integers:
        """Costs of configurations, [n, G] -> [n]."""
        total = np.full(len(places), self.constant, np.int64)
        for group, table in enumerate(self.unary):
            total += table[places[:, group]]
        for (i, j), table in self.pairs.items():
            total += table[places[:, i], places[:, j]]
        return total

    @cached_property
    def neighbours(self) -> tuple[Mapping[int, Integers], ...]:
        """For each group, the tables of its pairs by the other group, [places, places of the other]."""
        found: list[dict[int, Integers]] = [{} for _ in self.unary]
        for (i, j), table in self.pairs.items():
            found[i][j], found[j][i] = table, table.T
        return tuple(found)


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
