"""What scores configurations: a closed form that is a sum over groups and pairs of them, or an encoder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import nn

from sacp import imports
from sacp.errors import INTERRUPTS, InputError, shown, told
from sacp.network.graph import Graph
from sacp.pruning.space import Steps
from sacp.solver.tables import Score, Tables, as_score

SENSITIVITY = "sensitivity"  # what a score may need
CHUNK = 1 << 14  # candidates that a closed form scores at a time: their sums stay in the cache


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
    """A score that is a sum over groups, and pairs of them, of functions of their steps: no encoder.

    `values` are [G, levels], or tables of groups and pairs.
    """

    chunk = CHUNK

    def __init__(self, values: NDArray[np.float64] | Score) -> None:
        self.values = as_score(values)

    def score_chunk(self, steps: Steps) -> NDArray[np.float32]:
        """Scores of configurations, [B, G] -> float32 [B]."""
        return self.values.of(steps).astype(np.float32)


def of_score(
    score: Mapping[str, Any], network: nn.Module, graph: Graph, levels: int, encoder: str | Path | None = None,
    sensitivity: NDArray[np.float64] | None = None,
) -> Scorer:  # fmt: skip
    """The scorer of a search method.

    Args:
        score: its `function`, an import path, and that function's `settings`. A closed form's (`additive`) is called
            with network, graph, levels and the settings, and returns what each group adds at each step,
            [G, levels], alone or in a tuple with what pairs of groups i < j add, {(i, j): [levels, levels]}; an
            encoder's is called with the encoder's file before these, and returns a scorer.
        network: the base.
        graph: its graph.
        levels: granularity of the ratios.
        encoder: the file of the trained encoder, for a score that has one.
        sensitivity: of the groups, [G], for a score that `needs` it.
    """
    if score["additive"]:
        return AdditiveScorer(additive_values(score, network, graph, levels, sensitivity))
    function = imports.load(score["function"])
    scorer: Scorer = function(encoder, network, graph, levels, **score["settings"])
    return scorer


def additive_values(
    score: Mapping[str, Any], network: nn.Module, graph: Graph, levels: int,
    sensitivity: NDArray[np.float64] | None = None,
) -> Score:  # fmt: skip
    """What each group, and each pair of groups that has a table, adds to a closed-form score at each step.

    Raises:
        InputError: the function cannot be imported, or returns something else, or what float32 cannot tell apart.
    """
    measured = {SENSITIVITY: sensitivity} if SENSITIVITY in score.get("needs", ()) else {}
    values = imports.call(score["function"], network, graph, levels, **measured, **score["settings"])
    try:
        found = _tables(values, len(graph.groups), levels)
        _check_sums(found)
    except InputError as error:
        raise InputError(f"score '{score['function']}': {error}") from None
    return found


def _tables(values: Any, groups: int, levels: int) -> Score:
    """The tables that a function returned: [groups, levels], alone or with those of pairs by their groups."""
    given, coupled = values, dict[Any, Any]()
    if isinstance(values, tuple) and len(values) == 2 and isinstance(values[1], Mapping):
        given, coupled = values
    unary, pairs = _numbers(given, (groups, levels), "[groups, levels]"), {}
    for pair, table in coupled.items():
        if not _is_pair(pair, groups):
            raise InputError(f"found a table of {shown(pair)}, expected of (i, j), two groups 0 <= i < j < {groups}")
        i, j = map(int, pair)
        try:
            pairs[i, j] = _numbers(table, (levels, levels), "[levels, levels]")
        except InputError as error:
            raise InputError(f"table of {(i, j)}: {error}") from None
    return Tables(0, tuple(unary), pairs)


def _is_pair(pair: Any, groups: int) -> bool:
    is_two = isinstance(pair, tuple) and len(pair) == 2 and all(isinstance(each, (int, np.integer)) for each in pair)
    return is_two and bool(0 <= pair[0] < pair[1] < groups)


def _numbers(values: Any, shape: tuple[int, int], axes: str) -> NDArray[np.float64]:
    expected = f"expected finite numbers of shape {axes} = {list(shape)}"
    try:
        given = np.asarray(values)
    except INTERRUPTS:
        raise
    except BaseException as error:  # what a user's function returns may compute as it is read
        raise InputError(f"found no array ({told(error)}), {expected}") from None
    if given.dtype.kind not in "fiu":
        raise InputError(f"found an array of the type {given.dtype.name}, {expected}")
    if given.shape != shape:
        raise InputError(f"found an array of shape {list(given.shape)}, {expected}")
    found: NDArray[np.float64] = given.astype(np.float64)
    if not np.isfinite(found).all():
        raise InputError(f"found {found[~np.isfinite(found)][0]} in it, {expected}")
    return found


def _check_sums(score: Score) -> None:
    """Refuse tables whose sums float32, in which scores are ranked, cannot hold or cannot tell apart."""
    every = [*score.unary, *score.pairs.values()]
    least, most = np.array([[table.min(), table.max()] for table in every]).T
    with np.errstate(over="ignore"):
        highest, limit = np.maximum(abs(least), abs(most)).sum(), np.finfo(np.float32).max
    if highest > limit:
        raise InputError(f"its sums over the groups reach {highest:.3g}, expected at most {limit:.3g}; scale it")
    size, step = np.float32(max(abs(least.sum()), abs(most.sum()))), float((most - least).max())
    if step > 0 and size + np.float32(step) == size:
        raise InputError(
            f"no step changes its sum over the groups, about {size:.3g}, by more than {step:.3g}, which float32 cannot "
            "tell; scale it, or subtract from each group what all its steps share"
        )
