"""Millions of configurations -> the best of them by score.

Candidates stream through in blocks. Only the best rows so far are held: memory does not grow with the rest.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from sacp.errors import InputError
from sacp.network.cost import Budget, costs_of_counts
from sacp.network.graph import Graph
from sacp.progress import Progress
from sacp.pruning.space import Steps, kept_counts, pruning_ratio
from sacp.search.scorers import Scorer

NO_BUDGET = Budget()

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


def best(
    blocks: Iterator[tuple[int, Steps]], total: int, scorer: Scorer, graph: Graph, levels: int,
    keep: int | None = None, budget: Budget = NO_BUDGET, threads: int = 1,
) -> Scored:  # fmt: skip
    """Score all candidates and return the best, best first, [n] of ROW. It does not depend on blocks or threads.

    Args:
        blocks: pairs of the first candidate's number and the configurations [B, G] of a block, by rising number.
        total: number of candidates, for the progress in the log.
        scorer: what scores them.
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


def _highest(rows: Scored, keep: int) -> Scored:
    """The `keep` rows of highest score, in the order they came; of equal scores the earlier ones."""
    lowest = np.partition(rows["score"], -keep)[-keep]
    chosen = rows["score"] > lowest
    ties = np.flatnonzero(rows["score"] == lowest)
    chosen[ties[: keep - np.count_nonzero(chosen)]] = True
    highest: Scored = rows[chosen]
    return highest


def _score_block(
    pool: ThreadPoolExecutor, scorer: Scorer, graph: Graph, levels: int, first: int, steps: Steps
) -> Scored:
    rows = np.empty(len(steps), ROW)
    rows["candidate"] = np.arange(first, first + len(steps))

    def work(start: int) -> None:
        here = slice(start, start + scorer.chunk)
        rows["score"][here] = scorer.score_chunk(steps[here])
        rows["pruning_ratio"][here] = pruning_ratio(steps[here], graph.weights, levels)
        flops, parameters = costs_of_counts(graph, kept_counts(steps[here], graph, levels))
        rows["flops"][here], rows["parameters"][here] = flops, parameters

    list(pool.map(work, range(0, len(steps), scorer.chunk)))
    return rows
