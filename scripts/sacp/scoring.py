"""Millions of configurations -> the best of them by score, the cosine to the original's embedding (eq. 10).

Candidates stream through in blocks. Only the best rows so far are held: memory does not grow with the rest.
"""

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sacp.cost import Budget, costs_of_counts
from sacp.criteria import Order
from sacp.dense import DenseScorer
from sacp.encoder import Encoder
from sacp.errors import InputError
from sacp.graph import Graph
from sacp.progress import Progress
from sacp.space import Steps, kept_counts
from sacp.tables import TableScorer, entries

log = logging.getLogger(__name__)
MOST_ENTRIES = 1 << 18  # table rows; at 64 hidden units, 68 MB
NO_BUDGET = Budget()


class Scorer(Protocol):
    """What scores configurations."""

    chunk: int  # candidates scored at a time

    def score_chunk(self, steps: Steps) -> NDArray[np.float32]:
        """Scores of configurations, [B, G] -> float32 [B]."""


def make_scorer(encoder: Encoder, graph: Graph, order: Order, levels: int, edges: str) -> Scorer:
    """Tables where they are small enough, dense batches where not; the log says which."""
    dense = DenseScorer(encoder, graph, order, levels, edges)
    rows = entries(dense)
    if rows > MOST_ENTRIES:
        log.info("scoring in dense batches: tables would have %.3g rows, more than %d", rows, MOST_ENTRIES)
        return dense
    log.info("scoring by tables of %d rows", rows)
    return TableScorer(dense)


@dataclass
class Best:
    """Rows kept so far, unordered: candidate numbers int64 [n], scores float32 [n], FLOPs and parameters int64 [n]."""

    candidate: NDArray[np.int64]
    score: NDArray[np.float32]
    flops: NDArray[np.int64]
    parameters: NDArray[np.int64]

    @classmethod
    def empty(cls) -> "Best":
        """No rows."""
        whole = np.empty(0, np.int64)
        return cls(whole, np.empty(0, np.float32), whole, whole)

    @classmethod
    def joined(cls, parts: list["Best"]) -> "Best":
        """Rows of all parts, each copied once."""
        return cls(
            np.concatenate([part.candidate for part in parts]),
            np.concatenate([part.score for part in parts]),
            np.concatenate([part.flops for part in parts]),
            np.concatenate([part.parameters for part in parts]),
        )

    def taken(self, rows: NDArray[np.int64]) -> "Best":
        """Some of the rows."""
        return Best(self.candidate[rows], self.score[rows], self.flops[rows], self.parameters[rows])

    def best_first(self, keep: int | None = None) -> "Best":
        """Rows by falling score, ties by candidate number; the first `keep` of them."""
        return self.taken(np.lexsort((self.candidate, -self.score))[:keep])


def search(
    blocks: Iterator[tuple[int, Steps]], total: int, scorer: Scorer, graph: Graph, levels: int,
    keep: int | None = None, budget: Budget = NO_BUDGET, threads: int = 1,
) -> Best:  # fmt: skip
    """Score all candidates and return the best, best first. The result does not depend on blocks or threads.

    Args:
        blocks: pairs of the first candidate's number and the configurations [B, G] of a block.
        total: number of candidates, for the progress in the log.
        scorer: from `make_scorer`.
        graph: the network's graph, for costs.
        levels: granularity of the ratios.
        keep: rows to return; all if None.
        budget: candidates above it are left out.
        threads: chunks scored at the same time.

    Raises:
        InputError: no candidate is within the budget; names the smallest that was found.
    """
    best, pending, smallest, progress = Best.empty(), [], (2**62, 2**62), Progress("candidates scored:", total)
    with ThreadPoolExecutor(threads) as pool:
        for first, steps in blocks:
            scored = _score_block(pool, scorer, graph, levels, first, steps)
            smallest = (min(smallest[0], int(scored.flops.min())), min(smallest[1], int(scored.parameters.min())))
            pending.append(scored.taken(np.flatnonzero(_within(scored, budget))))
            if keep is not None and sum(len(rows.score) for rows in pending) > keep:
                best, pending = Best.joined([best, *pending]).best_first(keep), []
            progress.advance(len(steps))
    result = Best.joined([best, *pending]).best_first(keep)
    if not len(result.score):
        raise InputError(
            f"search.budget: none of {total} candidates is within {budget}; the smallest found takes "
            f"{smallest[0]} FLOPs, the smallest {smallest[1]} parameters"
        )
    return result


def _score_block(pool: ThreadPoolExecutor, scorer: Scorer, graph: Graph, levels: int, first: int, steps: Steps) -> Best:
    starts = range(0, len(steps), scorer.chunk)

    def work(start: int) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
        chunk = steps[start : start + scorer.chunk]
        return scorer.score_chunk(chunk), *costs_of_counts(graph, kept_counts(chunk, graph.channels, levels))

    scores, flops, parameters = (np.concatenate(parts) for parts in zip(*pool.map(work, starts), strict=True))
    return Best(np.arange(first, first + len(steps)), scores, flops, parameters)


def _within(rows: Best, budget: Budget) -> NDArray[np.bool_]:
    inside = np.ones(len(rows.score), bool)
    if budget.flops is not None:
        inside &= rows.flops <= budget.flops
    if budget.parameters is not None:
        inside &= rows.parameters <= budget.parameters
    return inside
