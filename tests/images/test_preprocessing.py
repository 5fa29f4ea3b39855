"""What images go through before a network sees them, as a config has it: in the prepared file, batches and winners."""

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from checkout import ROOT
from configs import read, resolved
from image_tree import SIZE, dataset, write_tree
from PIL import Image
from sacp.catalogue import sources
from sacp.errors import InputError
from sacp.images import preprocessing
from sacp.images.batches import Normalizer, evaluation_batches
from sacp.images.sources import prepare
from sacp.images.splits import Splits, load_splits
from sacp.plan.experiments import Experiments
from sacp.plan.stages import Stages
from safetensors.torch import save_file
from torchvision.transforms import v2

MEAN, STD = [0.5, 0.25, 0.125], [0.5, 0.2, 0.1]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return write_tree(tmp_path / "tree", 4, 2)


def splits(folder: Path, entry: dict[str, Any], validation: float = 0.25) -> Splits:
    """What trainings read of a data set that a config describes so."""
    value = read("demo")
    value["datasets"]["own"] = entry
    tensors, metadata = prepare(Stages(Experiments(resolved(value))).dataset("own"))
    save_file(tensors, folder / "data.safetensors", metadata=metadata)
    return load_splits(folder / "data.safetensors", validation, seed=0)


def shown(found: Splits) -> torch.Tensor:
    normalizer = Normalizer(found.mean, found.std, torch.device("cpu"))
    return torch.cat([images for images, _ in evaluation_batches(found.test, normalizer)])


@pytest.mark.parametrize(
    ("given", "steps"),
    [
        ({}, [v2.Resize(18), v2.CenterCrop(SIZE)]),  # 16 * 256 / 224, rounded
        ({"resize": 16}, [v2.Resize(16), v2.CenterCrop(SIZE)]),
        ({"resize": 30}, [v2.Resize(30), v2.CenterCrop(SIZE)]),
        ({"resize": [16, 16]}, [v2.Resize([16, 16])]),
        ({"resize": [20, 17], "crop": 16}, [v2.Resize([20, 17]), v2.CenterCrop(SIZE)]),
    ],
)
def test_evaluation_shows_what_torchvision_shows_of_the_same_settings(tree, given, steps):
    found = splits(tree, dataset(tree) | {"mean": MEAN, "std": STD} | given)
    owners = v2.Compose([*steps, v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)])
    expected = [owners(Image.open(found.test.path(row)).convert("RGB")) for row in range(len(found.test.labels))]
    torch.testing.assert_close(shown(found), torch.stack(expected), atol=1e-5, rtol=1e-5)


def test_a_network_says_what_its_images_go_through(tree):
    usual = splits(tree, dataset(tree)).preprocessing()
    assert usual.pop("mean") == pytest.approx([0.485, 0.456, 0.406])
    assert usual.pop("std") == pytest.approx([0.229, 0.224, 0.225])
    assert usual == {"resize": 18, "crop": 16}
    own = {"mean": MEAN, "std": STD, "resize": [17, 20]}
    found = splits(tree, dataset(tree) | own).preprocessing()
    assert json.loads(json.dumps(found)) == own | {"std": pytest.approx(STD), "crop": 16}


def test_images_in_memory_have_the_statistics_that_are_given_or_those_of_the_training_part(tmp_path):
    given = splits(tmp_path, {"source": "digits", "mean": [0.25], "std": [0.5]})
    assert given.preprocessing() == {"mean": [0.25], "std": [0.5]}
    raw = given.test.images.float() / 255
    torch.testing.assert_close(shown(given), (raw - 0.25) / 0.5, atol=1e-5, rtol=1e-5)
    usual, other = (splits(tmp_path, {"source": "digits"}, validation) for validation in (0.25, 0.5))
    assert usual.mean != other.mean
    assert float(usual.mean) == pytest.approx(float(usual.train.images.double().mean() / 255), abs=1e-6)


def test_settings_that_are_not_given_are_in_no_stage(tree):
    value = read("demo")
    value["datasets"]["own"] = {"source": "digits"}
    found = Stages(Experiments(resolved(value))).dataset("own")
    assert not set(found) & {"mean", "std", "resize", "crop"}
    assert set(prepare(found)[1]) == {"digest"}


def test_what_is_cut_out_is_what_networks_see():
    tree = {"source": "imagefolder", "path": "x", "classes": 3}
    assert sources.shape(tree | {"crop": 64}) == sources.shape(tree | {"image_size": 64}) == (3, 64, 3)
    assert preprocessing.resize_of({}, 224) == 256


def test_the_configs_of_the_page_on_own_data_are_read():
    page = (ROOT / "docs/own-data.md").read_text()
    whole, hundred = (yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", page, flags=re.DOTALL))
    assert resolved(whole)["experiments"]["trees"]["validation"] is None
    assert resolved(
        whole | hundred | {"experiments": {"trees": whole["experiments"]["trees"] | {"dataset": "cifar100"}}}
    )
    for text in re.findall(r"\| `(image_size: .*?|mean: .*?)` \|", page):
        value = copy.deepcopy(whole)
        value["datasets"]["mine"] |= yaml.safe_load(f"{{{text}}}")
        assert resolved(value)["datasets"]["mine"]["image_size"] == 48


TREE = {"source": "imagefolder", "path": "x", "classes": 3, "image_size": 64}
PAIR = {"mean": [0.5] * 3, "std": [0.2] * 3}


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (TREE | {"mean": [0.5] * 3}, "std: missing; expected both or none, as mean is [0.5, 0.5, 0.5]"),
        (TREE | {"std": [0.5] * 3}, "mean: missing; expected both or none, as std is"),
        (TREE | PAIR | {"mean": [123.7, 116.3, 103.5]}, "mean: found [123.7, 116.3, 103.5], expected 3 numbers on the"),
        (
            TREE | PAIR | {"mean": [0.5]},
            "mean: found [0.5], expected 3 numbers on the scale 0..1, one for each channel",
        ),
        (
            TREE | PAIR | {"std": [0.2, 0, 0.2]},
            "std: found [0.2, 0, 0.2], expected 3 numbers above 0 on the scale 0..1",
        ),
        (TREE | PAIR | {"mean": 0.5}, "mean: found 0.5, expected a list in [ ]"),
        ({"source": "digits", **PAIR}, "mean: found [0.5, 0.5, 0.5], expected 1 numbers on the scale 0..1"),
        (TREE | {"resize": 32}, "resize: found 32, expected at least 64 pixels, which are cut out of the middle"),
        (TREE | {"resize": [32, 64]}, "resize: found (32, 64), expected at least 64 pixels"),
        (TREE | {"resize": [64]}, "resize: found [64], expected a number of pixels, or [height, width]"),
        (TREE | {"resize": 70.5}, "resize: found 70.5, expected an integer or a list in [ ]"),
        (TREE | {"crop": 60}, "crop: found 60, expected image_size, 64: networks see what is cut out"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused_by_their_key(entry, message):
    value = read("demo")
    value["datasets"]["own"] = entry
    with pytest.raises(InputError) as caught:
        resolved(value)
    assert f"datasets.own.{message}" in str(caught.value)
