import math
from pathlib import Path

import pytest
from configs import DEMO, resolved, unresolved
from image_tree import SIZE, dataset, write_tree
from sacp.catalogue.predictors import ZERO_COST
from sacp.compute.resume import Sidecar
from sacp.forecast import costs, measure_training
from sacp.forecast.costs import Measurements, _write_data
from sacp.forecast.jobs import BASE, TUNE, Sizes
from sacp.forecast.processes import Idle
from sacp.forecast.schedule import Limits
from sacp.images.splits import load_splits
from sacp.network.spec import NetworkSpec
from sacp.plan.experiments import Experiments
from sacp.plan.stages import Stages

FLOPS = 600_000  # of a winner that searches match
STEPS = {
    "epochs": 0, "lr": 0.01, "batch_size": 8, "momentum": 0.9, "weight_decay": 0, "nesterov": False, "crop_padding": 0,
    "flip": False,
}  # fmt: skip


SETTINGS = {"validation": 0.15, "calibration": 500}
DIGITS = NetworkSpec("resnet8", 0.5, 1, 8, 10)


def test_sizes_are_those_of_the_splits(tmp_path: Path) -> None:
    data = tmp_path / "data.safetensors"
    assert _write_data(data, {"source": "digits"}, DIGITS, SETTINGS)[0] == Sizes(1222, 216, 359, 500)
    few = {"source": "digits", "training_images": 100}
    sizes, seconds = _write_data(data, few, DIGITS, SETTINGS | {"validation": 40})
    assert sizes == Sizes(60, 40, 359, 60)  # all are calibrated with
    assert seconds > 0


def test_image_files_are_measured_as_they_are(tmp_path: Path) -> None:
    tree, data = write_tree(tmp_path / "tree"), tmp_path / "data.safetensors"
    spec = NetworkSpec("resnet8", 0.5, 3, SIZE, 3)
    sizes, seconds = _write_data(data, dataset(tree) | {"resize": [16, 16]}, spec, SETTINGS | {"validation": None})
    assert (sizes, seconds > 0) == (Sizes(19, 2, 9, 19), True)
    splits = load_splits(data, None, seed=0)
    assert splits.train.path(0).is_file()
    assert splits.preprocessing()["resize"] == (16, 16)
    request = {
        "network": vars(spec), "counts": [[4, 4, 8, 8, 16, 16]], "recipe": STEPS, "data": str(data), "seconds": 0,
        "validation": None, "device": "cpu", "engine": {"precision": "float32", "deterministic": True},
        "constraints": {"ignore": [], "round_to": 1, "at_least": 1},
        "zero_cost": {"synflow": ZERO_COST["synflow"].function},
    }  # fmt: skip
    found = measure_training.measure(request)
    assert min(found["train_seconds"] + found["evaluate_seconds"] + found["predict_seconds"]) > 0


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
