"""The training of the graph encoder, contrastive (method section 3.4) or by regression (4.4, SACP-1).

What the paper does not have: each anchor against its own negative alone (`own`), and scores by the distance of node
outputs from the original's (`distance`).
"""

import logging
import time
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sacp.compute.resume import Sidecar, Stop, stop_requests
from sacp.encoder.features import node_features
from sacp.encoder.model import DISTANCE, OWN, Encoder, EncoderSettings, Topology, distance_scores
from sacp.errors import InputError
from sacp.network.graph import Graph
from sacp.pruning.criteria import Norms, highest_first
from sacp.pruning.space import Steps
from sacp.seeds import derive

log = logging.getLogger(__name__)
LOSS_COLUMNS = ("epoch", "loss")
EPSILON = 1e-12  # eq. 6: added to the softmax denominator


def objective_loss(anchor: Tensor, positive: Tensor, negative: Tensor, objective: str, temperature: float) -> Tensor:
    """Contrastive loss of a batch, eq. 5-8.

    `literal` is eq. 6-8 word for word: each anchor is attracted to its own positive and, since eq. 6 never uses the
    label, to its own negative. Positives and negatives stand in softmaxes of their own, so with one anchor for all the
    loss is smallest when all similarities are equal. `contrastive` puts the negatives into the denominator of the
    positives' softmax.

    Shapes: anchor, positive, negative [B, h] of unit length -> scalar.
    """
    to_positive = anchor @ positive.T / temperature  # [B, B], eq. 5
    to_negative = anchor @ negative.T / temperature
    if objective == "contrastive":
        return _softmax_loss(torch.cat([to_positive, to_negative], dim=1))
    if objective == "literal":
        return _softmax_loss(to_positive) + _softmax_loss(to_negative)
    raise KeyError(objective)


def pair_loss(positive: Tensor, negative: Tensor, temperature: float) -> Tensor:
    """Softmax loss of each anchor over its own positive and its own negative alone, not the batch's.

    Shapes: scores [B] and [B] -> scalar, the mean of softplus((negative - positive) / temperature).
    """
    return nn.functional.softplus((negative - positive) / temperature).mean()


def _softmax_loss(similarity: Tensor) -> Tensor:
    """Eq. 6-7: mean over rows i of -log softmax_i(row i), row maximum subtracted. [B, B or 2B] -> scalar."""
    exponentials = (similarity - similarity.max(dim=1, keepdim=True).values).exp()
    return -(exponentials.diagonal() / (exponentials.sum(dim=1) + EPSILON)).clamp_min(1e-38).log().mean()


@dataclass(frozen=True)
class Labels:
    """What a regression learns: rows int64 [n] of the training configurations and their accuracies [n], percent."""

    rows: NDArray[np.int64]
    accuracies: NDArray[np.float64]


class _Lesson:
    """What one batch of configurations teaches."""

    def __init__(self, encoder: Encoder, graph: Graph, norms: Norms, levels: int, settings: EncoderSettings) -> None:
        self.encoder, self.settings = encoder, settings
        self.features = node_features(graph, levels, settings.features, norms)
        self.topology = Topology(graph, self.features, settings.edges)
        self.first = encoder.layers[0].lin
        self.l1_table = self.features.table(highest_first(norms))
        # ASSUME: the anchor `configuration` keeps the first channels by number, which ignores the weights.
        self.plain_table = self.features.table([np.arange(channels) for channels in graph.channels])

    def contrast(self, steps: Steps, generator: torch.Generator) -> Tensor:
        """Contrastive loss of configurations [B, G]."""
        features, number = self.features, len(steps)
        index, products = features.index(steps), self.first(self.l1_table)  # [B, R + K], [R * levels + K, h]
        constants = products[len(products) - len(features.constants) :].expand(number, -1, -1)
        random = self.first(features.random_rows(features.counts(steps), generator))  # [B, R, h]
        positive, negative = products[index], torch.cat([random, constants], dim=1)
        is_original = self.settings.anchor == "original"
        anchor = products[features.unpruned()] if is_original else self.first(self.plain_table)[index]
        # One pass through the encoder for all three: [3B or 2B + 1, h].
        together, sizes = torch.cat([positive, negative, anchor]), [number, number, len(anchor)]
        temperature = self.settings.temperature
        if self.settings.score == DISTANCE:
            outputs = self.encoder.node_outputs(together, self.topology)
            of_positive, of_negative, of_anchor = outputs.split(sizes)
            better, worse = distance_scores(of_positive, of_anchor), distance_scores(of_negative, of_anchor)
            return pair_loss(better, worse, temperature)
        z_positive, z_negative, z_anchor = self.encoder.embed_products(together, self.topology).split(sizes)
        z_anchor = z_anchor.expand(number, -1)
        if self.settings.negatives == OWN:
            return pair_loss((z_anchor * z_positive).sum(dim=1), (z_anchor * z_negative).sum(dim=1), temperature)
        return objective_loss(z_anchor, z_positive, z_negative, self.settings.objective, temperature)

    def regress(self, steps: Steps, targets: Tensor) -> Tensor:
        """Mean squared error of the predictions for configurations [B, G] with targets [B]."""
        assert self.encoder.head is not None
        products = self.first(self.l1_table)[self.features.index(steps)]
        predictions = self.encoder.head(self.encoder.embed_products(products, self.topology))[:, 0]
        return nn.functional.mse_loss(predictions, targets)


def train_encoder(
    graph: Graph, norms: Norms, training: Steps, levels: int, settings: EncoderSettings, seed: int,
    labels: Labels | None = None, sidecar: Sidecar | None = None,
) -> tuple[Encoder, list[dict[str, float]]]:  # fmt: skip
    """Train an encoder on the training configurations [N, G] and return it with its loss per epoch.

    Positives are the L1 kept sets of a configuration, negatives random kept sets of the same ratios, drawn afresh. A
    regression learns the accuracies of the labelled ones alone; its head predicts percent. `norms` are the channels'
    L1 norms, per group [C_g]. In `sidecar`, the state is kept under `encoder`; from there a training that was killed
    goes on, to the same bits.

    Raises:
        InputError: the loss is not finite, or there are fewer than two labels.
        Stopped: a signal asked for an end; the state was saved.
    """
    with torch.random.fork_rng():
        torch.manual_seed(derive(seed, "encoder weights"))
        encoder = Encoder.build(graph.max_channels, settings)
    targets: Tensor | None = None
    mean, deviation = 0.0, 1.0
    if labels is not None:
        if len(labels.rows) < 2:
            raise InputError(
                f"encoder: {len(labels.rows)} labels; a regression needs two or more networks that trained"
            )
        training = training[labels.rows]
        mean, deviation = float(labels.accuracies.mean()), float(labels.accuracies.std()) or 1.0
        targets = torch.from_numpy((labels.accuracies - mean) / deviation).float()
    lesson = _Lesson(encoder, graph, norms, levels, settings)
    run = _Run(lesson, training, targets, seed, sidecar or Sidecar())
    with stop_requests() as stop:
        run.go(stop)
    if encoder.head is not None:
        _rescale(encoder.head, mean, deviation)
    return encoder, run.history


class _Run:
    """One training: what is saved of it, and how it goes on."""

    def __init__(
        self, lesson: _Lesson, training: Steps, targets: Tensor | None, seed: int, sidecar: Sidecar
    ) -> None:  # fmt: skip
        self.lesson, self.training, self.targets, self.seed = lesson, training, targets, seed
        self.encoder, self.settings, self.sidecar = lesson.encoder, lesson.settings, sidecar
        self.optimizer = torch.optim.Adam(self.encoder.parameters(), self.settings.lr)
        self.epoch, self.history = 0, list[dict[str, float]]()
        self.losses = list[Tensor]()  # of the batches of this epoch
        self.drawn: Tensor | None = None  # this epoch's generator after them, if another process drew for them
        if "encoder" in sidecar.state:
            self._restore(sidecar.state["encoder"])
        self.started, self.done = time.monotonic(), 0  # batches of this process since then

    def go(self, stop: Stop) -> None:
        """Train to the end, from where the state stands."""
        while self.epoch < self.settings.epochs:
            generator = torch.Generator().manual_seed(derive(self.seed, "encoder epoch", self.epoch))
            batches = torch.randperm(len(self.training), generator=generator).split(self.settings.batch_size)
            if self.drawn is not None:
                generator.set_state(self.drawn)
                self.drawn = None
            for rows in batches[len(self.losses) :]:
                self._take_step(rows, generator)
                self.sidecar.pause(stop, "encoder", partial(self._state, generator))
            self._end_epoch(len(batches))

    def _take_step(self, rows: Tensor, generator: torch.Generator) -> None:
        steps = self.training[rows.numpy()]
        if self.targets is None:
            loss = self.lesson.contrast(steps, generator)
        else:
            loss = self.lesson.regress(steps, self.targets[rows])
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.losses.append(loss.detach())
        self.done += 1

    def _end_epoch(self, batches: int) -> None:
        loss, epochs = float(torch.stack(self.losses).mean()), self.settings.epochs
        if not np.isfinite(loss):
            raise InputError(
                f"encoder: the loss is {loss} in epoch {self.epoch + 1}; lower encoder.lr {self.settings.lr}"
            )
        self.epoch, self.losses = self.epoch + 1, []
        self.history.append({"epoch": self.epoch, "loss": loss})
        pace = (time.monotonic() - self.started) / max(1, self.done)
        left = pace * batches * (epochs - self.epoch)
        log.info("encoder: epoch %d/%d, loss %.4f, %.0f s left", self.epoch, epochs, loss, left)

    def _state(self, generator: torch.Generator) -> dict[str, Any]:
        return {
            "epoch": self.epoch, "losses": torch.stack(self.losses), "drawn": generator.get_state(),
            "encoder": self.encoder.state_dict(), "optimizer": self.optimizer.state_dict(), "history": self.history,
        }  # fmt: skip

    def _restore(self, state: dict[str, Any]) -> None:
        self.encoder.load_state_dict(state["encoder"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.epoch, self.history, self.drawn = state["epoch"], list(state["history"]), state["drawn"]
        self.losses = list(state["losses"].unbind())
        log.info("encoder: goes on in epoch %d at batch %d", self.epoch + 1, len(self.losses))


@torch.no_grad()
def _rescale(head: nn.Module, mean: float, deviation: float) -> None:
    """Let a head that learned standardised targets predict percent."""
    last = head[-1] if isinstance(head, nn.Sequential) else head
    last.get_parameter("weight").mul_(deviation)
    last.get_parameter("bias").mul_(deviation).add_(mean)
