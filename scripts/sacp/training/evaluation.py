"""How well a network does, and what it costs."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from sacp.compute.parallel import ALONE, Team
from sacp.images.batches import Normalizer, drawn_batches, evaluation_batches
from sacp.images.splits import Images, Splits
from sacp.network.calibration import calibrate, running_norms
from sacp.seeds import derive
from sacp.tracing.trace import Shape, count

BATCH = 128  # images at a time that batch norms are calibrated with
FAR = 20.0  # percentage points between training and validation accuracy that are worth a warning
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Calibration:
    """Fits the batch norms of a pruned network to its weights before it is evaluated, by training images as they are.

    DEVIATION: the paper does not say with which statistics its networks are evaluated. The running averages of a few
    steps still describe the network before, and would decide which candidate is ahead.
    """

    splits: Splits
    images: int  # drawn from the training part; 0 leaves the running averages
    seed: int  # of the run: all its networks see the same images

    def __call__(self, network: nn.Module) -> None:
        """Replace the running statistics of all batch norms; every process of a team does the same."""
        if not self.images or not running_norms(network):
            return
        device = next(network.parameters()).device
        normalizer = Normalizer(self.splits.mean, self.splits.std, device)
        seed = derive(self.seed, "calibration")
        calibrate(network, drawn_batches(self.splits.train, normalizer, self.images, BATCH, seed))


def warn_if_far(label: str, history: Sequence[Mapping[str, Any]], validation: float) -> None:
    """Warn if a network does much worse on the validation images than on those it was just trained with, in percent."""
    training = history[-1]["train_accuracy_percent"] if history else validation
    if training - validation > FAR:
        log.warning(
            "%s: training accuracy %.1f %%, validation accuracy %.1f %%: too few training images for so many epochs, "
            "or statistics of batch norms that do not fit (`calibration`)",
            label, training, validation,
        )  # fmt: skip


@torch.no_grad()
def accuracy_percent(network: nn.Module, data: Images, splits: Splits, team: Team = ALONE) -> float:
    """Top-1 accuracy of `network` in evaluation mode on `data`, in percent; always in float32."""
    device = next(network.parameters()).device
    was_training = network.training
    network.eval()
    try:
        correct = torch.zeros((), dtype=torch.int64, device=device)
        for images, labels in evaluation_batches(data, Normalizer(splits.mean, splits.std, device), team):
            correct += (network(images).argmax(1) == labels).sum()
    finally:
        network.train(was_training)
    return 100 * int(team.total(correct)) / len(data.labels)


def measure(network: nn.Module, splits: Splits, input_shape: Shape, team: Team = ALONE) -> dict[str, Any]:
    """Validation and test accuracy of a finished network, and its cost as counted on the network itself."""
    counted = count(network, input_shape)
    team.share_buffers(network)
    return {
        "validation_accuracy_percent": accuracy_percent(network, splits.validation, splits, team),
        "test_accuracy_percent": accuracy_percent(network, splits.test, splits, team),
        "training_images": len(splits.train.labels),
        "validation_images": len(splits.validation.labels),
        **asdict(counted),
    }
