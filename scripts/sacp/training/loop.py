"""The training loop: SGD with momentum, cosine schedule. Killed at any moment and resumed, it ends in the same bits."""

import logging
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from sacp import progress
from sacp.compute.arithmetic import EXACT, Engine, arithmetic, generators_kept, seed_generators
from sacp.compute.kernels import strided_safely
from sacp.compute.optimizers import SGD
from sacp.compute.parallel import ALONE, Team
from sacp.compute.resume import Sidecar, Stop, stop_requests
from sacp.errors import InputError, Stopped, out_of_memory
from sacp.images.batches import Batch, FileBatches, Normalizer, ResidentBatches, Source
from sacp.images.folder import FileSet
from sacp.images.splits import Splits
from sacp.seeds import derive
from sacp.training.evaluation import Calibration, accuracy_percent
from sacp.training.loss import Teacher, loss_sum
from sacp.training.recipe import Recipe, learning_rate

log = logging.getLogger(__name__)
HISTORY_COLUMNS = (
    "epoch", "lr", "train_loss", "train_accuracy_percent", "validation_accuracy_percent", "seconds",
)  # fmt: skip
AGREE_STEPS = 8  # steps after which the processes agree whether to save or to stop
History = list[dict[str, Any]]


class DivergenceError(InputError):
    """The loss is not finite."""


def train(
    network: nn.Module, splits: Splits, recipe: Recipe, seed: int, label: str,
    engine: Engine = EXACT, sidecar: Sidecar | None = None, source: Source | None = None, team: Team = ALONE,
    calibration: Calibration | None = None, teacher: nn.Module | None = None,
) -> History:  # fmt: skip
    """Train `network` in place on the training part and return its history, one row per epoch.

    Args:
        network: on the device where it is to be trained.
        splits: the data; only `train` is learned from, `validation` is evaluated every `recipe.validate_every` epochs.
        recipe: the recipe; zero epochs leave the weights as they are.
        seed: decides order, augmentation and dropout.
        label: what the log calls this training.
        engine: precision and determinism.
        sidecar: where the state is kept under `training`; from there a training that was killed goes on.
        source: batches of `splits.train`, if they are at hand already.
        team: the processes that train together; each calls this function.
        calibration: of the batch norms, before each validation; of a pruned network. The training goes on without it.
        teacher: the network that is asked if `recipe.distill_weight` is not 0; it stays as it is, wherever it is.

    Returns:
        Rows of `HISTORY_COLUMNS`; `seconds` is the clock time of the epoch, everything else a function of the inputs.

    Raises:
        DivergenceError: the loss is not finite.
        InputError: out of memory, or a teacher is asked for and none is given.
        Stopped: a signal asked for an end; the state was saved.
    """
    with running(network, recipe, label, engine) as stop:
        run = Run(network, splits, recipe, seed, label, sidecar or Sidecar(), source, team, calibration, teacher)
        run.go(stop, engine)
    return run.history


@contextmanager
def running(network: nn.Module, recipe: Recipe, label: str, engine: Engine) -> Iterator[Stop]:
    """What every training runs in: its arithmetic, the generators as they were, and signals that ask for an end.

    Raises:
        InputError: out of memory.
    """
    device = next(network.parameters()).device
    with arithmetic(engine, device), generators_kept(device), strided_safely(network), stop_requests() as stop:
        try:
            yield stop
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            size = recipe.batch_size
            raise InputError(f"{label}: out of memory on {device} at batch size {size}; lower batch_size") from None


class Run:
    """One training: what is saved of it, and how it goes on."""

    def __init__(
        self, network: nn.Module, splits: Splits, recipe: Recipe, seed: int, label: str, sidecar: Sidecar,
        source: Source | None, team: Team, calibration: Calibration | None, teacher: nn.Module | None,
    ) -> None:  # fmt: skip
        self.device = next(network.parameters()).device
        self.network, self.splits, self.recipe = network.to(memory_format=torch.channels_last), splits, recipe
        self.seed, self.label, self.sidecar, self.team, self.calibration = seed, label, sidecar, team, calibration
        self.source = source if source is not None else batches_of(splits, recipe, self.device, team)
        self.optimizer = SGD(
            network.parameters(), recipe.lr, recipe.momentum, 0, recipe.weight_decay, recipe.nesterov, fused=True
        )
        self.model: nn.Module = network
        if team.size > 1:
            self.model = _wrapped(network, self.source, team)
        self.teacher = _teacher(teacher, recipe, label, self.device)
        self.scales = _scales(network) if recipe.bn_l1 else []
        self.average = _floats(network, copy=True) if recipe.ema_decay else []
        self.epoch, self.step, self.history = 0, 0, History()
        self.sums = torch.zeros(2, device=self.device, dtype=torch.float64)  # of loss and of correct images this epoch
        self.spent, self.clock = 0.0, 0.0  # seconds of this epoch in earlier processes; when this one took it up
        if "training" in sidecar.state:
            self._restore(sidecar.state["training"])
        self.started, self.done = time.monotonic(), 0  # images seen in this process since then

    def go(self, stop: Stop, engine: Engine) -> None:
        """Train to the end, from where the state stands."""
        while self.epoch < self.recipe.epochs:
            self._train_epoch(stop, engine)
        if self.average:
            _copy(_floats(self.network), self.average)

    def _train_epoch(self, stop: Stop, engine: Engine) -> None:
        self.network.train()
        self.clock = reported = time.monotonic()
        for batch in self.source.epoch(self.seed, self.epoch, self.step):
            self._take_step(batch, engine)
            self.step, self.done = self.step + 1, self.done + batch.total
            self._pause(stop)
            if time.monotonic() - reported >= progress.SECONDS:
                reported = time.monotonic()
                log.info("%s: epoch %d/%d, %s", self.label, self.epoch + 1, self.recipe.epochs, self._pace())
        self._end_epoch()
        self._pause(stop)

    def _take_step(self, batch: Batch, engine: Engine) -> None:
        seed_generators(derive(self.seed, "dropout", self.epoch, self.step, self.team.rank), self.device)
        number = self.epoch * len(self.source) + self.step
        self.optimizer.param_groups[0]["lr"] = learning_rate(self.recipe, number, len(self.source))
        with torch.autocast(self.device.type, torch.bfloat16, enabled=engine.precision == "bfloat16"):
            logits = self.model(batch.images).float()
            taught = self.teacher(batch.images) if self.teacher else None
            loss = loss_sum(logits, batch.labels, self.recipe, taught)
        # DistributedDataParallel takes the mean of the processes' gradients; the mean over all images is meant.
        (loss * (self.team.size / batch.total)).backward()
        for scale in self.scales:  # the penalty's subgradient, as the paper optimises it
            assert scale.grad is not None
            scale.grad.add_(scale.detach().sign(), alpha=self.recipe.bn_l1)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.sums[0] += loss.detach()
        self.sums[1] += (logits.detach().argmax(1) == batch.labels).sum()
        if self.average:
            torch._foreach_lerp_(self.average, _floats(self.network), 1 - self.recipe.ema_decay)

    def _end_epoch(self) -> None:
        loss, correct = self.team.total(self.sums.clone()).tolist()
        row = {
            "epoch": self.epoch + 1,
            "lr": learning_rate(self.recipe, self.epoch * len(self.source), len(self.source)),
            "train_loss": loss / self.source.images,
            "train_accuracy_percent": 100 * correct / self.source.images,
            "validation_accuracy_percent": None,
            "seconds": self._seconds(),
        }
        if not math.isfinite(row["train_loss"]):
            raise DivergenceError(
                f"{self.label}: the loss is {row['train_loss']} in epoch {self.epoch + 1}; lower lr {self.recipe.lr}"
            )
        every = self.recipe.validate_every
        if every and (row["epoch"] % every == 0 or row["epoch"] == self.recipe.epochs):
            row["validation_accuracy_percent"] = self._validate()
        self.history.append(row)
        self.epoch, self.step, self.spent, self.clock = self.epoch + 1, 0, 0.0, time.monotonic()
        self.sums.zero_()
        accuracy = row["train_accuracy_percent"]
        log.info(
            "%s: epoch %d/%d, loss %.4f, training accuracy %.2f %%, %s",
            self.label, self.epoch, self.recipe.epochs, row["train_loss"], accuracy, self._pace(),
        )  # fmt: skip

    def _validate(self) -> float:
        state = {name: value.clone() for name, value in self.network.state_dict().items()}
        if self.average:
            _copy(_floats(self.network), self.average)
        if self.calibration:
            self.calibration(self.network)
        self.team.share_buffers(self.network)
        accuracy = accuracy_percent(self.network, self.splits.validation, self.splits, self.team)
        self.network.load_state_dict(state)
        return accuracy

    def _seconds(self) -> float:
        """Clock time of this epoch."""
        return self.spent + time.monotonic() - self.clock

    def _pace(self) -> str:
        if self.done == 0:
            return "nothing left of it"  # the state was saved after the last step of the epoch
        rate = self.done / (time.monotonic() - self.started)
        seen = self.epoch * self.source.images + self.source.images * self.step / len(self.source)
        left = (self.recipe.epochs * self.source.images - seen) / rate
        return f"{rate:.0f} images/s, {left:.0f} s left"

    def _pause(self, stop: Stop) -> None:
        """Save if it is time to, or if a signal asked for an end; then leave."""
        if self.team.size > 1 and self.step % AGREE_STEPS:
            return
        asked = self.team.largest(stop.signal, self.device)
        if asked or self.team.largest(int(self.team.leads and self.sidecar.due), self.device):
            self._save()
        if asked:
            log.info("%s: stopped by signal %d in epoch %d; the state is saved", self.label, asked, self.epoch + 1)
            raise Stopped(128 + asked)

    def _save(self) -> None:
        sums = self.team.gathered(self.sums)  # a step of all processes
        self.sidecar.state["training"] = {
            "epoch": self.epoch, "step": self.step, "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(), "average": self.average, "sums": sums,
            "history": self.history, "spent": self._seconds(),
        }  # fmt: skip
        if self.team.leads:
            self.sidecar.save()

    def _restore(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        _copy(self.average, state["average"])
        self.epoch, self.step, self.spent = state["epoch"], state["step"], state["spent"]
        self.history = list(state["history"])
        if len(state["sums"]) == self.team.size:
            self.sums.copy_(state["sums"][self.team.rank])
        else:
            self.sums.copy_(state["sums"].sum(dim=0) / self.team.size)
        log.info("%s: goes on in epoch %d at step %d", self.label, self.epoch + 1, self.step)


def batches_of(splits: Splits, recipe: Recipe, device: torch.device, team: Team = ALONE) -> Source:
    """The batches that `recipe` draws from the training part of `splits`."""
    normalizer = Normalizer(splits.mean, splits.std, device)
    if isinstance(splits.train, FileSet):
        return FileBatches(splits.train, normalizer, recipe.batch_size, recipe.flip, team)
    return ResidentBatches(splits.train, normalizer, recipe.batch_size, recipe.crop_padding, recipe.flip, team)


def _wrapped(network: nn.Module, source: Source, team: Team) -> nn.Module:
    """The network in DistributedDataParallel, its gradient buckets in their final order.

    The buckets are reordered after the first step, and sums of more than two processes depend on that order. So a
    step that leaves no trace is made first, in a training that starts as in one that goes on.
    """
    state = {name: value.clone() for name, value in network.state_dict().items()}
    model, batch = DistributedDataParallel(network), next(iter(source.epoch(0, 0)))
    for _ in range(2):
        model(batch.images).sum().backward()
    network.zero_grad()
    network.load_state_dict(state)
    return model


def _teacher(network: nn.Module | None, recipe: Recipe, label: str, device: torch.device) -> Teacher | None:
    """The teacher that a recipe asks for."""
    if not recipe.distill_weight:
        return None
    if network is None:
        raise InputError(f"{label}: distill_weight is {recipe.distill_weight}, but there is no teacher; expected 0")
    return Teacher(network, device)


def _scales(network: nn.Module) -> list[nn.Parameter]:
    """Scales of the batch norms that have any."""
    norms = (module for module in network.modules() if isinstance(module, _BatchNorm) and module.affine)
    return [norm.weight for norm in norms]


def _floats(network: nn.Module, copy: bool = False) -> list[Tensor]:
    """Parameters and running statistics."""
    values = [value.detach() for value in network.state_dict().values() if value.is_floating_point()]
    return [value.clone() for value in values] if copy else values


def _copy(targets: list[Tensor], values: list[Tensor]) -> None:
    for target, value in zip(targets, values, strict=True):
        target.copy_(value)
