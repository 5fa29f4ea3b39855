"""The training loop: SGD with momentum, cosine schedule, seeded batches."""

import logging
import math
import time
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sacp.data import Batches, ImageSet, Normalizer, Splits
from sacp.errors import InputError
from sacp.seeds import derive

log = logging.getLogger(__name__)
HISTORY_COLUMNS = ("epoch", "lr", "train_loss", "train_accuracy_percent")
EVALUATION_BATCH = 1000


@dataclass(frozen=True)
class Recipe:
    """How a network is trained (section 4.2). The learning rate falls to zero along a half cosine, step by step."""

    epochs: int
    lr: float
    batch_size: int
    momentum: float
    weight_decay: float
    nesterov: bool
    crop_padding: int  # pixels
    flip: bool


def train(network: nn.Module, splits: Splits, recipe: Recipe, seed: int, label: str) -> list[dict[str, float]]:
    """Train `network` in place on the training part and return its history, one row per epoch.

    Args:
        network: on the device where it is to be trained.
        splits: the data; only `train` is learned from, `validation` is evaluated after the last epoch.
        recipe: the recipe; zero epochs leave the weights as they are.
        seed: decides order, augmentation and dropout.
        label: what the log calls this training.

    Returns:
        Rows of `epoch`, `lr`, `train_loss`, `train_accuracy_percent`.

    Raises:
        InputError: the loss is not finite.
    """
    device = next(network.parameters()).device
    network.to(memory_format=torch.channels_last)
    normalizer = Normalizer(splits.mean, splits.std, device)
    data = ImageSet(splits.train.images.to(device), splits.train.labels.to(device))
    batches = Batches(data, normalizer, recipe.batch_size, recipe.crop_padding, recipe.flip)
    optimizer = torch.optim.SGD(
        network.parameters(), recipe.lr, recipe.momentum, 0, recipe.weight_decay, recipe.nesterov
    )
    history: list[dict[str, float]] = []
    started = time.monotonic()
    with torch.random.fork_rng():
        for epoch in range(recipe.epochs):
            row = _train_epoch(network, batches, optimizer, recipe, seed, epoch)
            if not math.isfinite(row["train_loss"]):
                raise InputError(f"{label}: the loss is {row['train_loss']} in epoch {epoch + 1}; lower lr {recipe.lr}")
            history.append(row)
            _report(label, row, recipe.epochs, len(data.labels), time.monotonic() - started)
    return history


def _train_epoch(
    network: nn.Module, batches: Batches, optimizer: torch.optim.SGD, recipe: Recipe, seed: int, epoch: int
) -> dict[str, float]:
    network.train()
    torch.manual_seed(derive(seed, "dropout", epoch))
    loss_sum, correct = torch.zeros(()), torch.zeros(())
    steps = recipe.epochs * len(batches)
    for number, (images, labels) in enumerate(batches.epoch(seed, epoch), start=epoch * len(batches)):
        optimizer.param_groups[0]["lr"] = cosine(recipe.lr, number, steps)
        logits = network(images)
        loss = nn.functional.cross_entropy(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss_sum = loss_sum + loss.detach() * len(labels)
        correct = correct + (logits.detach().argmax(1) == labels).sum()
    images_seen = len(batches.labels)
    return {
        "epoch": epoch + 1,
        "lr": cosine(recipe.lr, epoch * len(batches), steps),
        "train_loss": float(loss_sum) / images_seen,
        "train_accuracy_percent": 100 * float(correct) / images_seen,
    }


def cosine(lr: float, step: int, steps: int) -> float:
    """Learning rate at `step` of `steps`: half a cosine from `lr` to zero."""
    return lr * 0.5 * (1 + math.cos(math.pi * step / steps))


def _report(label: str, row: dict[str, float], epochs: int, images: int, seconds: float) -> None:
    done = int(row["epoch"])
    log.info(
        "%s: epoch %d/%d, loss %.4f, training accuracy %.2f %%, %.0f images/s, %.0f s left",
        label, done, epochs, row["train_loss"], row["train_accuracy_percent"],
        images * done / seconds, seconds / done * (epochs - done),
    )  # fmt: skip


@torch.no_grad()
def accuracy_percent(network: nn.Module, data: ImageSet, splits: Splits) -> float:
    """Top-1 accuracy of `network` in evaluation mode on `data`, in percent."""
    device = next(network.parameters()).device
    normalizer = Normalizer(splits.mean, splits.std, device)
    was_training = network.training
    network.eval()
    try:
        correct = torch.zeros((), dtype=torch.int64)
        for images, labels in _chunks(data):
            correct = correct + (network(normalizer(images.to(device))).argmax(1).cpu() == labels).sum()
    finally:
        network.train(was_training)
    return 100 * int(correct) / len(data.labels)


def _chunks(data: ImageSet) -> list[tuple[Tensor, Tensor]]:
    return list(zip(data.images.split(EVALUATION_BATCH), data.labels.split(EVALUATION_BATCH), strict=True))
