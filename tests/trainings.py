"""Short trainings on a few digits, and their interruption, that several tests share."""

import os
import signal
from collections.abc import Iterator
from functools import cache

import torch
from sacp.images import digits as source
from sacp.images.batches import Batch, Source
from sacp.images.splits import ImageSet, Splits, channel_statistics
from sacp.network.architectures import build
from sacp.network.spec import NetworkSpec
from sacp.training.loop import History
from sacp.training.recipe import Recipe
from torch import nn

RECIPE = Recipe(
    epochs=2, lr=0.05, batch_size=16, momentum=0.9, weight_decay=5e-4, nesterov=True, crop_padding=0, flip=False
)

SPEC = NetworkSpec("resnet8", 0.5, 1, 8, 10)


@cache
def digits(number: int = 64) -> Splits:
    """The first digits as training part, the next ones as validation and test part."""
    full, test = source.read({})
    parts = (slice(number), slice(number, 2 * number))
    first, second = (ImageSet(full.images[part], full.labels[part]) for part in parts)
    return Splits(first, second, test, *channel_statistics(first.images), "digest")


def fresh(seed: int = 0) -> nn.Module:
    """A small network, the same for the same seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build(SPEC)


def same_weights(a: nn.Module, b: nn.Module) -> bool:
    pairs = zip(a.state_dict().items(), b.state_dict().items(), strict=True)
    return all(name == other and torch.equal(x, y) for (name, x), (other, y) in pairs)


def timeless(history: History) -> History:
    """A history without its clock times."""
    return [{name: value for name, value in row.items() if name != "seconds"} for row in history]


class Interrupting:
    """A source that sends this process a signal before the step with a given number, counted over this process."""

    def __init__(self, source: Source, number: int, stop: signal.Signals) -> None:
        self.source, self.number, self.stop, self.images = source, number, stop, source.images

    def __len__(self) -> int:
        return len(self.source)

    def epoch(self, seed: int, epoch: int, first: int = 0) -> Iterator[Batch]:
        for batch in self.source.epoch(seed, epoch, first):
            if self.number == 0:
                os.kill(os.getpid(), self.stop)
            self.number -= 1
            yield batch
