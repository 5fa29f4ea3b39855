"""What a baseline that learns for long is given, and what it returns: those that train, or evaluate many networks.

To add one:

1. In a module of this room write `select(task: LongTask) -> Learned`. It works on `task.device`, keeps what it needs to
   go on after a kill in `task.sidecar` and calls `sidecar.pause` between two of its steps (trainings that are made of
   `training.stepwise` do so by themselves), reports with `progress.Progress`, and draws from `derive(task.seed, ...)`.
2. Give it an entry in `catalogue/kinds.py` with the rule `train_baseline` and the function's import path. Settings of
   its own are an object in the schema under `methods`, with a description and a default for each; the entry names that
   key as `options`, and they arrive as `task.options`. A kind that trains by the recipe `selection` names that in
   `settings`.
3. Say what it costs in `forecast/jobs.py`, and what it does otherwise than its paper in `catalogue/departures.py`;
   `make docs`.

Channels of all groups within 2 % of the FLOPs are expected. A method that leaves some groups whole may have no network
there: it returns the nearest with `nearest=True`, and how far it is off is said.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from sacp.artefacts.files import write_csv
from sacp.baselines.match_flops import TOLERANCE, gaps
from sacp.baselines.task import Task, checked
from sacp.compute.arithmetic import EXACT, Engine
from sacp.compute.resume import Sidecar
from sacp.images.splits import Splits
from sacp.network.cost import cost_of_graph, costs_of_counts
from sacp.network.graph import Kept
from sacp.training.evaluation import Calibration, accuracy_percent
from sacp.training.loop import HISTORY_COLUMNS
from sacp.training.ranking import ACCURACY, TUNED_COLUMNS
from sacp.training.recipe import Recipe

Rows = Sequence[Mapping[str, Any]]
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class LongTask(Task):
    """Learn which channels of the base to keep so that its FLOPs are, within 2 %, those of another method's winner."""

    splits: Splits
    device: torch.device  # the base is there
    calibration: Calibration  # of batch norms, before a pruned network is evaluated
    options: Mapping[str, Any]  # the method's own settings, by their names in the schema
    recipe: Recipe | None = None  # `selection`, if the kind trains by it
    own_weights: bool = False  # whether the full training starts from `Learned.network` instead of the base
    engine: Engine = EXACT
    sidecar: Sidecar
    label: str = "baseline"  # what the log calls this

    def misses(self, kept: Kept) -> bool:
        """Whether these channels are more than 2 % off the FLOPs to match."""
        counts = np.array([[len(channels) for channels in kept]], np.int64)
        return bool(gaps(self.graph, counts, self.target_flops)[0] > TOLERANCE)

    def evaluated(self, network: nn.Module) -> dict[str, Any]:
        """A row of `Learned.judged` for a network of the base's size, with its validation accuracy."""
        cost = cost_of_graph(self.graph)
        accuracy = accuracy_percent(network, self.splits.validation, self.splits)
        return {
            "rank": 0, "candidate": 0, ACCURACY: accuracy, "flops": cost.flops, "parameters": cost.parameters,
            "failure": None,
        }  # fmt: skip


@dataclass(frozen=True)
class Learned:
    """What a baseline that learns for long returns."""

    kept: Kept  # channels of each group
    history: Rows  # how it went, one row for each epoch, or episode, or network
    judged: Rows  # networks that were trained or evaluated to choose: rows of `ranking.TUNED_COLUMNS`
    network: nn.Module | None = None  # of the base's size, with the weights that it ended in; None: the base's
    columns: Sequence[str] = HISTORY_COLUMNS  # of the history
    nearest: bool = False  # whether no network that the method can make is nearer to the FLOPs

    def save(self, history: str, judged: str) -> None:
        """Write the two tables."""
        write_csv(history, self.history, self.columns)
        write_csv(judged, self.judged, TUNED_COLUMNS)


def settled(learned: Learned, task: LongTask, function: str) -> Kept:
    """The kept channels, checked as those of every baseline are.

    Raises:
        InputError: channels that do not exist are kept, or the FLOPs are missed by what is not the method's nearest.
    """
    if not learned.nearest:
        return checked(learned.kept, task, function)
    counts = np.array([[len(channels) for channels in learned.kept]], np.int64)
    flops = int(costs_of_counts(task.graph, counts)[0][0])
    gap = flops / task.target_flops - 1
    if abs(gap) > TOLERANCE:
        log.warning(
            "%s: %d FLOPs, %+.1f %% off the %d to match: the nearest that the channels it can remove allow",
            task.label, flops, 100 * gap, task.target_flops,
        )  # fmt: skip
    return checked(learned.kept, replace(task, target_flops=flops), function)
