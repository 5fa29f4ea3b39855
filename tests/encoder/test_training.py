"""Trainings of an encoder that are stopped after any batch, or killed, and resumed end in the same bits."""

import os
import signal
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from networks_zoo import any_network, norms_of
from sacp.compute.resume import Sidecar, Stop
from sacp.encoder.model import Encoder, EncoderSettings
from sacp.encoder.training import Labels, train_encoder
from sacp.pruning.criteria import random_order
from sacp.pruning.space import draw_training

LEVELS, BATCHES = 10, 8  # two epochs of 64 / 16
VARIANTS = {
    "contrastive": {},
    "literal": {"objective": "literal", "anchor": "configuration"},
    "regression": {"objective": "regression"},
}


class Killed(BaseException):
    """The end of a process, as far as its memory is concerned."""


class Interrupting(Sidecar):
    """The state of a training that is sent a signal after a batch, or killed right after it has saved its state."""

    def __init__(self, path: Path, number: int, stop: signal.Signals) -> None:
        super().__init__(path, "key", 0 if stop == signal.SIGKILL else 1e9)
        self.number, self.stop = number, stop

    def pause(self, stop: Stop, part: str, state: Callable[[], Any]) -> None:
        if self.number == 0 and self.stop != signal.SIGKILL:
            os.kill(os.getpid(), self.stop)
        super().pause(stop, part, state)
        if self.number == 0:
            raise Killed
        self.number -= 1


def train(variant: str, sidecar: Sidecar | None = None) -> tuple[Encoder, list[dict[str, float]]]:
    _, graph, _ = any_network("resnet8")
    rng = np.random.default_rng(5)
    norms, training = norms_of(random_order(graph, rng)), draw_training(64, graph, LEVELS, rng)
    settings = {
        "hidden": 8, "layers": 2, "edges": "directed", "objective": "contrastive", "anchor": "original",
        "temperature": 0.1, "epochs": 2, "batch_size": 16, "lr": 0.01,
    }  # fmt: skip
    labels = Labels(np.arange(64), np.linspace(50.0, 90.0, 64)) if variant == "regression" else None
    chosen = EncoderSettings(**(settings | VARIANTS[variant]))
    return train_encoder(graph, norms, training, LEVELS, chosen, 3, labels, sidecar)


@cache
def undisturbed(variant: str) -> tuple[Encoder, list[dict[str, float]]]:
    return train(variant)


def check(variant: str, found: tuple[Encoder, list[dict[str, float]]]) -> None:
    """The encoder and its losses are those of the training that ran through, to the last bit."""
    (encoder, history), (expected, losses) = found, undisturbed(variant)
    assert history == losses
    assert encoder.state_dict().keys() == expected.state_dict().keys()
    assert all(torch.equal(value, expected.state_dict()[name]) for name, value in encoder.state_dict().items())


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("number", range(BATCHES))
@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
def test_an_encoder_ends_in_the_same_bits_after_any_batch(tmp_path, variant, number, stop):
    with pytest.raises((SystemExit, Killed)) as caught:
        train(variant, Interrupting(tmp_path / "state.pt", number, stop))
    assert stop == signal.SIGKILL or caught.value.code == 128 + stop
    sidecar = Sidecar(tmp_path / "state.pt", "key")
    state = sidecar.state["encoder"]
    assert (state["epoch"], len(state["losses"])) == (number // 4, number % 4 + 1)
    check(variant, train(variant, sidecar))


def test_an_encoder_stopped_after_every_batch_ends_in_the_same_bits(tmp_path):
    for _ in range(BATCHES):
        with pytest.raises(SystemExit):
            train("contrastive", Interrupting(tmp_path / "state.pt", 0, signal.SIGUSR1))
    check("contrastive", train("contrastive", Sidecar(tmp_path / "state.pt", "key")))


def test_states_of_an_encoder_are_saved_by_the_clock(tmp_path, monkeypatch):
    saved = []
    monkeypatch.setattr(Sidecar, "save", lambda self: saved.append(len(self.state["encoder"]["losses"])))
    train("contrastive", Sidecar(tmp_path / "state.pt", "key", 0))
    assert saved == [1, 2, 3, 4] * 2
    saved.clear()
    train("contrastive", Sidecar(tmp_path / "state.pt", "key", 1e9))
    assert saved == []
