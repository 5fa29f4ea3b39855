"""The space of pruning configurations: count it exactly, draw from it uniformly (method section 3.3).

A configuration is one uint8 step per group, 0..levels-1: step t removes t / levels of the group's channels.
Everything that decides is integer arithmetic.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import gcd
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sacp.errors import InputError
from sacp.network.graph import Graph
from sacp.progress import Progress

Steps = NDArray[np.uint8]
BLOCK_ROWS = 1 << 16  # rows drawn at a time, each block from a stream of its own
BLOCKS_AHEAD = 16  # blocks that may wait to be stored


class Rows(Protocol):
    """Where rows of configurations are stored: an array, or a data set of a file."""

    def __getitem__(self, rows: slice, /) -> Steps: ...
    def __setitem__(self, rows: slice, values: Steps, /) -> None: ...


def kept_counts(steps: NDArray[np.integer] | list[int], graph: Graph, levels: int) -> NDArray[np.int64]:
    """Kept channels floor((levels - t) * C / levels), at least 1 (eq. 2). `steps` [..., G] -> int64 [..., G].

    What has to be left alone makes them fewer or more: see `rounded`.
    """
    counts = (levels - np.asarray(steps, np.int64)) * np.array(graph.channels, np.int64) // levels
    return rounded(counts, graph)


def rounded(counts: NDArray[np.int64], graph: Graph) -> NDArray[np.int64]:
    """Numbers of kept channels that the groups can have, at most these, or the least, [..., G] -> [..., G]."""
    multiples, channels = graph.rounding, np.array(graph.channels, np.int64)
    if (multiples > 1).any():
        counts = np.where(counts >= channels, channels, counts // multiples * multiples)
    return np.minimum(np.maximum(counts, graph.least), channels)


def counts_by_step(graph: Graph, levels: int) -> NDArray[np.int64]:
    """Kept channels of each group at each step, [G, levels]."""
    steps = np.repeat(np.arange(levels)[:, None], len(graph.groups), axis=1)
    return kept_counts(steps, graph, levels).T


def _allowed(graph: Graph, levels: int) -> tuple[tuple[int, ...], ...]:
    """Steps of each group.

    Where kept channels are rounded or bounded, one for each number of them, as otherwise many configurations would be
    one network: the last that removes no more than is removed then, so that ratios do not count what is kept.
    """
    return tuple(
        tuple(range(levels)) if group.multiple == group.least == 1 else _nearest_steps(counts, levels)
        for group, counts in zip(graph.groups, counts_by_step(graph, levels), strict=True)
    )


def _nearest_steps(counts: NDArray[np.int64], levels: int) -> tuple[int, ...]:
    """For each number of kept channels [levels], falling, the step whose ratio is nearest to what is removed."""
    channels, found = int(counts[0]), list[int]()
    for kept in np.unique(counts)[::-1]:
        steps = np.flatnonzero(counts == kept)
        honest = steps[steps * channels <= levels * (channels - kept)]
        found.append(int(honest[-1] if len(honest) else steps[0]))
    return tuple(found)


def pruning_ratio(steps: NDArray[np.integer], weights: list[int], levels: int) -> NDArray[np.float64]:
    """R(r) of eq. 1 from the nominal ratios, over layers. `steps` [..., G] -> float64 [...]."""
    # Sums of integers below 2 ** 53 are exact in doubles, whose product is the fast one.
    return np.asarray(steps, np.float64) @ np.asarray(weights, np.float64) / (levels * sum(weights))


@dataclass(frozen=True)
class Space:
    """{ r : R(r) >= threshold } with the number of ways to reach the threshold from every state.

    `ways[g][s]` counts the choices for groups g.. that remove at least s more (scaled) channel steps; exact integers.
    """

    weights: tuple[int, ...]  # scaled by their greatest common divisor
    levels: int
    ways: tuple[tuple[int, ...], ...]
    allowed: tuple[tuple[int, ...], ...]  # steps of each group, ascending

    @classmethod
    def of(cls, graph: Graph, levels: int, threshold: float) -> "Space":
        """The space of a network's configurations.

        Raises:
            InputError: no configuration reaches `threshold`.
        """
        return cls.build(graph.weights, levels, threshold, _allowed(graph, levels))

    @classmethod
    def build(
        cls, weights: list[int], levels: int, threshold: float, allowed: tuple[tuple[int, ...], ...] | None = None
    ) -> "Space":
        """Count the space by dynamic programming over the groups, from the last to the first.

        Raises:
            InputError: no configuration reaches `threshold`.
        """
        allowed = allowed or tuple(tuple(range(levels)) for _ in weights)
        divisor = gcd(*weights)
        scaled = tuple(weight // divisor for weight in weights)
        # The shortest decimal that prints as the float is what the user wrote: 0.7 means 7/10.
        share = Fraction(str(threshold))
        most = sum(weight * steps[-1] for weight, steps in zip(scaled, allowed, strict=True))
        reachable = Fraction(most, levels * sum(scaled))
        if share > reachable:
            raise InputError(
                f"space.threshold: no configuration reaches {threshold}; "
                f"with {levels} levels the largest pruning ratio is {float(reachable):.4g}"
            )
        need = max(0, -(-share * levels * sum(scaled) // 1))  # ceiling, exact
        ways = [tuple(int(s == 0) for s in range(int(need) + 1))]
        for weight, steps in zip(reversed(scaled), reversed(allowed), strict=True):
            later = ways[0]
            row = tuple(sum(later[max(0, s - t * weight)] for t in steps) for s in range(int(need) + 1))
            ways.insert(0, row)
        return cls(scaled, levels, tuple(ways), allowed)

    def distinct(self, counts: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Steps that a search has to look at: of those that keep equally many channels the last, [G, levels].

        Args:
            counts: kept channels at each step, [G, levels].
        """
        found = np.zeros(counts.shape, bool)
        for group, steps in enumerate(self.allowed):
            own = counts[group, list(steps)]
            found[group, np.array(steps)[np.append(own[1:] != own[:-1], True)]] = True
        return found

    @property
    def count(self) -> int:
        """Number of configurations in the space, exact."""
        return self.ways[0][-1]

    def draw(self, size: int, seed: int, threads: int = 1) -> Steps:
        """Draw `size` configurations independently and uniformly, [size, G].

        Each step is drawn from its exact conditional distribution given the steps before it; the conditional
        probabilities are exact ratios of integers, rounded once to double. Blocks of rows have streams of their own, so
        the result does not depend on the number of threads.
        """
        return np.concatenate(list(self._blocks(size, seed, threads)))

    def _blocks(self, size: int, seed: int, threads: int, first: int = 0) -> Iterator[Steps]:
        """Yield `size` independent rows, block by block, from the streams of the blocks `first` and on."""

        def block(number: int) -> Steps:
            rows = min(BLOCK_ROWS, size - (number - first) * BLOCK_ROWS)
            return self._draw_block(self._cumulative, rows, np.random.default_rng([seed, number]))

        numbers = range(first, first + _blocks_of(size))
        with ThreadPoolExecutor(threads) as pool:
            for start in range(0, len(numbers), BLOCKS_AHEAD):
                yield from pool.map(block, numbers[start : start + BLOCKS_AHEAD])

    def _draw_block(self, tables: list[NDArray[np.float64]], size: int, rng: np.random.Generator) -> Steps:
        steps = np.empty((size, len(self.weights)), np.uint8)
        state = np.full(size, len(self.ways[0]) - 1)
        for group, weight in enumerate(self.weights):
            below = tables[group].take(state, axis=0)  # [B, levels - 1]; unlike indexing, lets other threads run
            step = (rng.random(size)[:, None] >= below).sum(axis=1)
            steps[:, group] = step
            state -= step * weight
            np.maximum(state, 0, out=state)
        return steps

    @cached_property
    def _cumulative(self) -> list[NDArray[np.float64]]:
        return [self._cumulative_of(group) for group in range(len(self.weights))]

    def _cumulative_of(self, group: int) -> NDArray[np.float64]:
        """P(step <= t | state) for t < levels - 1, [S, levels - 1]. A state that no choice can satisfy gets zeros."""
        weight, later = self.weights[group], self.ways[group + 1]
        table = np.zeros((len(later), self.levels - 1))
        for state, total in enumerate(self.ways[group]):
            running = 0
            for step in range(self.levels - 1 if total else 0):
                running += later[max(0, state - step * weight)] if step in self.allowed[group] else 0
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
                here = later[np.maximum(0, state - candidate * weight)] * (candidate in self.allowed[group])
                open_rows &= rest >= here
                rest -= np.where(open_rows, here, 0)
                step += open_rows
            steps[:, group] = step
            state = np.maximum(0, state - step * weight)
        return steps

    def sample(self, size: int, seed: int, threads: int = 1) -> Steps:
        """Draw `size` distinct configurations, uniform over all such sets, [size, G].

        Raises:
            InputError: `size` exceeds the space.
        """
        rows = np.empty((size, len(self.weights)), np.uint8)
        self.sample_into(rows, size, seed, threads)
        return rows

    def sample_into(self, rows: Rows, size: int, seed: int, threads: int = 1) -> None:
        """Store what `sample` returns in `rows`, block by block; 16 bytes a row are held in memory, whatever G.

        Raises:
            InputError: `size` exceeds the space.
        """
        if size > self.count:
            raise InputError(
                f"space.search_size: {size} distinct configurations asked for, but only {self.count} exist"
            )
        if self.count <= 2 * size:
            ranks = np.random.default_rng(seed).permutation(self.count)[:size]
            for start in range(0, size, BLOCK_ROWS):
                rows[start : start + BLOCK_ROWS] = self.unrank(ranks[start : start + BLOCK_ROWS])
            return
        keys, done, progress = np.empty(size, np.uint64), 0, Progress("candidates drawn:", size)
        for block in self._blocks(size, seed, threads):
            here = slice(done, done + len(block))
            rows[here], keys[here] = block, _keys(block, self.levels)
            done += len(block)
            progress.advance(len(block))
        ordered = np.sort(keys)
        repeats = repeated_rows(keys, ordered)
        if len(repeats):
            # The first `size` distinct values of independent uniform draws are a uniform sample without replacement;
            # those that come after the first `size` draws take the places of the repeats.
            _replace(rows, repeats, self._others(len(repeats), ordered, _blocks_of(size), seed, threads))

    def _others(self, size: int, seen: NDArray[np.uint64], number: int, seed: int, threads: int) -> Steps:
        """Draw, from the blocks `number` and on, `size` configurations that differ and are not among `seen` keys."""
        found: list[Steps] = []
        while size:
            drawn = np.concatenate(list(self._blocks(2 * size, seed, threads, number)))
            number += _blocks_of(2 * size)
            keys = _keys(drawn, self.levels)
            _, first = np.unique(keys, return_index=True)
            place = np.searchsorted(seen, keys[first]).clip(max=len(seen) - 1)
            new = np.sort(first[seen[place] != keys[first]])[:size]
            found.append(drawn[new])
            seen, size = np.sort(np.concatenate([seen, keys[new]])), size - len(new)
        return np.concatenate(found)


def _blocks_of(size: int) -> int:
    """Blocks that `size` rows take."""
    return -(-size // BLOCK_ROWS)


def _replace(rows: Rows, places: NDArray[np.int64], values: Steps) -> None:
    """Set the rows at ascending `places` to `values`."""
    for start in range(0, int(places[-1]) + 1, BLOCK_ROWS):
        inside = slice(*np.searchsorted(places, [start, start + BLOCK_ROWS]))
        if inside.start < inside.stop:
            block = rows[start : start + BLOCK_ROWS]
            block[places[inside] - start] = values[inside]
            rows[start : start + BLOCK_ROWS] = block


def _keys(steps: Steps, levels: int) -> NDArray[np.uint64]:
    """A number for each row, [M, G] -> [M]. Equal rows have equal numbers.

    Rows that differ have different ones for certain where levels ** G fits 64 bits; where not, two of them share one
    with a chance of about 2 ** -63, and the later is then dropped as if it were the earlier.
    """
    groups = steps.shape[1]
    radix = np.uint64(levels)
    if levels**groups >= 2**64:
        factors = np.random.default_rng(0).integers(0, 2**64, groups, np.uint64, endpoint=False) | np.uint64(1)
    else:
        factors = radix ** np.arange(groups, dtype=np.uint64)
    keys = np.zeros(len(steps), np.uint64)
    for group in range(groups):
        keys += steps[:, group].astype(np.uint64) * factors[group]
    return keys


def repeated_rows(keys: NDArray[np.uint64], ordered: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Ascending numbers of the rows whose key occurs in an earlier row; `ordered` are the keys, sorted."""
    repeated = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    suspects = np.flatnonzero(np.isin(keys, repeated)) if len(repeated) else np.empty(0, np.int64)
    _, first = np.unique(keys[suspects], return_index=True)
    return np.delete(suspects, first)


def draw_training(size: int, graph: Graph, levels: int, rng: np.random.Generator) -> Steps:
    """Draw the encoder's training set: uniform over the whole space, no threshold, [size, G] (section 3.3)."""
    steps = rng.integers(0, levels, (size, len(graph.groups)), dtype=np.uint8)
    for group, allowed in enumerate(_allowed(graph, levels)):
        if len(allowed) < levels:
            steps[:, group] = np.array(allowed, np.uint8)[rng.integers(0, len(allowed), size)]
    return steps
