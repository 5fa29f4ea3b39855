"""From a configuration to a trained smaller network (method section 3.5), the same way for every method."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import nn

from sacp.compute.arithmetic import EXACT, Engine
from sacp.compute.parallel import ALONE, Team
from sacp.compute.resume import Sidecar
from sacp.images.splits import Splits
from sacp.network.cost import costs_of_counts
from sacp.network.graph import Graph, Kept, Scales
from sacp.network.surgery import prune
from sacp.tracing.trace import Shape, count
from sacp.training.evaluation import Calibration, accuracy_percent, measure, warn_if_far
from sacp.training.loop import HISTORY_COLUMNS, DivergenceError, History, batches_of, train
from sacp.training.recipe import Recipe

TUNED_HISTORY_COLUMNS = ("candidate", *HISTORY_COLUMNS)
log = logging.getLogger(__name__)


class Tuner:
    """Tunes networks one after the other, each from the inherited weights; resumes at the one it was in.

    A network whose loss is not finite is recorded with the reason, and the next one follows.
    """

    def __init__(
        self, base: nn.Module, graph: Graph, splits: Splits, recipe: Recipe, seed: int, device: torch.device,
        calibration: Calibration, engine: Engine = EXACT, sidecar: Sidecar | None = None,
        scales: Callable[[Kept], Scales | None] = lambda _: None,
    ) -> None:  # fmt: skip
        """`scales` gives the factors of kept channels, where a criterion rescales them."""
        self.base, self.graph, self.splits, self.recipe, self.seed = base, graph, splits, recipe, seed
        self.calibration, self.scales = calibration, scales
        self.device, self.engine, self.sidecar = device, engine, sidecar or Sidecar()
        self.rows: list[dict[str, Any]] = self.sidecar.state.setdefault("rows", [])
        self.history: list[dict[str, Any]] = self.sidecar.state.setdefault("history", [])
        self.source = batches_of(splits, recipe, device)  # one for all: the images are prepared once
        self.asked = 0

    def pruned(self, channels: Kept) -> nn.Module:
        """The network of these channels before it is tuned, on the device."""
        return prune(self.base, self.graph, channels, self.scales(channels)).to(self.device)

    def tune(self, candidate: int, channels: Kept, label: str) -> dict[str, Any]:
        """Tune a network and return its row of `TUNED_COLUMNS`; the rows of all are in `rows`.

        What was tuned before this process started is not tuned again: the caller asks in the same order.
        """
        self.asked += 1
        if self.asked <= len(self.rows):
            return self.rows[self.asked - 1]
        network, accuracy, failure = self.pruned(channels), None, None
        try:
            # One seed for all: candidates differ by their channels, not by the luck of an order.
            epochs = train(
                network, self.splits, self.recipe, self.seed, label, self.engine, self.sidecar, self.source,
                calibration=self.calibration, teacher=self.base,
            )  # fmt: skip
            accuracy = self.validated(candidate, network, epochs, label)
        except DivergenceError as error:
            failure = str(error)
            log.warning("%s; recorded as failed", failure)
        self.record(self.row(candidate, channels, accuracy, failure))
        return self.rows[-1]

    def validated(self, candidate: int, network: nn.Module, epochs: History, label: str) -> float:
        """Take in the history of a candidate, and evaluate it: percent of the validation images."""
        self.history += [{"candidate": candidate, **row} for row in epochs]
        self.calibration(network)
        accuracy = accuracy_percent(network, self.splits.validation, self.splits)
        warn_if_far(label, epochs, accuracy)
        log.info("%s: validation accuracy %.2f %%", label, accuracy)
        return accuracy

    def row(self, candidate: int, channels: Kept, accuracy: float | None, failure: str | None) -> dict[str, Any]:
        """The row of `TUNED_COLUMNS` of a network, but for its rank."""
        flops, parameters = costs_of_counts(self.graph, np.array([[len(c) for c in channels]], np.int64))
        return {
            "candidate": candidate,
            "validation_accuracy_percent": accuracy,
            "flops": int(flops[0]),
            "parameters": int(parameters[0]),
            "failure": failure,
        }

    def record(self, row: dict[str, Any]) -> None:
        """Take in the row of a candidate that is done, and save if it is time."""
        self.sidecar.state.pop("training", None)
        self.rows.append(row)
        if self.sidecar.due:
            self.sidecar.save()


def tune_candidates(
    base: nn.Module, graph: Graph, kept: Mapping[int, Kept], splits: Splits, recipe: Recipe, seed: int,
    device: torch.device, calibration: Calibration, engine: Engine = EXACT, sidecar: Sidecar | None = None,
    scales: Callable[[Kept], Scales | None] = lambda _: None,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:  # fmt: skip
    """Tune candidates one after the other with a `Tuner`; `scales` gives the factors of kept channels.

    Returns:
        Rows of `TUNED_COLUMNS`, one for each candidate, and rows of `TUNED_HISTORY_COLUMNS`, one for each epoch.
    """
    tuner = Tuner(base, graph, splits, recipe, seed, device, calibration, engine, sidecar, scales)
    for number, (candidate, channels) in enumerate(kept.items(), start=1):
        tuner.tune(candidate, channels, f"candidate {candidate} ({number}/{len(kept)})")
    return tuner.rows, tuner.history


def train_fully(
    network: nn.Module, splits: Splits, input_shape: Shape, recipe: Recipe, seed: int, label: str,
    calibration: Calibration, engine: Engine = EXACT, sidecar: Sidecar | None = None, team: Team = ALONE,
    teacher: nn.Module | None = None,
) -> tuple[dict[str, Any], list[dict[str, Any]]]:  # fmt: skip
    """Train a pruned network and measure it: its metrics and its history. `train` has the arguments.

    A loss that is not finite is a result, not an error: metrics without accuracies, with the reason as `failure`.
    """
    try:
        history = train(network, splits, recipe, seed, label, engine, sidecar, None, team, calibration, teacher)
    except DivergenceError as error:
        log.warning("%s; recorded as failed", error)
        counted = asdict(count(network, input_shape))
        return {
            "validation_accuracy_percent": None,
            "test_accuracy_percent": None,
            **counted,
            "failure": str(error),
        }, []
    calibration(network)
    metrics = measure(network, splits, input_shape, team)
    warn_if_far(label, history, metrics["validation_accuracy_percent"])
    return metrics, history
