"""Channels of every group in the order in which a criterion would keep them."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import Tensor, nn

from sacp import imports
from sacp.images.batches import Normalizer, drawn_batches
from sacp.images.splits import Splits
from sacp.network.graph import Graph, Kept, Scales
from sacp.pruning.criteria import Order, Rescaled, kept_of, l1_order
from sacp.pruning.returned import order_of
from sacp.pruning.space import Steps

BATCH = 100  # images that a criterion looks at at a time


@dataclass(frozen=True)
class Ordering:
    """What a criterion makes of a base: which channels are kept first, and how what is left is rescaled."""

    base: nn.Module  # in evaluation mode
    graph: Graph
    criterion: Mapping[str, Any] | None  # `function`, an import path, and the `images` it looks at; None: by L1 norm
    splits: Splits | None  # the data, if it looks at images
    seed: int  # of the criterion's random draws

    @cached_property
    def order(self) -> Order:
        """Channels of each group, best first.

        Raises:
            InputError: the criterion cannot be imported, or does not order the channels.
        """
        if self.criterion is None:
            return l1_order(self.base, self.graph)
        return order_of(self._ranked, self.graph, self.criterion["function"])

    def kept(self, steps: Steps, levels: int) -> Kept:
        """Kept channels of one configuration [G], per group."""
        return kept_of(steps, self.order, self.graph, levels)

    def scales(self, kept: Kept) -> Scales | None:
        """Factors of kept channels, per group [C_kept]; None if the criterion rescales nothing."""
        if self.criterion is None or not isinstance(self._ranked, Rescaled):
            return None
        return self._ranked.scales(kept)

    def images(self, number: int) -> list[Tensor]:
        """Normalised images [B, C, H, W] of the training part, drawn at random, on the base's device."""
        if not number:
            return []
        assert self.splits is not None
        normalizer = Normalizer(self.splits.mean, self.splits.std, next(self.base.parameters()).device)
        return list(drawn_batches(self.splits.train, normalizer, number, BATCH, self.seed))

    @cached_property
    def _ranked(self) -> Any:
        """What the criterion's function returns."""
        assert self.criterion is not None
        function, number = self.criterion["function"], self.criterion["images"]
        return imports.call(function, self.base, self.graph, self.images(number), self.seed)
