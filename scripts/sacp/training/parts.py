"""A training in parts: it stops after some steps, and goes on from there in the bits of one that never stopped."""

import math
from contextlib import suppress
from typing import Any

from torch import nn

from sacp.compute.arithmetic import Engine
from sacp.compute.parallel import ALONE
from sacp.compute.resume import Sidecar, Stop
from sacp.images.batches import Source
from sacp.images.splits import Splits
from sacp.training.evaluation import Calibration
from sacp.training.loop import DivergenceError, History, Run, _copy, _floats, running
from sacp.training.recipe import Recipe

State = dict[str, Any]  # of a training, as its sidecar has it: tensors and plain values


class _ReachedError(Exception):
    """The last step of a part is done."""


class _Part(Run):
    """A training up to a number of steps. An epoch that ends with a part is closed in it."""

    last = 0  # steps of the whole training that are done at its end

    def go(self, stop: Stop, engine: Engine) -> None:
        """Train to the end of the part, from where the state stands."""
        with suppress(_ReachedError):
            self._end_part()  # a state may have been saved at the very end
            super().go(stop, engine)

    def _pause(self, stop: Stop) -> None:
        super()._pause(stop)
        self._end_part()

    def _end_part(self) -> None:
        if self.step < len(self.source) and self.epoch * len(self.source) + self.step >= self.last:
            raise _ReachedError

    def ended(self) -> State:
        """The state at the end of the part; the network is left with the weights that are evaluated.

        Raises:
            DivergenceError: the loss of the epoch that the part ends in is not finite.
        """
        loss = float(self.sums[0])
        if not math.isfinite(loss):
            raise DivergenceError(
                f"{self.label}: the loss is {loss} in epoch {self.epoch + 1}; lower lr {self.recipe.lr}"
            )
        self._save()
        state: State = self.sidecar.state["training"]
        weights = {name: value.clone() for name, value in state["network"].items()}  # evaluation changes the network's
        if self.average:
            _copy(_floats(self.network), self.average)
        return {**state, "network": weights}


def train_part(
    last: int, network: nn.Module, splits: Splits, recipe: Recipe, seed: int, label: str, engine: Engine,
    sidecar: Sidecar, source: Source, calibration: Calibration | None = None, teacher: nn.Module | None = None,
) -> tuple[History, State]:  # fmt: skip
    """Train `network` as `loop.train` does, in one process, until so many steps of the whole training are done.

    Args:
        last: steps of the whole training that are done then, counted from its start; at most those of the recipe.
        network: on the device where it is to be trained. It ends with the weights that are evaluated.
        splits: the data.
        recipe: of the whole training: the learning rate of a step is what it is there.
        seed: decides order, augmentation and dropout.
        label: what the log calls this training.
        engine: precision and determinism.
        sidecar: from its `training` the training goes on, be it the state of a part before or of one that was killed.
        source: batches of `splits.train`.
        calibration: of the batch norms, before each validation.
        teacher: as in `loop.train`.

    Returns:
        Rows of `loop.HISTORY_COLUMNS` for all epochs that are done, and the state from which the next part goes on.

    Raises:
        DivergenceError: the loss is not finite.
        InputError: out of memory.
        Stopped: a signal asked for an end; the state was saved.
    """
    with running(network, recipe, label, engine) as stop:
        run = _Part(network, splits, recipe, seed, label, sidecar, source, ALONE, calibration, teacher)
        run.last = last
        run.go(stop, engine)
        return run.history, run.ended()
