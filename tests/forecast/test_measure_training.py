"""What a forecast measures of a training is the training of the run, with the teacher that its recipe asks for."""

import time
from pathlib import Path
from typing import Any

import pytest
from sacp.forecast import measure_training
from sacp.forecast.costs import _write_synthetic
from sacp.forecast.jobs import Sizes
from sacp.tracing.trace import count
from sacp.training import loop
from sacp.training.loss import Teacher
from trainings import SPEC, fresh

RECIPE = {
    "epochs": 0, "lr": 0.01, "batch_size": 8, "momentum": 0.9, "weight_decay": 0, "nesterov": False, "crop_padding": 0,
    "flip": False,
}  # fmt: skip


def request_of(data: Path, recipe: dict[str, Any], **more: Any) -> dict[str, Any]:
    """What a forecast asks of one pruned network on synthetic images."""
    _write_synthetic(data, SPEC, Sizes(32, 8, 8))
    return {
        "network": vars(SPEC), "counts": [[4, 4, 8, 8, 16, 16]], "recipe": recipe, "data": str(data), "validation": 8,
        "device": "cpu", "engine": {"precision": "float32", "deterministic": True}, "seconds": 0, "zero_cost": {},
        "constraints": {"ignore": [], "round_to": 1, "at_least": 1},
    } | more  # fmt: skip


def test_zero_cost_predictors_are_timed_once_they_have_run_before(tmp_path: Path, monkeypatch) -> None:
    seen = list[tuple[int, bool]]()

    def slow(network: Any, images: Any, seed: int) -> float:
        seen.append((len(images), network.training))
        time.sleep(0.05 * len(seen))
        return 1.0

    monkeypatch.setattr("sacp.training.zero_cost.synflow", slow)
    paths = {"synflow": "sacp.training.zero_cost:synflow"}
    [seconds] = measure_training.measure(request_of(tmp_path / "data", RECIPE, zero_cost=paths))["predict_seconds"]
    assert seen == [(32, False)] * 2  # all images that there are
    assert 0.1 <= seconds < 1
    assert measure_training.measure(request_of(tmp_path / "data", RECIPE))["predict_seconds"] == [0]


@pytest.mark.parametrize(("weight", "asked"), [({}, False), ({"distill_weight": 0.5}, True)])
def test_steps_are_measured_with_their_teacher(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weight: dict[str, float], asked: bool
) -> None:
    teachers = list[int]()

    class Counted(Teacher):
        def __init__(self, network: Any, device: Any) -> None:
            super().__init__(network, device)
            teachers.append(count(network, SPEC.input_shape).flops)

    monkeypatch.setattr(loop, "Teacher", Counted)
    answer = measure_training.measure(request_of(tmp_path / "data.safetensors", RECIPE | weight))
    whole = count(fresh(), SPEC.input_shape).flops
    assert answer["flops"][0] < whole
    assert teachers == [whole, whole] * asked  # one that warms up, one that is measured
