"""Trainings with a step of their own: the loop where they add nothing, and what they add."""

from dataclasses import replace
from typing import Any

import pytest
from sacp.compute.arithmetic import EXACT, Engine
from sacp.compute.resume import Sidecar
from sacp.errors import InputError
from sacp.images.batches import Batch
from sacp.training.loop import train
from sacp.training.stepwise import Stepwise, finish
from torch import nn
from trainings import RECIPE, digits, fresh, same_weights, timeless


def stepwise(kind: type[Stepwise] = Stepwise, **changes: Any) -> tuple[Stepwise, nn.Module]:
    network = fresh()
    return kind(network, digits(), replace(RECIPE, **changes), 5, "run", Sidecar()), network


@pytest.mark.parametrize("changes", [{}, {"ema_decay": 0.9, "validate_every": 1, "warmup_epochs": 1}])
def test_one_that_adds_nothing_is_the_loop(changes):
    expected, (training, network) = fresh(), stepwise(**changes)
    history = train(expected, digits(), replace(RECIPE, **changes), 5, "run")
    assert timeless(finish(training, EXACT)) == timeless(history)
    assert same_weights(network, expected)
    assert (training.steps, training.number) == (8, 8)


class Following(Stepwise):
    """Takes the loop's step without its average, and lets that follow by itself."""

    def _take_step(self, batch: Batch, engine: Engine) -> None:
        average, self.average = self.average, []
        super()._take_step(batch, engine)
        self.average = average
        self.follow()


def test_the_average_follows_a_step_of_ones_own_as_it_does_the_loops():
    (one, first), (other, second) = stepwise(ema_decay=0.9), stepwise(Following, ema_decay=0.9)
    finish(one, EXACT)
    finish(other, EXACT)
    assert same_weights(first, second)
    plain, third = stepwise()
    finish(plain, EXACT)
    assert not same_weights(first, third)


class Settled(Stepwise):
    """Knows all after the second step of the second epoch."""

    def is_settled(self) -> bool:
        return self.number > 5


def test_no_epoch_begins_when_all_is_settled():
    training, _ = stepwise(Settled, epochs=5)
    assert [row["epoch"] for row in finish(training, EXACT)] == [1, 2]


class Greedy(Stepwise):
    """Wants more memory than there is."""

    def _take_step(self, batch: Batch, engine: Engine) -> None:
        raise RuntimeError("DefaultCPUAllocator: not enough memory")


def test_want_of_memory_is_told_in_one_line():
    training, _ = stepwise(Greedy)
    with pytest.raises(InputError, match="run: out of memory on cpu at batch size 16; lower batch_size"):
        finish(training, EXACT)
