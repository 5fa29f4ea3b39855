"""Child process: seconds of sampling, encoder training and scoring, scaled from small parts."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sacp.encoder import scorer as encoder_scorer
from sacp.encoder.dense import DenseScorer
from sacp.encoder.model import Encoder, EncoderSettings
from sacp.encoder.training import Labels, train_encoder
from sacp.forecast.processes import serve
from sacp.network.architectures import build
from sacp.network.constraints import Constraints
from sacp.network.graph import Graph
from sacp.network.spec import NetworkSpec
from sacp.plan.experiments import constraints
from sacp.pruning.criteria import Norms, l1_norms
from sacp.pruning.space import Space, Steps, draw_training
from sacp.search import files, ranked  # noqa: F401 (files: the stages import it, which takes time)
from sacp.search.find import find
from sacp.search.scorers import Scorer, of_score
from sacp.tracing.trace import trace

SAMPLE = "sample"  # the way of a search that finds no candidates of its own
CANDIDATES = 1 << 17  # drawn and scored, at most
BATCHES = 40  # of the encoder, at most


def measure(request: Mapping[str, Any]) -> dict[str, Any]:
    """Measure the three stages of a search one after the other.

    Args:
        request: `network`, `space`, `search`, `m`, `threads`, and the method's `score`, `way` to search and number of
            `labels`, 0 if it learns from none.

    Returns:
        `sample_seconds`, `encoder_seconds` (0 without an encoder), `find_seconds` (0 of a sample) and
        `score_seconds` of the whole stages.
    """
    spec = NetworkSpec(**request["network"])
    base = build(spec)
    space = request["space"]
    graph = trace(base, spec.input_shape, Constraints.of(**constraints(request)))
    norms, threads, training = l1_norms(base, graph), request["threads"], 0.0
    sampling, candidates = _sampling(graph, space, threads)
    started = time.monotonic()
    if request["score"]["additive"]:
        scorer: Scorer = of_score(
            request["score"], base, graph, space["levels"], sensitivity=np.ones(len(graph.groups))
        )
    else:
        settings = EncoderSettings(**request["score"]["settings"])
        training, encoder = _training(graph, norms, space, settings, request["labels"])
        started = time.monotonic()
        scorer = encoder_scorer.fastest(DenseScorer.of(encoder, graph, norms, space["levels"], settings))
    ready = time.monotonic() - started
    scores, found = ready + _scoring(graph, space, scorer, candidates, threads), 0.0
    if request["way"] != SAMPLE:
        started = time.monotonic()
        constrained = Space.of(graph, space["levels"], space["threshold"])
        drawn = SearchSetPart(candidates)
        find(request["way"], request["search"], request["m"], scorer, graph, constrained, drawn, threads)
        found = time.monotonic() - started + (scores if request["way"] == "local" else 0.0)
        scores = ready
    return {"sample_seconds": sampling, "encoder_seconds": training, "find_seconds": found, "score_seconds": scores}


class SearchSetPart:
    """A part of the search set, as a local search starts from it."""

    def __init__(self, steps: Steps) -> None:
        self.steps, self.total = steps, len(steps)

    def __iter__(self) -> Iterator[tuple[int, Steps]]:
        yield 0, self.steps

    def rows(self, numbers: NDArray[np.int64]) -> Steps:
        """Configurations of these numbers, [n, G]."""
        return self.steps[numbers]


def _sampling(graph: Graph, space: Mapping[str, Any], threads: int) -> tuple[float, Steps]:
    """Seconds to draw the search set, and a part of it."""
    started, size = time.monotonic(), space["search_size"]
    constrained = Space.of(graph, space["levels"], space["threshold"])
    constrained.draw(1, 0)  # makes the tables
    ready = time.monotonic()
    part = constrained.sample(min(size, CANDIDATES), 0, threads)
    return ready - started + (time.monotonic() - ready) * size / len(part), part


def _training(
    graph: Graph, norms: Norms, space: Mapping[str, Any], settings: EncoderSettings, labels: int
) -> tuple[float, Encoder]:  # fmt: skip
    """Seconds to train the encoder, and one that was trained a little; the accuracies of its labels are drawn."""
    size, drawn = labels or space["training_size"], np.random.default_rng(0)
    rows = draw_training(min(size, BATCHES * settings.batch_size), graph, space["levels"], drawn)
    few = max(1, BATCHES * settings.batch_size // len(rows)) if labels else 1

    def train(rows: Steps, epochs: int) -> Encoder:
        known = Labels(np.arange(len(rows)), drawn.random(len(rows))) if labels else None
        return train_encoder(graph, norms, rows, space["levels"], replace(settings, epochs=epochs), 0, known)[0]

    train(rows[: 4 * settings.batch_size], 1)  # to warm up
    started = time.monotonic()
    encoder = train(rows, few)
    return (time.monotonic() - started) * settings.epochs / few * size / len(rows), encoder


def _scoring(
    graph: Graph, space: Mapping[str, Any], scorer: Scorer, candidates: Steps, threads: int
) -> float:  # fmt: skip
    """Seconds to score the search set."""
    number, started = len(candidates), time.monotonic()
    ranked.best(iter([(0, candidates)]), number, scorer, graph, space["levels"], threads=threads)
    size: int = space["search_size"]
    return (time.monotonic() - started) * size / number


if __name__ == "__main__":
    serve(measure)
