"""GAL: a copy of the base with soft masks learns, without labels, to give its logits, and masks fall to zero.

Lin et al., Towards Optimal Structured CNN Pruning via Generative Adversarial Learning, CVPR 2019, section 3; what it
leaves open is as in the authors' code (GAL, 973a688). A judge learns to tell the copy's logits from the base's, and the
copy to deceive it.
"""

import copy
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss

from sacp.baselines.inner import Gates, inner_groups
from sacp.baselines.learning import Learned, LongTask
from sacp.baselines.spaces import nearest_counts
from sacp.compute.arithmetic import Engine, seed_generators
from sacp.compute.optimizers import SGD
from sacp.errors import InputError
from sacp.images.batches import Batch
from sacp.network.graph import Kept
from sacp.pruning.criteria import highest_first, kept_channels
from sacp.seeds import derive
from sacp.training.recipe import learning_rate
from sacp.training.stepwise import Stepwise, finish

WIDTHS = (128, 256, 128, 1)  # of the judge's layers
SPREAD = 0.01  # standard deviation of its first weights
LEAST = 1e-8  # of a gate: at zero itself an activation would hand on no gradient, and no mask could rise again


def select(task: LongTask) -> Learned:
    """Kept channels: those whose masks fell last, or not at all, up to the FLOPs of the target."""
    training = Training(task)
    history = finish(training, task.engine)
    kept, network = training.kept(), training.network
    training.fold(kept if task.own_weights else [np.arange(channels) for channels in task.graph.channels])
    if task.own_weights:
        task.calibration(network)
    own = network if task.own_weights else None
    return Learned(kept, history, [task.evaluated(network)], own, nearest=task.misses(kept))


def check_steps(options: Mapping[str, Any], steps: int) -> None:
    """`InputError` if in a training of so many steps the masks would never move."""
    if steps < options["every"]:
        raise InputError(
            f"gal.every: found {options['every']} steps, expected no more than the {steps} of the training "
            "(selection.epochs)"
        )


def momentum_of(alpha: float) -> tuple[float, float]:
    """FISTA's next alpha, and the share of the last move that is made again (Beck and Teboulle 2009)."""
    following: float = (1 + (1 + 4 * alpha**2) ** 0.5) / 2
    return following, (alpha - 1) / following


def moved(masks: Tensor, before: Tensor, share: float, gradient: Tensor, lr: float, sparsity: float) -> Tensor:
    """Masks after the gradient's step from where they head, before they are cut at zero, [Z].

    Args:
        masks: as they are.
        before: as they were before the last step.
        share: of the last move, that is made again.
        gradient: of the loss, with that of the L1 penalty in it, as the authors' code has it.
        lr: learning rate.
        sparsity: weight of the L1 penalty, lambda; the proximal step shrinks by it once more.
    """
    heading = masks + share * (masks - before) - lr * gradient
    return heading.sign() * (heading.abs() - lr * sparsity).clamp(min=0)


class Judge(nn.Module):
    """Tells logits of the base from those of its copy: linear layers with nothing between, and a sigmoid at the end.

    The loss takes a sigmoid of it once more, as that of the authors' code does.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        widths = [classes, *WIDTHS]
        self.layers = nn.Sequential(*(nn.Linear(*pair) for pair in pairwise(widths)))
        for layer in self.layers:
            assert isinstance(layer, nn.Linear)
            nn.init.normal_(layer.weight, 0, SPREAD)
            nn.init.zeros_(layer.bias)

    def forward(self, logits: Tensor) -> Tensor:
        """Logits [B, classes] -> what is taken for the base's, [B, 1]."""
        found: Tensor = self.layers(logits).sigmoid()
        return found


class Training(Stepwise):
    """A training of the copy, its masks and the judge."""

    def __init__(self, task: LongTask) -> None:
        assert task.recipe is not None
        network, graph, recipe = copy.deepcopy(task.base), task.graph, replace(task.recipe, lr=task.options["lr"])
        self.task, self.free = task, inner_groups(graph)
        self.gates = Gates(network, graph, self.free)
        self.gated = torch.as_tensor(np.repeat(self.free, graph.channels), device=task.device)  # [Z], bool
        generator = torch.Generator().manual_seed(derive(task.seed, "masks"))
        # DEVIATION: what starts below zero starts at zero, where the authors' first step puts most of it.
        drawn = torch.randn(int(self.gated.sum()), generator=generator)
        self.masks = drawn.clamp(min=0).to(task.device).requires_grad_()  # of gated channels
        self.before, self.alpha, self.moves = self.masks.detach().clone(), 1.0, 0
        self.fallen = drawn.sigmoid().to(task.device)  # where a mask stands among those that are zero: later is more
        with torch.random.fork_rng():
            torch.manual_seed(derive(task.seed, "judge"))
            self.judge = Judge(_classes(task)).to(task.device)
        self.judging = SGD(
            self.judge.parameters(), recipe.lr, recipe.momentum, 0, recipe.weight_decay, recipe.nesterov, fused=True
        )
        seed = derive(task.seed, "training")
        super().__init__(network, task.splits, recipe, seed, task.label, task.sidecar, task.calibration)
        check_steps(task.options, self.steps)

    def own_state(self) -> dict[str, Any]:
        """Masks and their momentum, when they fell, and the judge."""
        return {
            "masks": self.masks.detach(), "before": self.before, "fallen": self.fallen, "alpha": self.alpha,
            "moves": self.moves, "judge": self.judge.state_dict(), "judging": self.judging.state_dict(),
        }  # fmt: skip

    def restore_own(self, state: dict[str, Any]) -> None:
        """Go on from what `own_state` returned."""
        self.masks = state["masks"].to(self.device).requires_grad_()
        self.before, self.fallen = (state[name].to(self.device) for name in ("before", "fallen"))
        self.alpha, self.moves = state["alpha"], state["moves"]
        self.judge.load_state_dict(state["judge"])
        self.judging.load_state_dict(state["judging"])

    def kept(self) -> Kept:
        """The channels whose masks are the largest, or fell last, of each group."""
        graph, masks = self.task.graph, self.masks.detach().double()
        scores = torch.zeros(len(self.gated), dtype=torch.float64, device=self.device)
        # A mask that fell in a step has a place between its number and the next.
        scores[self.gated] = torch.where(masks > 0, self.moves + 1 + masks, self.fallen.double())
        by_group = [part.cpu().numpy() for part in scores.split(graph.channels)]
        counts = nearest_counts(graph, by_group, self.free, self.task.target_flops)
        return kept_channels(highest_first(by_group), counts)

    def fold(self, kept: Kept) -> None:
        """Put the masks into the copy's weights; those of channels that go are zero."""
        left = [np.isin(np.arange(n), own) for n, own in zip(self.task.graph.channels, kept, strict=True)]
        self.gates.fold(self._gates().detach() * torch.as_tensor(np.concatenate(left), device=self.device))

    def _gates(self) -> Tensor:
        """Gates of all channels, [Z]."""
        ones = torch.ones(len(self.gated), device=self.device)
        return ones.masked_scatter(self.gated, self.masks + (LEAST - self.masks.detach()).clamp(min=0))

    def _take_step(self, batch: Batch, engine: Engine) -> None:
        seed_generators(derive(self.seed, "dropout", self.epoch, self.step, self.team.rank), self.device)
        rate = learning_rate(self.recipe, self.number, len(self.source))
        for group in (*self.optimizer.param_groups, *self.judging.param_groups):
            group["lr"] = rate
        with torch.autocast(self.device.type, torch.bfloat16, enabled=engine.precision == "bfloat16"):
            with torch.no_grad():
                wanted = self.task.base(batch.images).float()
            found = self.gates(batch.images, self._gates()).float()
        self._teach_judge(wanted, found.detach())
        loss = self._loss(wanted, found)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.judging.zero_grad()
        if (self.number + 1) % self.task.options["every"] == 0:
            self._move_masks()
        self.masks.grad = None
        self.follow()
        self.sums[0] += loss.detach() * batch.total
        self.sums[1] += (found.detach().argmax(1) == batch.labels).sum()

    def _teach_judge(self, wanted: Tensor, found: Tensor) -> None:
        """A step of the judge; the copy's logits count as false and, to hold it back, as true as well."""
        true, false = self.judge(wanted), self.judge(found)
        loss = _told(true, 1) + _told(false, 0) + _told(false, 1)
        loss.backward()
        self.judging.step()
        self.judging.zero_grad()

    def _loss(self, wanted: Tensor, found: Tensor) -> Tensor:
        """What the copy and its masks learn by: the base's logits, the judge's error, and few masks."""
        options = self.task.options
        distance: Tensor = options["likeness"] * mse_loss(found, wanted)
        penalty: Tensor = options["sparsity"] * self.masks.abs().sum()
        return distance + _told(self.judge(found), 1) + penalty

    @torch.no_grad()
    def _move_masks(self) -> None:
        """A step of FISTA on the gradient of this batch; masks stay at zero or above it."""
        assert self.masks.grad is not None
        share = 0.0
        if self.moves:
            self.alpha, share = momentum_of(self.alpha)
        masks = self.masks.detach()
        found = moved(masks, self.before, share, self.masks.grad, self.lr, self.task.options["sparsity"])
        self.moves += 1
        falls = (masks > 0) & (found <= 0)
        self.fallen = torch.where(falls, self.moves + found.sigmoid(), self.fallen)
        self.before, self.masks = masks.clone(), found.clamp(min=0).requires_grad_()


@torch.no_grad()
def _classes(task: LongTask) -> int:
    """How many logits the base gives for an image."""
    return int(task.base(task.images(1)[0]).shape[1])


def _told(answer: Tensor, truth: float) -> Tensor:
    return binary_cross_entropy_with_logits(answer, torch.full_like(answer, truth))
