"""What a forecast measures of a training is the training of the run, with the teacher that its recipe asks for."""

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
    data = tmp_path / "data.safetensors"
    _write_synthetic(data, SPEC, Sizes(32, 8, 8))
    request = {
        "network": vars(SPEC), "counts": [[4, 4, 8, 8, 16, 16]], "recipe": RECIPE | weight, "data": str(data),
        "validation": 8, "device": "cpu", "engine": {"precision": "float32", "deterministic": True}, "seconds": 0,
        "constraints": {"ignore": [], "round_to": 1, "at_least": 1},
    }  # fmt: skip
    answer = measure_training.measure(request)
    whole = count(fresh(), SPEC.input_shape).flops
    assert answer["flops"][0] < whole
    assert teachers == [whole, whole] * asked  # one that warms up, one that is measured
