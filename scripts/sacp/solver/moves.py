"""From a configuration within the limits to a better one next to it: moves along the limits."""

from dataclasses import dataclass
from itertools import permutations, product
from typing import Generic

import numpy as np
from numpy.typing import NDArray

from sacp.solver.costs import Integers
from sacp.solver.problem import Places, Problem
from sacp.solver.tables import Number, Tables

MOST_MOVES = 10_000
TINY = 1e-12  # of a sum, below which nothing is gained


def improved(problem: Problem, start: Places) -> Places:
    """Move to the best neighbour, one or two groups a place wider or narrower, as long as that is better, [G]."""
    places, score, costs = start.copy(), _Changes(problem.score), [_Changes(limit.cost) for limit in problem.limits]
    for _ in range(MOST_MOVES):
        move = _best_move(problem, score, costs, places)
        moved = (places + move).astype(np.uint8)
        before, after = problem.sums(np.stack([places, moved]))
        if after <= before + TINY * abs(before) or not problem.inside(moved[None])[0]:
            break
        places = moved
    return places


def _best_move(
    problem: Problem, score: "_Changes[np.float64]", costs: list["_Changes[np.int64]"], places: Places
) -> NDArray[np.int64]:
    """The move, of one or two groups, of the highest gain within the limits, [G]; zeros where there is none."""
    groups = problem.groups
    owner, side = np.tile(np.arange(groups), 2), np.repeat([-1, 1], groups)
    alone, pairs = score.of(places)
    removed = _differences(problem.removed, places)  # also says which moves there are
    pairs[owner[:, None] == owner] = -np.inf
    spare = sum(own[place] for own, place in zip(problem.removed, places, strict=True)) - problem.need
    pairs[removed[:, None] + removed < -spare] = -np.inf
    alone[removed < -spare] = -np.inf
    now = problem.costs(places[None])[0]
    for limit, changes, cost in zip(problem.limits, costs, now, strict=True):
        one, two = changes.of(places)
        alone[~limit.holds(cost + one)] = -np.inf
        pairs[~limit.holds(cost + two)] = -np.inf
    first, second = np.unravel_index(int(np.argmax(pairs)), pairs.shape)
    best = [int(first), int(second)] if pairs[first, second] > alone.max() else [int(np.argmax(alone))]
    move = np.zeros(groups, np.int64)
    if max(pairs[first, second], alone.max()) > -np.inf:
        move[owner[best]] = side[best]
    return move


def _differences(removed: tuple[Integers, ...], places: Places) -> NDArray[np.float64]:
    """What more is removed where a group goes a place back, and on, [2 G]; -inf where there is no such place."""
    found = np.full((2, len(removed)), -np.inf)
    for group, (table, place) in enumerate(zip(removed, places, strict=True)):
        if place > 0:
            found[0, group] = table[place - 1] - table[place]
        if place + 1 < len(table):
            found[1, group] = table[place + 1] - table[place]
    return found.ravel()


@dataclass(frozen=True)
class _Changes(Generic[Number]):
    """Changes of a sum of tables by moves; the tables of its pairs lie behind one another."""

    sums: Tables[Number]
    pairs: NDArray[np.int64]  # [2, pairs]
    flat: NDArray[Number]
    starts: Integers  # [pairs]
    widths: Integers  # [pairs]

    def __init__(self, sums: Tables[Number]) -> None:
        tables: list[NDArray[Number]] = list(sums.pairs.values())
        sizes = np.array([table.size for table in tables], np.int64)
        for name, value in {
            "sums": sums,
            "pairs": np.array(list(sums.pairs), np.int64).reshape(-1, 2).T,
            "flat": np.concatenate([sums.unary[0][:0], *(table.ravel() for table in tables)]),
            "starts": np.cumsum(sizes) - sizes,
            "widths": np.array([table.shape[1] for table in tables], np.int64),
        }.items():
            object.__setattr__(self, name, value)

    def of(self, places: Places) -> tuple[NDArray[Number], NDArray[Number]]:
        """Changes by one move and by two, [2 G] and [2 G, 2 G]; any number where there is no such move."""
        groups, last = len(places), np.array([len(table) - 1 for table in self.sums.unary])
        moved = [np.clip(places.astype(np.int64) + side, 0, last) for side in (-1, 0, 1)]
        one = np.array([[table[place] for table, place in zip(self.sums.unary, at, strict=True)] for at in moved])
        one = one[[0, 2]] - one[1]
        i, j = self.pairs
        at = {
            (a, b): self.flat[self.starts + moved[a][i] * self.widths + moved[b][j]]
            for a, b in product(range(3), repeat=2)
        }
        two = np.zeros((2, groups, 2, groups), self.flat.dtype)
        for row, a in enumerate((0, 2)):
            np.add.at(one[row], i, at[a, 1] - at[1, 1])
            np.add.at(one[row], j, at[1, a] - at[1, 1])
            for column, b in enumerate((0, 2)):
                both = at[a, b] - at[a, 1] - at[1, b] + at[1, 1]
                two[row, i, column, j] += both
                two[column, j, row, i] += both
        single: NDArray[Number] = one.ravel()
        return single, two.reshape(2 * groups, 2 * groups) + single[:, None] + single


def moves(groups: int) -> NDArray[np.int16]:
    """All changes of a neighbour, [n, G]."""
    unit = np.eye(groups, dtype=np.int16)
    swaps = [unit[more] - unit[less] for more, less in permutations(range(groups), 2)]
    return np.stack([*unit, *-unit, *swaps])
