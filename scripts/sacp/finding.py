"""Candidates that a search finds for itself, beyond the sample."""

import logging
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sacp import climb, exact, scoring
from sacp.cost import Budget, cost_of_graph
from sacp.errors import InputError
from sacp.graph import Graph
from sacp.space import Space, Steps

log = logging.getLogger(__name__)


class Sample(Protocol):
    """Configurations drawn at random, such as `artefacts.Candidates`."""

    total: int

    def __iter__(self) -> Iterator[tuple[int, Steps]]:
        """Yield the number of a block's first candidate and its configurations [B, G]."""

    def rows(self, numbers: NDArray[np.int64]) -> Steps:
        """Configurations of these numbers, ascending, [n, G]."""


def find(
    method: Mapping[str, Any], search: Mapping[str, Any], scorer: scoring.Scorer, graph: Graph, space: Space,
    sample: Sample, threads: int = 1,
) -> Steps:  # fmt: skip
    """The best candidates of the whole space, or those reached from the best of the sample, best first, [n, G].

    Args:
        method: its `search`, exact or local.
        search: `budget`, `found` and `distance`.
        scorer: of the method; `exact` needs an additive one.
        graph: the network's graph.
        space: the space, with its threshold.
        sample: what `local` starts from.
        threads: chunks of the sample scored at the same time.

    Raises:
        InputError: nothing is within the budget.
    """
    budget, number = Budget.of(search["budget"], cost_of_graph(graph)), search["found"]
    if method["search"] == "exact":
        assert isinstance(scorer, scoring.AdditiveScorer)
        return exact.best(scorer.values, graph, space, budget, number, search["distance"])[0]
    best = scoring.search(iter(sample), sample.total, scorer, graph, space.levels, number, budget, threads)
    starts = sample.rows(np.sort(best["candidate"]))
    found, scores = climb.climb(starts, scorer, graph, space, budget)
    log.info("best score of the sample %.6g, of the local search %.6g", best["score"][0], scores[0])
    return exact.apart(found, scores, number, search["distance"])[0]


def check_number(found: int, wanted: int, distance: int) -> None:
    """Raise `InputError` if fewer candidates were found than are to be tuned."""
    if found < wanted:
        raise InputError(
            f"search: {found} candidates found, m = {wanted} (refine.top_m) asked for; lower search.distance from "
            f"{distance}, widen search.budget, or lower m"
        )
