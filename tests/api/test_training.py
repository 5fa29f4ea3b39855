"""A network in memory is trained on a folder of images: measured, the same each time, and after a stop too."""

import copy
import io
import os
import signal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sacp
import torch
from image_tree import CLASSES, SIZE, write_tree
from PIL import Image
from sacp.api.training import _key
from sacp.errors import InputError, Stopped
from sacp.training.recipe import Recipe
from torch import nn


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tree(tmp_path_factory.mktemp("images"), train=20, val=6)


def network() -> nn.Module:
    torch.manual_seed(0)
    body = [nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, bias=False)]
    return nn.Sequential(*body, nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3))


class Auxiliary(nn.Module):
    """Gives a second output in training, as torchvision's googlenet does."""

    def __init__(self) -> None:
        super().__init__()
        self.body = network()

    def forward(self, images: torch.Tensor) -> Any:
        found = self.body(images)
        return (found, found) if self.training else found


class Scaled(nn.Module):
    """Its logits are those of a network times a number."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.body, self.factor = network(), factor

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.body(images) * self.factor
        return found


def test_images_of_a_folder_have_the_classes_and_the_shape_that_a_network_is_given(tree: Path) -> None:
    found = sacp.data(tree, image_size=SIZE, validation=0.2)
    assert (found.classes, found.shape) == (len(CLASSES), (1, 3, SIZE, SIZE))
    assert [len(part.labels) for part in (found.splits.train, found.splits.validation, found.splits.test)] == [
        48,
        12,
        18,
    ]
    batches = found.batches(30)
    assert sum(map(len, batches)) == 30
    assert all(batch.shape[1:] == found.shape[1:] and batch.dtype == torch.float32 for batch in batches)


def test_mean_and_deviation_are_those_that_are_given(tree: Path) -> None:
    usual, other = sacp.data(tree, image_size=SIZE), sacp.data(tree, image_size=SIZE, mean=[0.5] * 3, std=[0.25] * 3)
    before, after = (torch.cat(each.batches(10)) for each in (usual, other))
    pixels = before * usual.splits.std.view(3, 1, 1) + usual.splits.mean.view(3, 1, 1)
    torch.testing.assert_close(after, (pixels - 0.5) / 0.25, atol=1e-5, rtol=1e-5)


def test_files_are_scaled_as_it_is_said_and_parquet_has_columns(tree: Path, tmp_path: Path) -> None:
    assert sacp.data(tree, image_size=SIZE).splits.preprocessing()["resize"] == round(SIZE * 256 / 224)
    found = sacp.data(tree, image_size=SIZE, resize=(SIZE, SIZE)).splits.preprocessing()
    assert (found["resize"], found["crop"]) == ((SIZE, SIZE), SIZE)
    write(tmp_path / "data/train-00000-of-00001.parquet")
    write(tmp_path / "data/test-00000-of-00001.parquet")
    assert sacp.data(tmp_path, label="fine_label").shape == (1, 3, 8, 8)
    with pytest.raises(InputError, match="column 'label' is missing"):
        sacp.data(tmp_path)
    with pytest.raises(InputError, match="whose images are not scaled; expected none"):
        sacp.data(tmp_path, label="fine_label", resize=9)


def write(path: Path) -> None:
    """Ten images of 8 x 8 pixels in two classes."""
    path.parent.mkdir(exist_ok=True)
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (10, 20, 30)).save(buffer, "PNG")
    pq.write_table(pa.table({"img": [buffer.getvalue()] * 10, "fine_label": [0, 1] * 5}), path)


def test_a_pruned_network_is_calibrated_trained_and_measured(tree: Path) -> None:
    found, whole = sacp.data(tree, image_size=SIZE), network()
    smaller = sacp.prune(whole, found.shape, flops=0.5, calibrate=found.batches())
    before = copy.deepcopy(smaller.state_dict())
    metrics = sacp.train(smaller, found, epochs=2, lr=0.05, batch_size=16, device="cpu")
    assert not torch.equal(before["0.weight"], smaller.state_dict()["0.weight"])
    assert 0 <= metrics["test_accuracy_percent"] <= 100
    assert metrics["flops"] <= sacp.compare(whole, smaller, found.shape).flops[0] / 2
    again = sacp.prune(network(), found.shape, flops=0.5, calibrate=found.batches())
    assert sacp.train(again, found, epochs=2, lr=0.05, batch_size=16, device="cpu") == metrics
    assert all(
        torch.equal(a, b) for a, b in zip(smaller.state_dict().values(), again.state_dict().values(), strict=True)
    )


def test_a_training_that_was_stopped_goes_on_and_ends_in_the_same_bits(tree: Path, tmp_path: Path) -> None:
    found, given = sacp.data(tree, image_size=SIZE), {"epochs": 3, "batch_size": 16, "device": "cpu"}
    through, stopped, resumed = network(), network(), network()
    sacp.train(through, found, **given)
    calls, state = list[int](), tmp_path / "state.pt"

    def stop(*_: Any) -> None:
        calls.append(len(calls))
        if len(calls) == 7:
            os.kill(os.getpid(), signal.SIGTERM)

    handle = stopped[0].register_forward_hook(stop)
    with pytest.raises(Stopped):
        sacp.train(stopped, found, state=state, **given)
    handle.remove()
    assert state.is_file()
    sacp.train(resumed, found, state=state, **given)
    assert not state.exists()
    pairs = zip(through.state_dict().values(), resumed.state_dict().values(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


def test_a_teacher_is_asked_with_the_weight_and_the_temperature_that_are_given(tree: Path) -> None:
    found, given = sacp.data(tree, image_size=SIZE), {"epochs": 2, "batch_size": 16, "device": "cpu"}
    teacher = network().requires_grad_(False)
    before = copy.deepcopy(teacher.state_dict())
    ways = [{}, {"teacher": teacher}, {"teacher": teacher, "distill_weight": 0.9, "distill_temperature": 4}]
    ways += [{"teacher": teacher, "distill_weight": 0.5}, {"teacher": teacher, "distill_temperature": 2}]
    trained = []
    for way in ways:
        trained.append(network())
        sacp.train(trained[-1], found, **given, **way)
    weights = [each[0].weight for each in trained]
    assert torch.equal(weights[1], weights[2])
    assert not any(torch.equal(weights[1], weights[other]) for other in (0, 3, 4))
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())


def test_a_state_belongs_to_its_teacher(tree: Path) -> None:
    found = sacp.data(tree, image_size=SIZE)
    recipe, teachers = Recipe(1, 0.01, 16, 0.9, 0, False, 4, True, distill_weight=0.9), [network(), network()]
    with torch.no_grad():
        teachers[1][0].weight[0, 0, 0, 0] += 1
    keys = [_key([network(), teacher], found, recipe, 0, "float32") for teacher in (*teachers, network())]
    assert keys[0] == keys[2] != keys[1]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"network": None}, "network: found a NoneType, expected a torch.nn.Module with parameters"),
        ({"network": nn.ReLU()}, "network: found a ReLU, expected a torch.nn.Module with parameters"),
        ({"network": nn.Sequential(nn.Flatten(), nn.Linear(3 * SIZE**2, 5))}, "network in evaluation gives a ten"),
        ({"network": nn.Linear(7, 3)}, "network in evaluation fails on images of shape [2, 3, 16, 16] (RuntimeError"),
        ({"data": "folder"}, "data: found a str, expected what sacp.data returns"),
        ({"epochs": 0}, "epochs: found 0, expected an integer from 1"),
        ({"batch_size": 1.5}, "batch_size: found 1.5, expected an integer from 2"),
        ({"lr": 0}, "lr: found 0, expected a number above 0"),
        ({"lr": float("nan")}, "lr: found nan, expected a number above 0"),
        ({"lr": 11}, "lr: found 11, expected a number above 0 and up to 10"),
        ({"weight_decay": -1}, "weight_decay: found -1, expected a number from 0 to 1"),
        ({"label_smoothing": 1.0}, "label_smoothing: found 1.0, expected a number from 0 and below 1"),
        ({"warmup_epochs": 1}, "warmup_epochs: found 1, expected less than the 1 epochs"),
        ({"state": 3}, "state: found 3, expected the path of a file"),
        ({"state": "tests"}, "state: 'tests' is a folder; expected the path of a file"),
        ({"network": network().requires_grad_(False)}, "network: found all of its parameters frozen; expected some"),
        ({"network": network().double()}, "network: found parameters in torch.float64, expected torch.float32"),
        ({"network": Auxiliary()}, "network in training gives a tuple of 2 for images of shape [2, 3, 16, 16], ex"),
        ({"device": "gpu"}, "device: found 'gpu', expected auto, cpu, cuda"),
        ({"precision": 16}, "precision: found 16, expected float32, bfloat16, auto"),
        ({"network": Scaled(float("inf"))}, "network in evaluation gives NaN or infinite values for random images"),
        ({"network": Scaled(1e38)}, "training: the loss is nan in epoch 1; lower lr"),
        ({"distill_weight": 0.5}, "distill_weight: found 0.5 without a teacher; expected teacher=NETWORK"),
        ({"distill_temperature": 2}, "distill_temperature: found 2 without a teacher; expected teacher=NETWORK"),
        ({"teacher": network(), "distill_weight": 0}, "distill_weight: found 0, expected a number above 0 and up to 1"),
        ({"teacher": network(), "distill_temperature": 0}, "distill_temperature: found 0, expected a number from 0.1"),
        ({"teacher": "base"}, "teacher: found a str, expected a torch.nn.Module with parameters"),
        ({"teacher": network().double()}, "teacher: found parameters in torch.float64, expected torch.float32: teach"),
        ({"teacher": nn.Sequential(nn.Flatten(), nn.Linear(3 * SIZE**2, 5))}, "teacher in evaluation gives a ten"),
        ({"teacher": nn.Linear(7, 3)}, "teacher in evaluation fails on images of shape [2, 3, 16, 16] (RuntimeError"),
        ({"teacher": Scaled(float("inf"))}, "teacher in evaluation gives NaN or infinite values for random images"),
    ],
)  # fmt: skip
def test_what_cannot_be_trained_is_refused(tree: Path, given: dict[str, Any], message: str) -> None:
    whole = {"network": network(), "data": sacp.data(tree, image_size=SIZE), "epochs": 1, "batch_size": 16} | given
    with pytest.raises(InputError) as caught:
        sacp.train(whole.pop("network"), whole.pop("data"), **whole)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_state_stays_as_it_is(tree: Path, tmp_path: Path) -> None:
    weights = tmp_path / "weights.pt"
    torch.save(network().state_dict(), weights)
    before = weights.read_bytes()
    with pytest.raises(InputError, match=r"^state: .*weights.pt: not a checkpoint of this kind; .* a new file"):
        sacp.train(network(), sacp.data(tree, image_size=SIZE), epochs=1, batch_size=16, state=weights)
    assert weights.read_bytes() == before


def test_modules_are_in_their_own_modes_after_a_training(tree: Path) -> None:
    trained = network().train()
    trained[1].eval()
    sacp.train(trained, sacp.data(tree, image_size=SIZE), epochs=1, batch_size=16, device="cpu")
    assert [module.training for module in trained] == [number != 1 for number in range(len(trained))]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"path": "nowhere"}, "nowhere: found no images as they are read; expected a folder with train and val, or tr"),
        ({"mean": [0.5]}, "mean: found [0.5], expected 3 numbers on the scale 0..1, one for each channel"),
        ({"mean": "grey"}, "mean: found 'grey', expected 3 numbers"),
        ({"std": [0.5, 0.5, 0]}, "std: found [0.5, 0.5, 0], expected 3 numbers above 0"),
        ({"mean": [123.7, 116.3, 103.5]}, "mean: found [123.7, 116.3, 103.5], expected 3 numbers on the scale 0..1"),
        ({"std": [58.4, 57.1, 57.4]}, "std: found [58.4, 57.1, 57.4], expected 3 numbers above 0 on the scale 0..1"),
        ({"validation": 1.0}, "validation: found 1.0, expected a share below 1, or a number of images"),
        ({"validation": 2.5}, "validation: found 2.5, expected a share below 1, or a number of images"),
        ({"path": None}, "path: found None, expected the path of a folder"),
        ({"validation": 1000}, "validation: 1000 holds out 1000 of 60 training images"),
        ({"resize": SIZE - 1}, f"resize: found {SIZE - 1}, expected at least {SIZE} pixels, which are cut out of the"),
        ({"resize": "large"}, "resize: found 'large', expected a number of pixels, or (height, width)"),
        ({"label": "fine_label"}, "label: "),
        ({"image_size": 0}, "image_size: found 0, expected an integer from 1"),
        ({"seed": "a"}, "seed: found 'a', expected an integer from 0"),
    ],
)
def test_images_that_cannot_be_had_are_refused(tree: Path, given: dict[str, Any], message: str) -> None:
    whole = {"path": tree, "image_size": SIZE} | given
    with pytest.raises(InputError) as caught:
        sacp.data(whole.pop("path"), **whole)
    assert str(caught.value).startswith(message)


def test_a_single_class_is_refused(tmp_path: Path) -> None:
    for part in ("train", "val"):
        (tmp_path / part / "cats").mkdir(parents=True)
    with pytest.raises(InputError, match=r"train: found one class folder, 'cats'; expected two at least$"):
        sacp.data(tmp_path)


@pytest.mark.parametrize("images", [0, -1, 2.5, None])
def test_a_number_of_images_to_draw_is_one_at_least(tree: Path, images: Any) -> None:
    with pytest.raises(InputError, match=r"^images: found .*, expected an integer from 1$"):
        sacp.data(tree, image_size=SIZE).batches(images)
