"""What scores configurations: a closed form that is a sum over the groups, or an encoder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import nn

from sacp import imports
from sacp.errors import InputError, one_line
from sacp.network.graph import Graph
from sacp.pruning.space import Steps

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
    score: Mapping[str, Any], network: nn.Module, graph: Graph, levels: int, encoder: str | Path | None = None
) -> Scorer:
    """The scorer of a search method.

    Args:
        score: its `function`, an import path, and that function's `settings`. A closed form's (`additive`) is called
            with network, graph, levels and the settings, and returns what each group adds at each step,
            [G, levels]; an encoder's is called with the encoder's file before these, and returns a scorer.
        network: the base.
        graph: its graph.
        levels: granularity of the ratios.
        encoder: the file of the trained encoder, for a score that has one.
    """
    if score["additive"]:
        return AdditiveScorer(additive_values(score, network, graph, levels))
    function = imports.load(score["function"])
    scorer: Scorer = function(encoder, network, graph, levels, **score["settings"])
    return scorer


def additive_values(score: Mapping[str, Any], network: nn.Module, graph: Graph, levels: int) -> NDArray[np.float64]:
    """What each group adds to a closed-form score at each step, [G, levels].

    Raises:
        InputError: the function cannot be imported, or returns something else.
    """
    values = imports.call(score["function"], network, graph, levels, **score["settings"])
    expected = f"expected finite numbers of shape [groups, levels] = {[len(graph.groups), levels]}"
    try:
        found: NDArray[np.float64] = np.asarray(values, np.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"score '{score['function']}': found no array ({one_line(error)}), {expected}") from None
    if found.shape != (len(graph.groups), levels):
        raise InputError(f"score '{score['function']}': found an array of shape {list(found.shape)}, {expected}")
    if not np.isfinite(found).all():
        raise InputError(f"score '{score['function']}': found {found[~np.isfinite(found)][0]} in it, {expected}")
    return found
