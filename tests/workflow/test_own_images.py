"""A folder of few image files, as a user brings it: tuned candidates are judged by their weights."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from checkout import Checkout, copy_checkout
from PIL import Image
from sacp.artefacts.files import read_json
from sklearn.datasets import load_digits

pytestmark = pytest.mark.workflow
CLASSES, TRAIN, VAL = 5, 48, 12  # images of a class in each part: 300 in all
CHANCE = 100 / CLASSES
OWN = {"resize": [24, 24], "mean": [0.3] * 3, "std": [0.25] * 3}  # how the owner prepares them


def write_images(root: Path) -> None:
    """Digits 0 to 4 as colour JPEGs."""
    digits, rng = load_digits(), np.random.default_rng(0)
    for label in range(CLASSES):
        for number, image in enumerate(digits.images[digits.target == label][: TRAIN + VAL]):
            pixels = image[..., None] / 16 * rng.uniform(0.6, 1, 3) * 255
            path = root / ("train" if number < TRAIN else "val") / f"digit{label}" / f"{number}.jpeg"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.astype(np.uint8)).resize((32, 32)).save(path, quality=95)


def config() -> dict[str, Any]:
    recipe = {"batch_size": 16, "flip": False}
    return {
        "pathvars": {"results": "results/own"},
        "datasets": {"own": {"source": "imagefolder", "path": "images", "classes": CLASSES, "image_size": 24, **OWN}},
        "defaults": {
            "dataset": "own",
            "validation": 0.25,
            "base": {"epochs": 30, "lr": 0.1, **recipe},
            "tune": {"epochs": 1, "lr": 0.01, **recipe},
            "full": {"epochs": 8, "lr": 0.02, **recipe},
            "methods": {"log-mass": {"kind": "search", "score": "log-mass", "search": "exact"}},
        },
        "experiments": {
            "net": {
                "network": {"name": "resnet8"},
                "space": {"training_size": 2, "search_size": 100, "threshold": 0},
                "search": {"budget": {"flops": [0.45, 0.5]}, "found": 6},
                "refine": {"top_m": 6, "top_k": 1, "shard_size": 6},
            }
        },
    }


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    checkout = copy_checkout(tmp_path_factory.mktemp("own"))
    write_images(checkout.path / "images")
    (checkout.path / "own.yaml").write_text(yaml.safe_dump(config()))
    run = checkout.snakemake("results/own/tables/table3.csv", "--configfile", "own.yaml")
    assert run.status == 0, run.output
    return checkout


def test_candidates_tuned_on_few_images_are_far_above_chance(finished: Checkout) -> None:
    tuned = pd.read_csv(finished.path / "results/own/net/seed0/log-mass/topm.csv")["validation_accuracy_percent"]
    top1 = pd.read_csv(finished.path / "results/own/tables/table3.csv").set_index("method")["top1_percent"]
    assert top1["Base"] > 80
    assert len(tuned) == 6
    assert tuned.min() > 4 * CHANCE
    assert top1["log-mass"] > top1["Base"] - 8


def test_the_winner_says_what_its_images_go_through(finished: Checkout) -> None:
    found = read_json(finished.path / "results/own/net/seed0/log-mass/winner/network.json")
    assert {key: found[key] for key in (*OWN, "crop")} == {
        "resize": [24, 24], "crop": 24, "mean": pytest.approx([0.3] * 3), "std": [0.25] * 3,
    }  # fmt: skip


def test_other_deviations_rerun_the_data_and_what_is_trained_on_them_and_no_trace(finished: Checkout) -> None:
    value = config()
    value["datasets"]["own"]["std"] = [0.2] * 3
    (finished.path / "other.yaml").write_text(yaml.safe_dump(value))
    run = finished.snakemake("results/own/tables/table3.csv", "--configfile", "other.yaml", "--dry-run")
    assert {"prepare_data", "train_base", "tune_shard", "rank_tuned", "select_winner"} <= set(run.jobs)
    assert "trace_network" not in run.jobs
