"""From a configuration to a trained smaller network (method section 3.5), the same way for every method."""

import logging
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import nn

from sacp import cost
from sacp.arithmetic import EXACT, Engine
from sacp.criteria import Kept, Order, kept_channels
from sacp.data import Splits
from sacp.graph import Graph
from sacp.networks import NetworkSpec
from sacp.parallel import ALONE, Team
from sacp.resume import Sidecar
from sacp.space import Steps, kept_counts
from sacp.surgery import prune
from sacp.training import HISTORY_COLUMNS, DivergenceError, Recipe, accuracy_percent, batches_of, train

TUNED_HISTORY_COLUMNS = ("candidate", *HISTORY_COLUMNS)
log = logging.getLogger(__name__)


def kept_of(steps: Steps, order: Order, graph: Graph, levels: int) -> Kept:
    """Kept channels of one configuration [G] under a channel order."""
    return kept_channels(order, kept_counts(steps, graph.channels, levels))


def tune_candidates(
    base: nn.Module, graph: Graph, kept: Mapping[int, Kept], splits: Splits, recipe: Recipe, seed: int,
    device: torch.device, engine: Engine = EXACT, sidecar: Sidecar | None = None,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:  # fmt: skip
    """Tune candidates one after the other, from the inherited weights.

    A candidate whose loss is not finite is recorded with the reason, and the next one follows.

    Returns:
        Rows of `TUNED_COLUMNS`, one for each candidate, and rows of `TUNED_HISTORY_COLUMNS`, one for each epoch.
    """
    sidecar = sidecar or Sidecar()
    rows: list[dict[str, Any]] = sidecar.state.setdefault("rows", [])
    history: list[dict[str, Any]] = sidecar.state.setdefault("history", [])
    source = batches_of(splits, recipe, device)  # one for all: the images are prepared once
    for number, (candidate, channels) in enumerate(kept.items(), start=1):
        if number <= len(rows):
            continue  # tuned before this process started
        label = f"candidate {candidate} ({number}/{len(kept)})"
        network, accuracy, failure = prune(base, graph, channels).to(device), None, None
        try:
            # One seed for all: candidates differ by their channels, not by the luck of an order.
            epochs = train(network, splits, recipe, seed, label, engine, sidecar, source)
            history += [{"candidate": candidate, **row} for row in epochs]
            accuracy = accuracy_percent(network, splits.validation, splits)
            log.info("%s: validation accuracy %.2f %%", label, accuracy)
        except DivergenceError as error:
            failure = str(error)
            log.warning("%s; recorded as failed", failure)
        flops, parameters = cost.costs_of_counts(graph, np.array([[len(c) for c in channels]], np.int64))
        sidecar.state.pop("training", None)
        rows.append(
            {
                "candidate": candidate,
                "validation_accuracy_percent": accuracy,
                "flops": int(flops[0]),
                "parameters": int(parameters[0]),
                "failure": failure,
            }
        )
        if sidecar.due:
            sidecar.save()
    return rows, history


def train_fully(
    network: nn.Module, splits: Splits, spec: NetworkSpec, recipe: Recipe, seed: int, label: str,
    engine: Engine = EXACT, sidecar: Sidecar | None = None, team: Team = ALONE,
) -> tuple[dict[str, Any], list[dict[str, Any]]]:  # fmt: skip
    """Train a pruned network and measure it: its metrics and its history.

    A loss that is not finite is a result, not an error: metrics without accuracies, with the reason as `failure`.
    """
    try:
        history = train(network, splits, recipe, seed, label, engine, sidecar, team=team)
    except DivergenceError as error:
        log.warning("%s; recorded as failed", error)
        counted = asdict(cost.count(network, spec.input_shape))
        return {
            "validation_accuracy_percent": None,
            "test_accuracy_percent": None,
            **counted,
            "failure": str(error),
        }, []
    return measure(network, splits, spec, team), history


def measure(network: nn.Module, splits: Splits, spec: NetworkSpec, team: Team = ALONE) -> dict[str, Any]:
    """Validation and test accuracy of a finished network, and its cost as counted on the network itself."""
    counted = cost.count(network, spec.input_shape)
    team.share_buffers(network)
    return {
        "validation_accuracy_percent": accuracy_percent(network, splits.validation, splits, team),
        "test_accuracy_percent": accuracy_percent(network, splits.test, splits, team),
        **asdict(counted),
    }
