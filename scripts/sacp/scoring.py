"""Millions of configurations -> the best of them by score: the cosine to the original's embedding (eq. 10), another
score of an encoder, or a closed form.

Candidates stream through in blocks. Only the best rows so far are held: memory does not grow with the rest.
"""

import logging
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sacp.cost import Budget, costs_of_counts
from sacp.criteria import Norms, log_mass_values
from sacp.dense import DenseScorer
from sacp.encoder import DISTANCE, EncoderSettings, load
from sacp.errors import InputError
from sacp.graph import Graph
from sacp.problem import ENCODER
from sacp.progress import Progress
from sacp.space import Steps, kept_counts, pruning_ratio
from sacp.tables import CHUNK, DistanceTables, TableScorer, entries

log = logging.getLogger(__name__)
MOST_ENTRIES = 1 << 18  # table rows; at 64 hidden units, 68 MB
NO_BUDGET = Budget()


class Scorer(Protocol):
    """What scores configurations."""

    chunk: int  # candidates scored at a time

    def score_chunk(self, steps: Steps) -> NDArray[np.float32]:
        """Scores of configurations, [B, G] -> float32 [B]."""


def score_all(scorer: Scorer, steps: Steps) -> NDArray[np.float32]:
    """Scores of configurations, chunk by chunk, [n, G] -> float32 [n]."""
    parts = [scorer.score_chunk(steps[at : at + scorer.chunk]) for at in range(0, len(steps), scorer.chunk)]
    return np.concatenate(parts) if parts else np.empty(0, np.float32)


class AdditiveScorer:
    """A score that is a sum over the groups of functions of their steps: no encoder. `values` are [G, levels]."""

    chunk = CHUNK

    def __init__(self, values: NDArray[np.float64]) -> None:
        self.values = values

    def score_chunk(self, steps: Steps) -> NDArray[np.float32]:
        """Scores of configurations, [B, G] -> float32 [B]."""
        scores = np.zeros(len(steps))
        for group, values in enumerate(self.values):
            scores += values[steps[:, group]]
        return scores.astype(np.float32)


def additive_values(method: Mapping[str, Any], graph: Graph, norms: Norms, levels: int) -> NDArray[np.float64]:
    """What each group adds to a method's closed-form score at each step, [G, levels].

    `log-mass` is the weighted sum over layers of ln(kept share of the L1 mass), `pruning-ratio` minus R of eq. 1.
    `random` is zero for all: of equal scores the earlier candidates come first, and those were drawn at random.
    """
    score = method["score"]
    if score == "random":
        return np.zeros((len(graph.groups), levels))
    if score == "pruning-ratio":
        weights = np.array(graph.weights, np.float64)
        ratios: NDArray[np.float64] = weights[:, None] * np.arange(levels) / (levels * weights.sum())
        return -ratios
    return log_mass_values(graph, norms, levels, **method["exponents"])


def of_method(method: Mapping[str, Any], encoder: str | Path | None, graph: Graph, norms: Norms, levels: int) -> Scorer:
    """The scorer of a search method: of its trained encoder, or of its closed form."""
    if method["score"] != ENCODER:
        return AdditiveScorer(additive_values(method, graph, norms, levels))
    assert encoder is not None
    settings = EncoderSettings(**method["encoder"])
    return make_scorer(DenseScorer.of(load(encoder, graph, levels, settings), graph, norms, levels, settings))


def make_scorer(dense: DenseScorer) -> Scorer:
    """Tables where they are small enough, dense batches where not; the log says which."""
    rows = entries(dense)
    if rows > MOST_ENTRIES:
        log.info("scoring in dense batches: tables would have %.3g rows, more than %d", rows, MOST_ENTRIES)
        return dense
    log.info("scoring by tables of %d rows", rows)
    return DistanceTables(dense) if dense.score == DISTANCE else TableScorer(dense)


# A candidate with its score, costs and R(r) of eq. 1: a row of `scores.parquet`.
ROW = np.dtype(
    [
        ("candidate", np.int64),
        ("score", np.float32),
        ("pruning_ratio", np.float64),
        ("flops", np.int64),
        ("parameters", np.int64),
    ]
)
Scored = NDArray[np.void]  # [n] of ROW


def _highest(rows: Scored, keep: int) -> Scored:
    """The `keep` rows of highest score, in the order they came; of equal scores the earlier ones."""
    lowest = np.partition(rows["score"], -keep)[-keep]
    chosen = rows["score"] > lowest
    ties = np.flatnonzero(rows["score"] == lowest)
    chosen[ties[: keep - np.count_nonzero(chosen)]] = True
    highest: Scored = rows[chosen]
    return highest


def search(
    blocks: Iterator[tuple[int, Steps]], total: int, scorer: Scorer, graph: Graph, levels: int,
    keep: int | None = None, budget: Budget = NO_BUDGET, threads: int = 1,
) -> Scored:  # fmt: skip
    """Score all candidates and return the best, best first, [n] of ROW. It does not depend on blocks or threads.

    Args:
        blocks: pairs of the first candidate's number and the configurations [B, G] of a block, by rising number.
        total: number of candidates, for the progress in the log.
        scorer: from `make_scorer`.
        graph: the network's graph, for costs.
        levels: granularity of the ratios.
        keep: rows to return; all if None.
        budget: candidates outside it are left out.
        threads: chunks scored at the same time.

    Raises:
        InputError: no candidate is within the budget; names the smallest that was found.
    """
    held, smallest, lowest = [np.empty(0, ROW)], (2**62, 2**62), -np.inf
    progress = Progress("candidates scored:", total)
    with ThreadPoolExecutor(threads) as pool:
        for first, steps in blocks:
            rows = _score_block(pool, scorer, graph, levels, first, steps)
            smallest = (min(smallest[0], int(rows["flops"].min())), min(smallest[1], int(rows["parameters"].min())))
            # A candidate that ties with the lowest held comes too late: the lower number was before.
            held.append(rows[budget.holds(rows["flops"], rows["parameters"]) & (rows["score"] > lowest)])
            if keep is not None and sum(map(len, held)) >= keep:
                held = [_highest(np.concatenate(held), keep)]
                lowest = held[0]["score"].min()
            progress.advance(len(steps))
    result = np.concatenate(held)
    result = result[np.argsort(-result["score"], kind="stable")]
    if not len(result):
        raise InputError(
            f"search.budget: none of {total} candidates is within {budget}; the smallest found takes "
            f"{smallest[0]} FLOPs, the smallest {smallest[1]} parameters"
        )
    return result


def _score_block(
    pool: ThreadPoolExecutor, scorer: Scorer, graph: Graph, levels: int, first: int, steps: Steps
) -> Scored:
    rows = np.empty(len(steps), ROW)
    rows["candidate"] = np.arange(first, first + len(steps))

    def work(start: int) -> None:
        here = slice(start, start + scorer.chunk)
        rows["score"][here] = scorer.score_chunk(steps[here])
        rows["pruning_ratio"][here] = pruning_ratio(steps[here], graph.weights, levels)
        flops, parameters = costs_of_counts(graph, kept_counts(steps[here], graph.channels, levels))
        rows["flops"][here], rows["parameters"][here] = flops, parameters

    list(pool.map(work, range(0, len(steps), scorer.chunk)))
    return rows
