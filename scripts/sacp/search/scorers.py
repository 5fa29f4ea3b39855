"""What scores configurations: a closed form that is a sum over the groups, or an encoder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import nn

from sacp import imports
from sacp.errors import INTERRUPTS, InputError, told
from sacp.network.graph import Graph
from sacp.pruning.space import Steps

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


def of_score(
    score: Mapping[str, Any], network: nn.Module, graph: Graph, levels: int, encoder: str | Path | None = None,
    sensitivity: NDArray[np.float64] | None = None,
) -> Scorer:  # fmt: skip
    """The scorer of a search method.

    Args:
        score: its `function`, an import path, and that function's `settings`. A closed form's (`additive`) is called
            with network, graph, levels and the settings, and returns what each group adds at each step,
            [G, levels]; an encoder's is called with the encoder's file before these, and returns a scorer.
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
) -> NDArray[np.float64]:  # fmt: skip
    """What each group adds to a closed-form score at each step, [G, levels].

    Raises:
        InputError: the function cannot be imported, or returns something else, or what float32 cannot tell apart.
    """
    measured = {SENSITIVITY: sensitivity} if SENSITIVITY in score.get("needs", ()) else {}
    values = imports.call(score["function"], network, graph, levels, **measured, **score["settings"])
    try:
        found = _numbers(values, (len(graph.groups), levels))
        _check_sums(found)
    except InputError as error:
        raise InputError(f"score '{score['function']}': {error}") from None
    return found


def _numbers(values: Any, shape: tuple[int, int]) -> NDArray[np.float64]:
    expected = f"expected finite numbers of shape [groups, levels] = {list(shape)}"
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


def _check_sums(values: NDArray[np.float64]) -> None:
    """Refuse values [G, levels] whose sums float32, in which scores are ranked, cannot hold or cannot tell apart."""
    with np.errstate(over="ignore"):
        highest, most = np.abs(values).max(axis=1).sum(), np.finfo(np.float32).max
    if highest > most:
        raise InputError(f"its sums over the groups reach {highest:.3g}, expected at most {most:.3g}; scale it")
    sums = np.array([values.min(axis=1).sum(), values.max(axis=1).sum()])
    size, step = np.float32(np.abs(sums).max()), float((values.max(axis=1) - values.min(axis=1)).max())
    if step > 0 and size + np.float32(step) == size:
        raise InputError(
            f"no step changes its sum over the groups, about {size:.3g}, by more than {step:.3g}, which float32 cannot "
            "tell; scale it, or subtract from each group what all its steps share"
        )
