"""OTO: an optimiser trains the base and drives redundant channels to zero, whole, so that they go without a trace.

Two optimisers of its authors: DHSPG (OTOv2, Chen et al. 2023) chooses all channels at once and shrinks them by a
penalty and a projection; HESSO (Chen et al. 2024) chooses them in periods and fades them out in each. Both do so after
each step of the loop's SGD. What they compute is in `oto_scores`.
"""

import copy
import logging
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sacp.baselines import oto_scores
from sacp.baselines.channel_parameters import ChannelParameters
from sacp.baselines.learning import Learned, LongTask
from sacp.baselines.match_flops import nearest_threshold, threshold_counts
from sacp.baselines.oto_scores import Products
from sacp.compute.arithmetic import Engine
from sacp.images.batches import Batch
from sacp.network.cost import cost_of_graph
from sacp.network.graph import Kept
from sacp.pruning.criteria import highest_first, kept_channels
from sacp.seeds import derive
from sacp.training.stepwise import Stepwise, finish

log = logging.getLogger(__name__)


def select(task: LongTask) -> Learned:
    """Kept channels: those that the optimiser does not drive to zero.

    With the base's weights, the training ends with the epoch in which all of them are chosen.
    """
    training = OPTIMISERS[task.options["optimiser"]](task)
    history = finish(training, task.engine)
    network = training.network
    if task.own_weights:
        training.clear()
        task.calibration(network)
    judged = [task.evaluated(network)]
    return Learned(training.kept, history, judged, network if task.own_weights else None)


class Optimiser(Stepwise):
    """A training that chooses channels and drives them to zero."""

    def __init__(self, task: LongTask) -> None:
        assert task.recipe is not None
        network, nothing = copy.deepcopy(task.base), torch.zeros(sum(task.graph.channels), dtype=torch.bool)
        self.task, self.parameters = task, ChannelParameters(network, task.graph)
        self.kept: Kept = [np.arange(channels) for channels in task.graph.channels]
        self.chosen, self.zero = nothing.to(task.device), nothing.to(task.device)  # [Z]: to be zero; zero already
        self.has_chosen = False  # all of them
        seed = derive(task.seed, "training")
        super().__init__(network, task.splits, task.recipe, seed, task.label, task.sidecar, task.calibration)
        # The step with which the choice begins.
        self.first = min(round(task.options["start"] * self.steps), self.steps - 1)

    def own_state(self) -> dict[str, Any]:
        """Chosen channels, and those that are zero."""
        return {"chosen": self.chosen, "zero": self.zero, "has_chosen": self.has_chosen}

    def restore_own(self, state: dict[str, Any]) -> None:
        """Go on from what `own_state` returned."""
        self.chosen, self.zero = (state[name].to(self.device) for name in ("chosen", "zero"))
        self.has_chosen = state["has_chosen"]
        self.kept = [np.flatnonzero(~each) for each in self.parameters.by_group(self.chosen)]

    def is_settled(self) -> bool:
        """Whether all is chosen, and the weights are not asked for."""
        return self.has_chosen and not self.task.own_weights

    def clear(self) -> None:
        """Make the parameters of all chosen channels zero, at the end of the training."""
        left = int((self.chosen & ~self.zero).sum())
        if left:
            log.warning(
                "%s: %d of %d chosen channels had not come to zero and are removed as they stand; more epochs, a "
                "higher learning rate or a higher penalty would bring them there",
                self.label, left, int(self.chosen.sum()),
            )  # fmt: skip
        self.zero = self.chosen.clone()
        self._hold()

    def choose(self, products: Products, before: list[Tensor]) -> None:
        """Choose channels, and move the chosen ones towards zero.

        Args:
            products: of the parameters before the step that SGD has just taken, and its direction.
            before: values of the parameters before that step.
        """
        raise NotImplementedError

    def keep(self, scores: Tensor, counts: NDArray[np.int64]) -> None:
        """Keep so many channels of each group [G], the highest by their scores [Z]; all others are chosen."""
        self.kept = kept_channels(highest_first(self.parameters.by_group(scores)), counts)
        self.chosen = torch.ones_like(self.chosen)
        for is_chosen, numbers in zip(self.chosen.split(self.parameters.channels), self.kept, strict=True):
            is_chosen[torch.as_tensor(numbers, device=self.device)] = False
        self.zero &= self.chosen

    def _take_step(self, batch: Batch, engine: Engine) -> None:
        before = self.parameters.values()
        super()._take_step(batch, engine)
        if self.number < self.first:
            return
        # What SGD did, with its momentum and weight decay, is the direction that the papers' formulas take.
        moves = [(old - new) / self.lr for old, new in zip(before, self.parameters.values(), strict=True)]
        pairs = ((before, before), (before, moves), (moves, moves))
        self.choose(Products(*(self.parameters.products(*pair) for pair in pairs)), before)
        self._hold()

    def _hold(self) -> None:
        """What is zero stays zero."""
        self.parameters.scale((~self.zero).double())


class Dhspg(Optimiser):
    """Dual half-space projected gradient: a penalty on all redundant channels, which a projection makes zero."""

    def choose(self, products: Products, before: list[Tensor]) -> None:
        """Choose all channels at the first step; shrink those that are not zero yet."""
        task, sizes = self.task, self.parameters.sizes
        if not self.has_chosen:
            scores = -oto_scores.redundancy(products, sizes)
            by_group = self.parameters.by_group(scores)
            self.keep(scores, threshold_counts(task.graph, by_group, task.target_flops))
            self.has_chosen = True
        active, lambdas = self.chosen & ~self.zero, oto_scores.penalty(products, task.options["penalty"])
        self.parameters.shift(before, -self.lr * active * lambdas / (products.xx.sqrt() + oto_scores.TINY))
        self.zero |= active & oto_scores.leaves_half_space(products, lambdas, self.lr, task.options["half_space"])


class Hesso(Optimiser):
    """Hybrid efficient structured sparse optimiser: in each of some periods, the least important fade out."""

    def __init__(self, task: LongTask) -> None:
        super().__init__(task)
        steps = max(1, round(task.options["end"] * self.steps) - self.first)
        self.periods = min(task.options["periods"], steps)
        self.length = steps // self.periods  # steps of a period

    def choose(self, products: Products, before: list[Tensor]) -> None:
        """Choose more channels at the first step of a period; fade them out in all of its steps."""
        period, step = divmod(self.number - self.first, self.length)
        if period >= self.periods:
            return
        if step == 0:
            self._choose_more(oto_scores.importance(products, self.parameters.sizes), period)
        active = self.chosen & ~self.zero
        self.parameters.scale(torch.where(active, oto_scores.fading(step, self.length), 1.0).double())
        if step == self.length - 1:
            self.zero = self.chosen.clone()

    def _choose_more(self, scores: Tensor, period: int) -> None:
        """Choose the least important ones so that the FLOPs fall by equal parts; those chosen before stay so."""
        graph, base, target = self.task.graph, cost_of_graph(self.task.graph).flops, self.task.target_flops
        scores = torch.where(self.chosen, -1.0, scores)  # importances are not negative
        by_group = self.parameters.by_group(scores)
        self.has_chosen = period == self.periods - 1
        if self.has_chosen:
            counts = threshold_counts(graph, by_group, target)
        else:
            wanted = base - (base - target) * (period + 1) // self.periods
            before = np.array([len(channels) for channels in self.kept])
            counts = np.minimum(before, nearest_threshold(graph, by_group, wanted))
        self.keep(scores, counts)


OPTIMISERS: dict[str, type[Optimiser]] = {"dhspg": Dhspg, "hesso": Hesso}
