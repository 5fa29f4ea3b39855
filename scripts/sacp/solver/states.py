"""What later groups have to know of earlier ones.

Groups are chosen one after the other. Of those that are chosen, later costs depend on a few sums alone: where a stream
was chosen, on its channels; behind a concatenation, on the sum of all its parts. Beginnings for which these sums are
equal are one state. So the states of a densenet are as many as numbers of channels that its concatenations can have,
not as many as beginnings.
"""

import math
from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sacp.errors import TooLargeError
from sacp.solver.costs import Integers
from sacp.solver.problem import Problem
from sacp.solver.tables import Number, Tables

Keys = NDArray[np.uint64]


class States:
    """States before each group in `order`, and what each place of the group adds and leads to.

    `next[c][s, x]` is the state behind group c, `added[c][l, s, x]` what place x adds to cost l, and `gained[c][s, x]`
    what it adds to the score.
    """

    def __init__(self, problem: Problem, most: int, order: Sequence[int] | None = None) -> None:
        """Find all states; `TooManyStatesError` if their places are more than `most`, over all groups."""
        self.problem, self.order = problem, list(order or range(problem.groups))
        self.next: list[NDArray[np.int32]] = []
        self.added: list[Integers] = []
        self.gained: list[NDArray[np.float64]] = []
        beginnings, hashes = np.zeros((1, 0), np.uint8), _Hashes(problem, self.order)
        size = 0
        for place, group in enumerate(self.order):
            places = problem.sizes[group]
            size += len(beginnings) * places
            if size > most:
                raise TooManyStatesError(place, size, most)
            added = [self._own(limit.cost, place, beginnings) for limit in problem.limits]
            self.added.append(np.stack(added) if added else np.zeros((0, len(beginnings), places), np.int64))
            self.gained.append(self._own(problem.score, place, beginnings))
            keys = hashes.behind(place, beginnings)  # [n, places]
            _, first, number = np.unique(keys, return_index=True, return_inverse=True)
            self.next.append(number.reshape(len(beginnings), places).astype(np.int32))
            before, chosen = np.divmod(first, places)
            beginnings = np.hstack([beginnings[before], chosen[:, None].astype(np.uint8)])

    def _own(self, tables: Tables[Number], place: int, beginnings: NDArray[np.uint8]) -> NDArray[Number]:
        """What each place of a group adds to a sum, [n, places]."""
        group = self.order[place]
        total = np.broadcast_to(tables.unary[group], (len(beginnings), self.problem.sizes[group]))
        for other, table in tables.neighbours[group].items():
            if (earlier := self.places[other]) < place:
                total = total + table.T[beginnings[:, earlier]]
        return total

    @cached_property
    def places(self) -> list[int]:
        """Of each group, its place in the order."""
        return [self.order.index(group) for group in range(len(self.order))]

    @cached_property
    def removed(self) -> list[Integers]:
        """What is removed at each place of the groups in their order."""
        return [self.problem.removed[group] for group in self.order]

    @property
    def number(self) -> int:
        """States before all groups together."""
        return sum(map(len, self.next))

    @cached_property
    def least(self) -> list[Integers]:
        """Lowest further costs from each state on, whatever is removed: before each group and at the end, [n, L]."""
        return self._extreme(np.minimum.reduce)

    @cached_property
    def most(self) -> list[Integers]:
        """Highest further costs from each state on, [n, L]."""
        return self._extreme(np.maximum.reduce)

    def _extreme(self, extreme: Callable[..., Integers]) -> list[Integers]:
        tables = [np.zeros((1, len(self.problem.limits)), np.int64)]
        for following, added in zip(reversed(self.next), reversed(self.added), strict=True):
            reached = np.moveaxis(added, 0, -1) + tables[0][following]  # [n, places, L]
            tables.insert(0, extreme(reached, axis=1))
        return tables

    def in_groups(self, beginnings: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Places of groups in this order, [n, G], by the number of the group."""
        return beginnings[:, self.places]


class TooManyStatesError(TooLargeError):
    """Tables are larger than they may be; `place` is that of the group in the order at which they became so."""

    def __init__(self, place: int, size: int, most: int) -> None:
        super().__init__(
            f"search: an exact search under this budget has tables of {size:.2g} entries, more than {most}; "
            "use 'search: local', fewer levels, or no budget"
        )
        self.place = place


class _Hashes:
    """Keys of beginnings, equal where all that later groups add is.

    Of costs, a key is the sum of all entries that a beginning adds to the tables of later groups, with random factors,
    modulo 2 ** 64: two that differ have one key with a chance of about 2 ** -60. Of the score, whose sums are rounded,
    it is the sum of random numbers, one for each different row of a table.
    """

    def __init__(self, problem: Problem, order: Sequence[int]) -> None:
        rng, at = np.random.default_rng(0), {group: place for place, group in enumerate(order)}
        self.parts: list[dict[int, Keys]] = [{} for _ in order]  # by place: later place -> [places]
        for limit in problem.limits:
            for group, neighbours in enumerate(limit.cost.neighbours):
                later, factors = at[group], rng.integers(0, 2**64, problem.sizes[group], np.uint64, endpoint=False)
                earlier = {at[other]: table.T for other, table in neighbours.items() if at[other] < later}
                # Common factors of two would be lost to the modulus.
                divisor = max(1, math.gcd(*(int(np.gcd.reduce(table, axis=None)) for table in earlier.values())))
                for place, table in earlier.items():
                    self._add(place, later, (table // divisor).astype(np.uint64) @ factors)
        for group, near in enumerate(problem.score.neighbours):
            for place, rows in {at[other]: table.T for other, table in near.items() if at[other] < at[group]}.items():
                number = np.unique(rows, axis=0, return_inverse=True)[1].ravel()
                self._add(place, at[group], rng.integers(0, 2**64, len(rows), np.uint64, endpoint=False)[number])
        self.sizes = [problem.sizes[group] for group in order]

    def _add(self, place: int, later: int, part: Keys) -> None:
        """Add what the places of the group at `place` leave for the one at `later`, [places]."""
        self.parts[place][later] = self.parts[place].get(later, np.uint64(0)) + part

    def behind(self, place: int, beginnings: NDArray[np.uint8]) -> Keys:
        """Keys of beginnings that end before the group at `place`, with each of its places, [n, places]."""
        keys = np.zeros(len(beginnings), np.uint64)
        for earlier in range(place):
            if any(later > place for later in self.parts[earlier]):
                keys += self._open(earlier, place)[beginnings[:, earlier]]
        return keys[:, None] + self._open(place, place)

    def _open(self, earlier: int, place: int) -> Keys:
        """What a group's places add to the key behind the group at `place`, [places]."""
        parts = [part for later, part in self.parts[earlier].items() if later > place]
        return np.sum(parts, axis=0, dtype=np.uint64) if parts else np.zeros(self.sizes[earlier], np.uint64)
