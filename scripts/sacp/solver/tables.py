"""Sums of tables: a number, a table for each group, and one for each pair of groups that meet.

What a search maximises and what it is limited by have this form: scores, in doubles, and costs, in integers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Generic, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

Number = TypeVar("Number", np.int64, np.float64)


@dataclass(frozen=True)
class Tables(Generic[Number]):
    """constant + sum of unary[g][x_g] + sum of pairs[i, j][x_i, x_j] at the places x of all groups."""

    constant: int
    unary: tuple[NDArray[Number], ...]  # [places] for each group
    pairs: Mapping[tuple[int, int], NDArray[Number]]  # of groups i < j: [places of i, places of j]

    def at(self, places: Sequence[NDArray[np.integer]]) -> Self:
        """The same sum where each group has only some of its places, [places] for each."""
        unary = tuple(table[own] for table, own in zip(self.unary, places, strict=True))
        pairs = {(i, j): table[np.ix_(places[i], places[j])] for (i, j), table in self.pairs.items()}
        return replace(self, unary=unary, pairs=pairs)

    def of(self, places: NDArray[np.integer]) -> NDArray[Number]:
        """Sums of configurations, [n, G] -> [n]."""
        total = np.full(len(places), self.constant, self.unary[0].dtype)
        for group, table in enumerate(self.unary):
            total += table[places[:, group]]
        for (i, j), table in self.pairs.items():
            total += table[places[:, i], places[:, j]]
        return total

    @cached_property
    def neighbours(self) -> tuple[Mapping[int, NDArray[Number]], ...]:
        """For each group, the tables of its pairs by the other group, [places, places of the other]."""
        found: list[dict[int, NDArray[Number]]] = [{} for _ in self.unary]
        for (i, j), table in self.pairs.items():
            found[i][j], found[j][i] = table, table.T
        return tuple(found)

    @property
    def span(self) -> float:
        """How far the entries of each table lie apart, summed over all tables."""
        return sum(float(np.ptp(table)) for part in (self.unary, self.pairs.values()) for table in part)


Score = Tables[np.float64]  # what is maximised


def as_score(values: NDArray[np.float64] | Score) -> Score:
    """A score by what each group adds at each step, [G, levels]; tables are one already."""
    return values if isinstance(values, Tables) else Tables(0, tuple(np.asarray(values, np.float64)), {})
