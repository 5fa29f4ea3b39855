"""Trainings that do more in a step than the loop does, as baselines that choose channels while they train.

They have the loop's batches, schedule, history, progress and signals; killed at any moment and resumed, they end in the
same bits.
"""

from typing import Any

import torch
from torch import nn

from sacp.compute.arithmetic import Engine
from sacp.compute.parallel import ALONE
from sacp.compute.resume import Sidecar, Stop
from sacp.images.splits import Splits
from sacp.training.evaluation import Calibration
from sacp.training.loop import History, Run, running
from sacp.training.recipe import Recipe

OWN = "own"  # part of a saved state: what is not the loop's


class Stepwise(Run):
    """A training with a step, a state and an end of its own: a subclass has what it adds to those of the loop.

    It runs in one process. What a step draws at random must be a function of the seed, the epoch and the step.
    """

    def __init__(
        self, network: nn.Module, splits: Splits, recipe: Recipe, seed: int, label: str, sidecar: Sidecar,
        calibration: Calibration | None = None,
    ) -> None:  # fmt: skip
        super().__init__(network, splits, recipe, seed, label, sidecar, None, ALONE, calibration, None)

    @property
    def number(self) -> int:
        """The step that is next, counted from 0 over all epochs; within a step, that step."""
        return self.epoch * len(self.source) + self.step

    @property
    def steps(self) -> int:
        """Steps of the whole training."""
        return self.recipe.epochs * len(self.source)

    @property
    def lr(self) -> float:
        """Learning rate of the last step that was taken."""
        return float(self.optimizer.param_groups[0]["lr"])

    def own_state(self) -> dict[str, Any]:
        """What has to be saved beside the loop's state: tensors and plain values."""
        return {}

    def restore_own(self, state: dict[str, Any]) -> None:
        """Go on from what `own_state` returned."""

    def is_settled(self) -> bool:
        """Whether what is trained for is known already, so that no further epoch is needed."""
        return False

    def follow(self) -> None:
        """Let the average of weights follow, if the recipe has one: of a step that is not the loop's."""
        if self.average:
            values = [value.detach() for value in self.network.state_dict().values() if value.is_floating_point()]
            torch._foreach_lerp_(self.average, values, 1 - self.recipe.ema_decay)

    def go(self, stop: Stop, engine: Engine) -> None:
        """Train to the end, or until all is settled, from where the state stands."""
        if OWN in self.sidecar.state:
            self.restore_own(self.sidecar.state[OWN])
        while self.epoch < self.recipe.epochs and not self.is_settled():
            self._train_epoch(stop, engine)
        if self.epoch == self.recipe.epochs:
            super().go(stop, engine)

    def _save(self) -> None:
        self.sidecar.state[OWN] = self.own_state()
        super()._save()


def finish(training: Stepwise, engine: Engine) -> History:
    """Run a training to its end and return its history, one row of `loop.HISTORY_COLUMNS` for each epoch.

    Raises:
        DivergenceError: the loss is not finite.
        InputError: out of memory.
        Stopped: a signal asked for an end; the state was saved.
    """
    with running(training.network, training.recipe, training.label, engine) as stop:
        training.go(stop, engine)
    return training.history
