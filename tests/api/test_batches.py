"""Batches that are given are looked at before a search begins, and are of the network's own type."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import sacp
import torch
from networks_zoo import any_network
from sacp.baselines.sensitivity import orders
from sacp.errors import InputError
from sacp.network.surgery import copied
from sacp.tracing.trace import trace
from torch import Tensor, nn
from trainings import same_weights

SHAPE = (1, 3, 8, 8)
IMAGES = torch.randn(4, *SHAPE[1:], generator=torch.Generator().manual_seed(0))


def small() -> nn.Module:
    torch.manual_seed(0)
    body = [nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8), nn.ReLU()]
    return nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3))


@pytest.mark.parametrize("argument", ["images", "calibrate"])
@pytest.mark.parametrize(
    ("given", "message"),
    [
        (3, "found a int, expected several batches, as a list of tensors"),
        ("data", "found a str, expected several batches, as a list of tensors"),
        (IMAGES, "found a tensor of shape [4, 3, 8, 8], expected several batches, as a list of tensors"),
        ([IMAGES.numpy()], "found a ndarray, expected tensors of floating point, [B, 3, 8, 8]"),
        ([(IMAGES, torch.zeros(4))], "found a tuple, expected tensors of floating point, [B, 3, 8, 8]; of images with"),
        ([IMAGES.byte()], "found a tensor of shape [4, 3, 8, 8] and type torch.uint8, expected tensors of floating"),
        ([IMAGES[0]], "found a tensor of shape [3, 8, 8] and type torch.float32, expected tensors of floating point"),
        ([IMAGES[:0]], "found a tensor of shape [0, 3, 8, 8] and type torch.float32, expected tensors of floating"),
        ([IMAGES[:, :2]], "found a batch of shape [4, 2, 8, 8], on which the network fails (RuntimeError: "),
        ([IMAGES * np.nan], "found a batch that holds NaN or infinite values; expected finite ones"),
        ([IMAGES, IMAGES / 0], "found a batch that holds NaN or infinite values; expected finite ones"),
    ],
)
def test_what_is_no_batch_is_refused(argument: str, given: Any, message: str) -> None:
    with pytest.raises(InputError) as caught:
        sacp.prune(small(), SHAPE, flops=0.5, **{argument: given})
    assert str(caught.value).startswith(f"{argument}: {message}")
    assert "\n" not in str(caught.value)


def test_the_first_batch_is_looked_at_before_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sacp.solver.bounded.best", lambda *_, **__: pytest.fail("searched"))
    with pytest.raises(InputError, match=r"^calibrate: "):
        sacp.prune(small(), SHAPE, flops=0.5, calibrate=[IMAGES[0]])


@pytest.mark.parametrize("kind", [torch.float64, torch.bfloat16])
def test_batches_take_the_type_of_the_network(kind: torch.dtype) -> None:
    network = small().to(kind)
    found = sacp.prune(network, SHAPE, flops=0.5, criterion="thinet", images=[IMAGES], calibrate=[IMAGES])
    expected = sacp.prune(network, SHAPE, flops=0.5, criterion="thinet", images=[IMAGES.to(kind)])
    assert torch.equal(found.get_parameter("0.weight"), expected.get_parameter("0.weight"))
    assert not torch.equal(found.get_buffer("1.running_mean"), expected.get_buffer("1.running_mean"))


def test_batches_that_come_but_once_serve_criterion_and_calibration() -> None:
    def once() -> Iterator[Tensor]:
        yield from (IMAGES, IMAGES.flip(0) * 2)

    same, batches = once(), list(once())
    found = sacp.prune(small(), SHAPE, flops=0.5, criterion="hrank", images=same, calibrate=same)
    expected = sacp.prune(small(), SHAPE, flops=0.5, criterion="hrank", images=batches, calibrate=batches)
    assert all(
        torch.equal(a, b) for a, b in zip(found.state_dict().values(), expected.state_dict().values(), strict=True)
    )


@pytest.mark.parametrize("criterion", ["l1", "fpgm", "hrank", "thinet", "sensitivity"])
def test_modules_stay_in_their_own_modes(criterion: str) -> None:
    network, _, shape = any_network("flat")
    modes = {module: number % 2 == 0 for number, module in enumerate(network.modules())}
    for module, mode in modes.items():
        module.training = mode
    sacp.prune(network, shape, flops=0.5, criterion=criterion, images=[torch.randn(4, *shape[1:])])
    assert {module: module.training for module in network.modules()} == modes


def test_images_alone_let_channels_and_widths_be_chosen_by_sensitivity() -> None:
    network = small()
    found = sacp.prune(network, SHAPE, flops=0.5, images=[IMAGES])
    named = sacp.prune(network, SHAPE, flops=0.5, images=[IMAGES], score="sensitivity", criterion="sensitivity")
    plain = sacp.prune(network, SHAPE, flops=0.5)
    assert same_weights(found, named)
    assert not same_weights(found, plain)
    assert same_weights(plain, sacp.prune(network, SHAPE, flops=0.5, score="log-mass", criterion="l1"))


def test_sensitivities_are_measured_once_and_are_those_that_the_criterion_would_measure() -> None:
    network = small()
    graph = trace(network, SHAPE)
    found = sacp.prune(network, SHAPE, flops=0.5, images=[IMAGES], seed=3)
    order = orders(copied(network).eval(), graph, [IMAGES], 3)
    layer = graph.groups[0].layers[0]
    left = found.get_parameter(f"{layer}.weight")
    assert torch.equal(left, network.get_parameter(f"{layer}.weight")[np.sort(order[0][: len(left)])])


def test_measuring_shows_how_far_it_is(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr("sacp.progress.SECONDS", 0)
    with caplog.at_level("INFO"):
        sacp.prune(small(), SHAPE, flops=0.5, images=[IMAGES, IMAGES[:1]])
    lines = [record.getMessage() for record in caplog.records if "sensitivity: images" in record.getMessage()]
    assert [line.split(",")[0] for line in lines] == ["sensitivity: images 4/5", "sensitivity: images 5/5"]


def test_no_more_than_500_images_are_looked_at() -> None:
    network, many = small(), [torch.randn(300, *SHAPE[1:]) for _ in range(3)]
    for criterion in ("sensitivity", "hrank"):
        found = sacp.prune(network, SHAPE, flops=0.5, images=many, criterion=criterion)
        first = sacp.prune(network, SHAPE, flops=0.5, images=[many[0], many[1][:200]], criterion=criterion)
        assert same_weights(found, first)
