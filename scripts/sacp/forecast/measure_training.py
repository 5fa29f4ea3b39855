"""Child process: seconds per image of trainings and evaluations, by the code of the real ones.

Images are synthetic, or the user's files.
"""

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from sacp import imports
from sacp.artefacts.digests import file_digest
from sacp.compute.arithmetic import Engine, engine_of, has_bfloat16
from sacp.compute.long_job import device
from sacp.forecast.processes import serve
from sacp.images.batches import EVALUATION_BATCH, FILES_EVALUATION_BATCH, Normalizer, drawn_batches
from sacp.images.folder import FileSet
from sacp.images.splits import Images, Splits, load_splits
from sacp.network.architectures import build
from sacp.network.constraints import Constraints
from sacp.network.cost import costs_of_counts
from sacp.network.spec import NetworkSpec
from sacp.network.surgery import prune
from sacp.pruning.criteria import kept_channels, l1_order
from sacp.search import files  # noqa: F401 (a training imports it, which takes time)
from sacp.tracing.trace import trace
from sacp.training.evaluation import accuracy_percent
from sacp.training.loop import batches_of, train
from sacp.training.probes import IMAGES, of_all
from sacp.training.recipe import Recipe

STEPS = 8  # of what stands for an epoch, at most
FEWEST, MOST = 1, 100  # such epochs that are measured
EVALUATED = 2  # batches, at most
LR = 1e-3  # synthetic images have nothing to learn; a larger rate could diverge


def measure(request: Mapping[str, Any]) -> dict[str, Any]:
    """Measure one network after the other.

    Args:
        request: `network`, `counts` (kept channels [G] of each network, None for the unpruned one), `recipe`, `data`,
            `validation`, `device`, `engine`, `constraints`, `zero_cost` (import paths of predictors by name), and
            `seconds` that the steps of a network may take.

    Returns:
        `load_seconds` of the data, `trace_seconds`, `first_seconds` that parts of torch take to load
        when they are first used, and by network `flops`, `train_seconds` and `evaluate_seconds` per
        image, and `predict_seconds`, of all predictors.
    """
    place, recipe = device(request["device"]), Recipe(**request["recipe"])
    engine = engine_of(request["engine"], place, has_bfloat16(place))
    started = time.monotonic()
    file_digest(request["data"])
    splits = load_splits(request["data"], request["validation"], seed=0)
    batches_of(splits, recipe, place)
    loaded = time.monotonic()
    spec = NetworkSpec(**request["network"])
    base = build(spec)
    graph = trace(base, spec.input_shape, Constraints.of(**request["constraints"]))
    traced = time.monotonic()
    order = l1_order(base, graph)
    answer: dict[str, Any] = {"load_seconds": loaded - started, "trace_seconds": traced - loaded}
    answer |= {"flops": [], "train_seconds": [], "evaluate_seconds": [], "predict_seconds": []}
    predictors = [(name, imports.load(path)) for name, path in request["zero_cost"].items()]
    for counts in request["counts"]:
        kept = kept_channels(order, np.array(graph.channels if counts is None else counts, np.int64))
        network = prune(base, graph, kept).to(place)
        answer["flops"].append(int(costs_of_counts(graph, np.array([[len(c) for c in kept]]))[0][0]))
        first, steps = _step_seconds(network, base, splits, recipe, engine, request["seconds"])
        answer.setdefault("first_seconds", traced - loaded + max(0.0, first))
        answer["train_seconds"].append(steps)
        answer["evaluate_seconds"].append(_evaluation_seconds(network, splits))
        answer["predict_seconds"].append(_prediction_seconds(network, splits, predictors, place))
    return answer


def _step_seconds(
    network: nn.Module, base: nn.Module, splits: Splits, recipe: Recipe, engine: Engine, seconds: float
) -> tuple[float, float]:
    """Extra seconds of the first short epoch over the later ones, and seconds per image of the later ones."""
    images = min(len(splits.train.labels), STEPS * recipe.batch_size)
    few = replace(splits, train=_head(splits, images))
    once = replace(recipe, epochs=1, lr=LR, warmup_epochs=0, validate_every=0)
    started = time.monotonic()
    warm = train(network, few, once, 0, "warm-up", engine, teacher=base)[0]["seconds"]
    took = time.monotonic() - started
    epochs = min(max(math.ceil(seconds / warm), FEWEST), MOST)
    more = replace(once, epochs=epochs)
    rows: Sequence[Mapping[str, Any]] = train(network, few, more, 0, "measured", engine, teacher=base)
    epoch = float(np.mean([row["seconds"] for row in rows]))
    return took - epoch, epoch / images


def _evaluation_seconds(network: nn.Module, splits: Splits) -> float:
    """Seconds per image of an evaluation, after one to warm up."""
    size = FILES_EVALUATION_BATCH if isinstance(splits.train, FileSet) else EVALUATION_BATCH
    data = _head(splits, EVALUATED * size)
    for _ in range(2):
        started = time.monotonic()
        accuracy_percent(network, data, splits)
        seconds = time.monotonic() - started
    return seconds / len(data.labels)


def _prediction_seconds(
    network: nn.Module, splits: Splits, predictors: Sequence[tuple[str, Callable[..., Any]]], place: torch.device
) -> float:
    """Seconds of all zero-cost predictors of a network, after a first time to warm up."""
    seconds, network = 0.0, network.eval()
    if predictors:
        images = next(drawn_batches(splits.train, Normalizer(splits.mean, splits.std, place), IMAGES, IMAGES, 0))
        for _ in range(2):
            started = time.monotonic()
            of_all(predictors, network, images, 0)
            seconds = time.monotonic() - started
    return seconds


def _head(splits: Splits, images: int) -> Images:
    return splits.train.part(torch.arange(min(images, len(splits.train.labels))))


if __name__ == "__main__":
    logging.getLogger("sacp").setLevel(logging.WARNING)
    torch.manual_seed(0)
    serve(measure)
