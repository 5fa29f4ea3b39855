"""The space of pruning configurations: count it exactly, draw from it uniformly (method section 3.3).

A configuration is one uint8 step per group, 0..levels-1: step t removes t / levels of the group's channels.
Everything that decides is integer arithmetic.
"""

from dataclasses import dataclass
from fractions import Fraction
from math import gcd

import numpy as np
from numpy.typing import NDArray

from sacp.errors import InputError

Steps = NDArray[np.uint8]
DRAW_ROWS = 1 << 18  # rows drawn at a time: bounds the memory of a draw at about 20 MB per level


def kept_counts(
    steps: NDArray[np.integer], channels: NDArray[np.integer] | list[int], levels: int
) -> NDArray[np.int64]:
    """Kept channels floor((levels - t) * C / levels), at least 1 (eq. 2). `steps` [..., G] -> int64 [..., G]."""
    counts = (levels - np.asarray(steps, np.int64)) * np.asarray(channels, np.int64) // levels
    return np.maximum(counts, 1)


def pruning_ratio(steps: NDArray[np.integer], weights: list[int], levels: int) -> NDArray[np.float64]:
    """R(r) of eq. 1 from the nominal ratios, over layers. `steps` [..., G] -> float64 [...]."""
    return np.asarray(steps, np.int64) @ np.asarray(weights, np.int64) / (levels * sum(weights))


@dataclass(frozen=True)
class Space:
    """{ r : R(r) >= threshold } with the number of ways to reach the threshold from every state.

    `ways[g][s]` counts the choices for groups g.. that remove at least s more (scaled) channel steps; exact integers.
    """

    weights: tuple[int, ...]  # scaled by their greatest common divisor
    levels: int
    ways: tuple[tuple[int, ...], ...]

    @classmethod
    def build(cls, weights: list[int], levels: int, threshold: float) -> "Space":
        """Count the space by dynamic programming over the groups, from the last to the first.

        Raises:
            InputError: no configuration reaches `threshold`.
        """
        # The shortest decimal that prints as the float is what the user wrote: 0.7 means 7/10.
        share = Fraction(str(threshold))
        reachable = Fraction(levels - 1, levels)
        if share > reachable:
            raise InputError(
                f"space.threshold: no configuration reaches {threshold}; "
                f"with {levels} levels the largest pruning ratio is {float(reachable)}"
            )
        divisor = gcd(*weights)
        scaled = tuple(weight // divisor for weight in weights)
        need = max(0, -(-share * levels * sum(scaled) // 1))  # ceiling, exact
        ways = [tuple(int(s == 0) for s in range(int(need) + 1))]
        for weight in reversed(scaled):
            later = ways[0]
            row = tuple(sum(later[max(0, s - t * weight)] for t in range(levels)) for s in range(int(need) + 1))
            ways.insert(0, row)
        return cls(scaled, levels, tuple(ways))

    @property
    def count(self) -> int:
        """Number of configurations in the space, exact."""
        return self.ways[0][-1]

    def draw(self, size: int, rng: np.random.Generator) -> Steps:
        """Draw `size` configurations independently and uniformly, [size, G].

        Each step is drawn from its exact conditional distribution given the steps before it; the conditional
        probabilities are exact ratios of integers, rounded once to double.
        """
        chunks = [self._draw_chunk(min(DRAW_ROWS, size - start), rng) for start in range(0, size, DRAW_ROWS)]
        return np.concatenate(chunks) if chunks else np.empty((0, len(self.weights)), np.uint8)

    def _draw_chunk(self, size: int, rng: np.random.Generator) -> Steps:
        steps = np.empty((size, len(self.weights)), np.uint8)
        state = np.full(size, len(self.ways[0]) - 1)
        for group, weight in enumerate(self.weights):
            below = self._cumulative(group)  # [S, levels - 1]
            step = (rng.random(size)[:, None] >= below[state]).sum(axis=1)
            steps[:, group] = step
            state = np.maximum(0, state - step * weight)
        return steps

    def _cumulative(self, group: int) -> NDArray[np.float64]:
        """P(step <= t | state) for t < levels - 1, [S, levels - 1]. A state that no choice can satisfy gets zeros."""
        weight, later = self.weights[group], self.ways[group + 1]
        table = np.zeros((len(later), self.levels - 1))
        for state, total in enumerate(self.ways[group]):
            running = 0
            for step in range(self.levels - 1 if total else 0):
                running += later[max(0, state - step * weight)]
                table[state, step] = running / total  # true division of integers rounds correctly
        return table

    def unrank(self, ranks: NDArray[np.int64]) -> Steps:
        """Return the configurations with these numbers in lexicographic order, [n] -> [n, G]. Needs count < 2**63."""
        steps = np.empty((len(ranks), len(self.weights)), np.uint8)
        state, rest = np.full(len(ranks), len(self.ways[0]) - 1), np.asarray(ranks, np.int64).copy()
        for group, weight in enumerate(self.weights):
            # States that the ranks cannot lead to may count more than int64 holds; they are never looked up.
            later = np.array([min(ways, 2**62) for ways in self.ways[group + 1]], np.int64)
            step, open_rows = np.zeros(len(ranks), np.int64), np.ones(len(ranks), bool)
            for candidate in range(self.levels):
                here = later[np.maximum(0, state - candidate * weight)]
                open_rows &= rest >= here
                rest -= np.where(open_rows, here, 0)
                step += open_rows
            steps[:, group] = step
            state = np.maximum(0, state - step * weight)
        return steps

    def sample(self, size: int, rng: np.random.Generator) -> Steps:
        """Draw `size` distinct configurations, uniform over all such sets, in random order, [size, G].

        Raises:
            InputError: `size` exceeds the space.
        """
        if size > self.count:
            raise InputError(
                f"space.search_size: {size} distinct configurations asked for, but only {self.count} exist"
            )
        if self.count <= 4 * size:
            return self.unrank(rng.permutation(self.count)[:size])
        found = np.empty((0, len(self.weights)), np.uint8)
        while len(found) < size:
            # The first `size` distinct values of independent uniform draws are a uniform sample without replacement.
            more = self.draw(size - len(found) + size // 8 + 16, rng)
            found = _first_of_each(np.concatenate([found, more]))
        return found[:size]


def _first_of_each(rows: Steps) -> Steps:
    keys = np.ascontiguousarray(rows).view(np.dtype((np.void, rows.shape[1])))[:, 0]
    _, first = np.unique(keys, return_index=True)
    return rows[np.sort(first)]


def draw_training(size: int, groups: int, levels: int, rng: np.random.Generator) -> Steps:
    """Draw the encoder's training set: uniform over the whole space, no threshold, [size, G] (section 3.3)."""
    return rng.integers(0, levels, (size, groups), dtype=np.uint8)
