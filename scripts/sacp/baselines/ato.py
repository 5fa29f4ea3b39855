"""ATO: a controller learns which channels are on while the network is trained, and what is off shrinks to zero.

Wu et al., Auto-Train-Once, CVPR 2024, algorithm 1; the controller and its loss are in `ato_controller`.
"""

import copy
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sacp.baselines.ato_controller import Controller, Shares, gumbel, hard_gates, price, soft_gates
from sacp.baselines.channel_parameters import ChannelParameters
from sacp.baselines.inner import Gates, inner_groups
from sacp.baselines.learning import Learned, LongTask
from sacp.baselines.spaces import nearest_counts
from sacp.compute.arithmetic import Engine
from sacp.errors import InputError
from sacp.images.batches import Batch, Normalizer, plain_batches
from sacp.network.graph import Kept
from sacp.pruning.criteria import highest_first, kept_channels
from sacp.seeds import derive
from sacp.training.stepwise import Stepwise, finish

LR, DECAY = 1e-3, 1e-2  # of the controller's AdamW
LATE, SLOWER = 0.98, 0.1  # share of its time after which its learning rate is so many times as large
PRICE = 2.0  # how often the price counts, beside the cross entropy
FROZEN_PULL = 100.0  # times the pull, once the channels are chosen
SQUARE = 1e-8  # added to the square of a norm
log = logging.getLogger(__name__)


def select(task: LongTask) -> Learned:
    """Kept channels: those that the controller has on when they are frozen, up to the FLOPs of the target.

    With the base's weights, the training ends with the epoch in which they are frozen.
    """
    training = Training(task)
    history = finish(training, task.engine)
    network, kept = training.network, training.kept
    if task.own_weights:
        training.clear()
        task.calibration(network)
    judged = [task.evaluated(network)]
    return Learned(kept, history, judged, network if task.own_weights else None, nearest=task.misses(kept))


def span(options: Mapping[str, Any], steps: int) -> tuple[int, int]:
    """The step with which the controller begins to learn, and that with which channels are chosen.

    There is a step before the choice, if there are two in all, and one after it.
    """
    frozen = min(max(round(options["freeze"] * steps), 1), steps - 1)
    return min(round(options["start"] * steps), frozen), frozen


def check_steps(options: Mapping[str, Any], steps: int) -> None:
    """`InputError` if in a training of so many steps the controller would never learn."""
    first, frozen = span(options, steps)
    if first // options["every"] == frozen // options["every"]:
        raise InputError(
            f"ato.every: found {options['every']} steps, of which none ends within the {frozen - first} between start "
            f"and freeze of {steps} (selection.epochs); expected fewer, or more epochs"
        )


class Training(Stepwise):
    """A training of the base with a controller beside it."""

    def __init__(self, task: LongTask) -> None:
        assert task.recipe is not None
        network, graph = copy.deepcopy(task.base), task.graph
        self.task, self.free = task, inner_groups(graph)
        self.parameters, self.gates = ChannelParameters(network, graph), Gates(network, graph, self.free)
        self.shares = Shares(graph, self.free.tolist())
        self.target = self.shares.of_flops(task.target_flops)
        self.gated = torch.as_tensor(np.repeat(self.free, graph.channels), device=task.device)  # [Z], bool
        self.on = torch.ones_like(self.gated)  # channels that are on, in all groups
        self.is_frozen = False
        with torch.random.fork_rng():
            torch.manual_seed(derive(task.seed, "controller"))
            self.controller = Controller(self.shares.channels).to(task.device)
        self.adam = torch.optim.AdamW(self.controller.parameters(), LR, weight_decay=DECAY)
        seed = derive(task.seed, "training")
        super().__init__(network, task.splits, task.recipe, seed, task.label, task.sidecar, task.calibration)
        check_steps(task.options, self.steps)
        self.first, self.frozen = span(task.options, self.steps)
        self.shrinks = round(task.options["shrink"] * self.steps)

    def own_state(self) -> dict[str, Any]:
        """The controller, its optimiser, and what is on."""
        return {
            "controller": self.controller.state_dict(), "adam": self.adam.state_dict(), "on": self.on,
            "is_frozen": self.is_frozen,
        }  # fmt: skip

    def restore_own(self, state: dict[str, Any]) -> None:
        """Go on from what `own_state` returned."""
        self.controller.load_state_dict(state["controller"])
        self.adam.load_state_dict(state["adam"])
        self.on, self.is_frozen = state["on"].to(self.device), state["is_frozen"]

    def is_settled(self) -> bool:
        """Whether the channels are chosen, and the weights are not asked for."""
        return self.is_frozen and not self.task.own_weights

    @property
    def kept(self) -> Kept:
        """Channels that are on, of each group."""
        return [np.flatnonzero(each) for each in self.parameters.by_group(self.on)]

    def clear(self) -> None:
        """Make the parameters of what is off zero, at the end of the training."""
        self.parameters.scale(self.on.double())

    def _take_step(self, batch: Batch, engine: Engine) -> None:
        if self.number >= self.frozen and not self.is_frozen:
            self._freeze()
        elif self.step == 0 and self.first <= self.number < self.frozen:
            self.on = self._drawn("mask")
        super()._take_step(batch, engine)
        if self.number >= self.shrinks:
            self._shrink()
        is_turn = self.first <= self.number < self.frozen and (self.number + 1) % self.task.options["every"] == 0
        if is_turn:
            self._teach()

    def _drawn(self, what: str) -> Tensor:
        """What the controller has on, with a draw of its noise, bool [Z]."""
        on = torch.ones_like(self.on)
        with torch.no_grad():
            on[self.gated] = hard_gates(self.controller(), self._noise(what)) >= 0.5
        return on

    def _noise(self, what: str) -> Tensor:
        number = sum(self.shares.channels)
        return gumbel(number, derive(self.seed, what, self.number)).to(self.device)

    def _teach(self) -> None:
        """A step of the controller: the cross entropy of the gated network, and the price of the FLOPs."""
        for group in self.adam.param_groups:
            group["lr"] = LR * (SLOWER if self.number >= LATE * self.frozen else 1)
        images, labels = self._held_out()
        loss = self._loss(images, labels)
        self.adam.zero_grad()
        loss.backward()
        self.adam.step()

    def _loss(self, images: Tensor, labels: Tensor) -> Tensor:
        logits = self.controller()
        gates = torch.ones_like(self.gated, dtype=logits.dtype)
        gates = gates.masked_scatter(self.gated, soft_gates(logits, self._noise("gates")))
        with _evaluating(self.network):
            found = self.gates(images, gates, frozen=True)
        share = self.shares(hard_gates(logits, self._noise("price")))
        cost = price(share, self.target, self.task.options["weight"])
        return nn.functional.cross_entropy(found.float(), labels) + PRICE * cost

    def _held_out(self) -> tuple[Tensor, Tensor]:
        """A batch of the controller's share of the training images, as they are."""
        splits, size = self.splits, self.recipe.batch_size
        generator = torch.Generator().manual_seed(derive(self.seed, "subset"))
        images = len(splits.train.labels)
        subset = torch.randperm(images, generator=generator)[: max(2, round(self.task.options["subset"] * images))]
        generator.manual_seed(derive(self.seed, "held out", self.number))
        numbers = subset[torch.randperm(len(subset), generator=generator)[:size]]
        normalizer = Normalizer(splits.mean, splits.std, self.device)
        return next(iter(plain_batches(splits.train, normalizer, [numbers])))

    def _freeze(self) -> None:
        """Choose: what a last draw has on, and by their logits single channels up to the target's FLOPs."""
        drawn = self._drawn("mask")
        with torch.no_grad():
            logits = self.controller()
        scores = torch.zeros(len(self.on), dtype=torch.float64, device=self.device)
        beyond = 1 + 2 * float(logits.abs().max())  # what is on comes before what is off
        scores[self.gated] = logits.double() + beyond * drawn[self.gated]
        by_group = self.parameters.by_group(scores)
        counts = nearest_counts(self.task.graph, by_group, self.free, self.task.target_flops)
        kept = kept_channels(highest_first(by_group), counts)
        self.on = torch.zeros_like(self.on)
        for is_on, channels in zip(self.on.split(self.parameters.channels), kept, strict=True):
            is_on[torch.as_tensor(channels, device=self.device)] = True
        self.is_frozen = True
        share = float(self.shares(drawn[self.gated].float()))
        log.info("%s: channels chosen, %.3f of the prunable FLOPs drawn, %.3f wanted", self.label, share, self.target)

    def _shrink(self) -> None:
        """The proximal step: what is off loses of its norm, the more the more of its layer is off."""
        off = ~self.on
        if not off.any():
            return
        values = self.parameters.values()
        norms = (self.parameters.products(values, values) + SQUARE).sqrt()
        groups = off.split(self.parameters.channels)
        shares = torch.cat([part.sum() / off.sum() * torch.ones_like(part, dtype=norms.dtype) for part in groups])
        pull = self.task.options["pull"] * (FROZEN_PULL if self.is_frozen else 1)
        factors = (1 - pull * shares * self.lr / norms).clamp(min=0)
        self.parameters.scale(torch.where(off, factors, 1.0))


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    """In evaluation mode while the block runs, and in training mode behind it."""
    network.eval()
    try:
        yield
    finally:
        network.train()
