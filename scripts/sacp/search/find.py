"""Candidates that a search finds for itself, beyond the sample."""

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sacp.errors import InputError, TooLargeError
from sacp.network.cost import Budget, cost_of_graph
from sacp.network.graph import Graph
from sacp.pruning.space import Space, Steps
from sacp.search import ranked
from sacp.search.local import climb
from sacp.search.scorers import AdditiveScorer, Scorer
from sacp.solver import bounded, exact
from sacp.solver.bounded import Found

log = logging.getLogger(__name__)
FARTHEST = 4  # groups; the distance that is tried first where none is set


class Sample(Protocol):
    """Configurations drawn at random, such as `search.files.Candidates`."""

    total: int

    def __iter__(self) -> Iterator[tuple[int, Steps]]:
        """Yield the number of a block's first candidate and its configurations [B, G]."""

    def rows(self, numbers: NDArray[np.int64]) -> Steps:
        """Configurations of these numbers, ascending, [n, G]."""


def find(
    way: str, settings: Mapping[str, Any], m: int, scorer: Scorer, graph: Graph, space: Space, sample: Sample,
    threads: int = 1,
) -> Found:  # fmt: skip
    """The best candidates of the whole space, or those reached from the best of the sample, best first, [n, G].

    Where the best cannot be known for certain, an exact search finds good ones, and a bound on all others.

    Args:
        way: how they are searched: `exact`, which needs an additive scorer, or `local`.
        settings: `budget`, `found` and `distance`; None is the largest up to 4 that leaves m candidates.
        m: how many are to be tuned.
        scorer: of the method.
        graph: the network's graph.
        space: the space, with its threshold.
        sample: what `local` starts from.
        threads: chunks of the sample scored at the same time.

    Raises:
        InputError: nothing is within the budget.
        KeyError: there is no such way.
    """
    budget = Budget.of(settings["budget"], cost_of_graph(graph))
    return WAYS[way](settings, m, scorer, graph, space, budget, sample, threads)


def _exact(
    settings: Mapping[str, Any], m: int, scorer: Scorer, graph: Graph, space: Space, budget: Budget, sample: Sample,
    threads: int,
) -> Found:  # fmt: skip
    assert isinstance(scorer, AdditiveScorer)
    values, number = scorer.values, settings["found"]

    def listed(distance: int, enough: int) -> Found:
        steps, sums = exact.best(values, graph, space, budget, number, distance, enough)
        return Found(steps, sums, float(sums[0]), True)

    try:
        return _apart(settings, m, graph, listed)
    except TooLargeError as error:
        log.info("%s", error)
    found = _apart(settings, m, graph, lambda distance, _: bounded.best(values, graph, space, budget, number, distance))
    if not found.solved:
        log.warning(
            "search: too large to be solved exactly: best score %.6g, at most %.6g possible; "
            "the candidates are good ones, not for certain the best", found.value, found.bound,
        )  # fmt: skip
    return found


def _local(
    settings: Mapping[str, Any], m: int, scorer: Scorer, graph: Graph, space: Space, budget: Budget, sample: Sample,
    threads: int,
) -> Found:  # fmt: skip
    number = settings["found"]
    best = ranked.best(iter(sample), sample.total, scorer, graph, space.levels, number, budget, threads)
    found, scores = climb(sample.rows(np.sort(best["candidate"])), scorer, graph, space, budget)
    log.info("best score of the sample %.6g, of the local search %.6g", best["score"][0], scores[0])

    def chosen(distance: int, _: int) -> Found:
        return Found(*exact.apart(found, scores, number, distance), np.inf, False)

    return _apart(settings, m, graph, chosen)


def _apart(settings: Mapping[str, Any], m: int, graph: Graph, look: Callable[[int, int], Found]) -> Found:
    """What `look` finds, given a distance and the number that suffices, at the distance of the settings."""
    distance, number = settings["distance"], settings["found"]
    if distance is not None:
        return look(distance, number)
    for distance in range(min(FARTHEST, len(graph.groups)), 1, -1):
        try:
            found = look(distance, m)
        except TooLargeError:
            continue
        if len(found.steps) >= m:
            log.info("any two candidates differ in %d groups at least (search.distance is not set)", distance)
            return found
    log.info("no %d candidates differ in 2 groups (search.distance is not set)", m)
    return look(1, number)


WAYS = {"exact": _exact, "local": _local}


def check_number(found: int, wanted: int, distance: int | None) -> None:
    """Raise `InputError` if fewer candidates were found than are to be tuned."""
    if found < wanted:
        raise InputError(
            f"search: {found} candidates found, m = {wanted} (refine.top_m) asked for; "
            + (f"lower search.distance from {distance}, " if distance not in (None, 1) else "")
            + "widen search.budget, or lower m"
        )
