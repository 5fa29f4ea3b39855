import math
from pathlib import Path

import pytest
from configs import DEMO, resolved, unresolved
from sacp.compute.resume import Sidecar
from sacp.errors import InputError
from sacp.forecast import costs
from sacp.forecast.costs import Measurements, _sizes
from sacp.forecast.jobs import BASE, TUNE, Sizes
from sacp.forecast.processes import Idle
from sacp.forecast.schedule import Limits
from sacp.plan.experiments import Experiments
from sacp.plan.stages import Stages

FLOPS = 600_000  # of a winner that searches match


def test_image_files_are_refused_before_anything_is_measured() -> None:
    dataset = {"source": "imagefolder", "path": "photos", "classes": 10}
    with pytest.raises(InputError, match="datasets: no forecast for source imagefolder"):
        _sizes(dataset, {"validation": {"fraction": 0.1}})


def test_sizes_are_those_of_the_splits() -> None:
    settings = {"validation": 0.15, "calibration": 500}
    assert _sizes({"source": "digits"}, settings) == Sizes(1222, 216, 359, 500)
    few = {"source": "digits", "training_images": 100}
    assert _sizes(few, settings | {"validation": 40}) == Sizes(60, 40, 359, 60)  # all are calibrated with


@pytest.fixture
def measurements() -> Measurements:
    """What measures the demo, small: by the settings of the forecast's job."""
    settings = unresolved()
    settings["experiments"][DEMO]["space"] |= {"training_size": 64, "search_size": 500}
    settings["experiments"][DEMO]["search"] = {"found": 20}
    cfg = Stages(Experiments(resolved(settings))).forecast(2, None)
    return Measurements(cfg, Limits(2, math.inf))


@pytest.mark.parametrize(
    ("method", "positive"),
    [
        ("sacp", {"sample_seconds", "encoder_seconds", "score_seconds"}),
        ("sacp-1", {"sample_seconds", "encoder_seconds", "score_seconds"}),
        ("log-mass", {"sample_seconds", "find_seconds", "score_seconds"}),
    ],
)
def test_a_search_is_measured_by_its_score_and_its_way(measurements, method, positive):
    idle, answer = measurements.search(DEMO, method, FLOPS)
    assert idle.imports > 0
    assert {name for name, seconds in answer.items() if seconds > 0} == positive
    assert {name for name, seconds in answer.items() if seconds == 0} == {"encoder_seconds", "find_seconds"} - positive


def test_a_score_of_the_users_is_measured_like_the_librarys(measurements, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "mine.py").write_text(
        "import numpy as np\n\n\n"
        "def score(network, graph, levels):\n"
        "    return np.random.default_rng(0).random((len(graph.groups), levels))\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    measurements.config["experiments"][DEMO]["methods"]["log-mass"] |= {"score": "mine:score"}
    _, answer = measurements.search(DEMO, "log-mass", FLOPS)
    assert answer["find_seconds"] > 0


def test_a_job_without_torch_starts_faster_than_one_that_searches(measurements):
    assert 0 < measurements.light_start() < measurements.search(DEMO, "log-mass", FLOPS)[0].imports


def test_what_was_measured_before_a_kill_is_not_measured_again(measurements, tmp_path: Path, monkeypatch) -> None:
    measured = []

    def side_by_side(module, request, number):
        if len(measured) == 3:
            raise KeyboardInterrupt
        measured.append(module)
        return Idle(len(measured), 1.0), [{"number": len(measured)}]

    def measure(folder: str) -> list[object]:
        sidecar = Sidecar(tmp_path / "state.pt", "key")
        found = Measurements(measurements.config, measurements.limits, sidecar)
        trainings = [found.trainings(recipe, DEMO, [None], tmp_path / folder) for recipe in (BASE, TUNE)]
        assert found.trainings(BASE, DEMO, [None], tmp_path / "third") == trainings[0]
        return [*trainings, found.search(DEMO, "sacp", FLOPS), found.light_start(), found.least]

    monkeypatch.setattr(costs, "side_by_side", side_by_side)
    with pytest.raises(KeyboardInterrupt):
        measure("one")
    measured.append("in vain")
    assert measure("another") == [[{"number": 1}], [{"number": 2}], (Idle(3, 1.0), {"number": 3}), 5, Idle(1, 1.0)]
    assert [module.rpartition(".")[2] for module in measured] == [
        "measure_training", "measure_training", "measure_search", "in vain", "measure_start",
    ]  # fmt: skip
