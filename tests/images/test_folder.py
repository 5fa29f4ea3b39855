"""Trees of image files: their index, and the batches that worker processes decode from them."""

import logging
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from checkout import ROOT, Checkout
from configs import DEMO, read, resolved
from image_tree import CLASSES, RESIZE, SIZE, dataset, write_image, write_tree
from networks_zoo import thop_count
from PIL import Image
from sacp.artefacts import lookup
from sacp.artefacts.tensors import load_torch
from sacp.catalogue import sources
from sacp.compute.parallel import Team
from sacp.errors import InputError
from sacp.images import batches, folder
from sacp.images.batches import FileBatches, Normalizer, cut, evaluation_batches
from sacp.images.decoding import Watch, central_view, random_view
from sacp.images.folder import FileSet, scan
from sacp.images.sources import prepare
from sacp.images.splits import Splits, load_splits
from sacp.network.architectures import build
from sacp.network.cost import cost_of_graph
from sacp.network.spec import NetworkSpec
from sacp.plan import preflight
from sacp.plan.preflight import training_images
from sacp.seeds import derive
from sacp.tracing.trace import trace
from sacp.training.evaluation import accuracy_percent
from sacp.training.loop import batches_of, train
from sacp.training.recipe import Recipe
from safetensors.torch import save_file
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2.functional import pil_to_tensor

PLAIN = Normalizer(torch.zeros(3), torch.full((3,), 1 / 255), torch.device("cpu"))  # leaves the pixels as they are
RECIPE = Recipe(
    epochs=2, lr=0.05, batch_size=8, momentum=0.9, weight_decay=5e-4, nesterov=True, crop_padding=4, flip=True
)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return write_tree(tmp_path / "tree")


@pytest.fixture
def files(tree: Path) -> FileSet:
    return scan(tree, 3, SIZE, RESIZE)[0]


def with_reader(root: Path) -> dict:
    """The entry of a tree in a config, as the job that prepares it has it."""
    return dataset(root) | {"reader": "sacp.images.folder:read"}


def prepared(root: Path) -> Path:
    """The file that the workflow prepares from a tree."""
    tensors, metadata = prepare(with_reader(root))
    save_file(tensors, root / "index.safetensors", metadata=metadata)
    return root / "index.safetensors"


def listed(files: FileSet) -> list[str]:
    return [files.path(row).as_posix() for row in range(len(files.labels))]


def shown(source: FileBatches, seed: int, epoch: int, first: int = 0) -> tuple[Tensor, Tensor]:
    parts = list(source.epoch(seed, epoch, first))
    return torch.cat([part.images for part in parts]), torch.cat([part.labels for part in parts])


def decoded(files: FileSet, row: int) -> Image.Image:
    return Image.open(files.path(row)).convert("RGB")


def test_files_are_listed_by_class_and_name_whatever_their_extension(tree):
    write_image(tree / "val/bee/z.PNG", 5)
    (tree / "val/bee/notes.txt").write_text("no image")
    train, val = folder.read({"source": "imagefolder", "path": str(tree), "classes": 3, "image_size": 224})
    assert listed(train) == [f"{tree}/train/{name}/{n}.jpeg" for name in CLASSES for n in range(7)]
    assert train.labels.tolist() == [0] * 7 + [1] * 7 + [2] * 7
    assert (len(val.labels), val.image_size) == (10, 224)
    assert str(val.path(6)) == f"{tree}/val/bee/z.PNG"


def test_the_index_gives_back_the_files_and_holds_a_validation_part_out(tree):
    splits = load_splits(prepared(tree), 5, seed=0)
    train, val = scan(tree, 3, SIZE, RESIZE)
    assert listed(splits.test) == listed(val)
    assert torch.equal(splits.test.labels, val.labels)
    assert (len(splits.validation.labels), splits.train.image_size) == (5, SIZE)
    assert sorted(listed(splits.train) + listed(splits.validation)) == sorted(listed(train))
    for part in (splits.train, splits.validation):
        assert [CLASSES[label] for label in part.labels] == [Path(path).parent.name for path in listed(part)]
    assert splits.mean.tolist() == pytest.approx([0.485, 0.456, 0.406])
    assert splits.std.tolist() == pytest.approx([0.229, 0.224, 0.225])
    assert splits.digest == folder.digest(train, val)
    with pytest.raises(InputError, match="validation: 21 holds out 21 of 21 training images"):
        load_splits(prepared(tree), 21, seed=0)


def test_the_index_holds_no_pixels(tmp_path):
    small, large = write_tree(tmp_path / "a", 1, 1), write_tree(tmp_path / "b", 1, 1)
    for path in large.rglob("*.jpeg"):
        path.write_bytes(path.read_bytes() + bytes(100_000))
    assert abs(prepared(large).stat().st_size - prepared(small).stat().st_size) < 100


def test_digest_follows_names_sizes_and_labels_but_not_contents(tree):
    train, val = scan(tree, 3, SIZE, RESIZE, headers=0)
    digest = folder.digest(train, val)
    assert digest == folder.digest(*scan(tree, 3, SIZE, RESIZE, headers=0))
    assert digest != folder.digest(replace(train, labels=train.labels.flip(0)), val)
    first = tree / "train/ant/0.jpeg"
    content = first.read_bytes()
    first.write_bytes(bytes(len(content)))
    assert digest == folder.digest(*scan(tree, 3, SIZE, RESIZE, headers=0))
    first.write_bytes(content + b" ")
    assert digest != folder.digest(*scan(tree, 3, SIZE, RESIZE, headers=0))
    first.write_bytes(content)
    first.rename(tree / "train/ant/00.jpeg")
    assert digest != folder.digest(*scan(tree, 3, SIZE, RESIZE, headers=0))


def without_images(folder: Path) -> None:
    for path in folder.glob("*.jpeg"):
        path.unlink()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda tree: (tree / "val").rename(tree / "test"), "tree: no folder 'val' here; expected train/ and val/"),
        (lambda tree: (tree / "val/cat").rename(tree / "val/dog"), "tree: class folder 'cat' is in train/ alone"),
        (lambda tree: (tree / "val/dog").mkdir(), "tree: class folder 'dog' is in val/ alone"),
        (lambda tree: without_images(tree / "val/bee"), "tree/val: class folder 'bee' has no image; expected files"),
        (lambda tree: [(tree / part / "d").mkdir() for part in ("train", "val")], "tree: 4 class folders, expected 3"),
        (lambda tree: [(tree / "train" / name).rename(tree / name) for name in CLASSES], "no class folders here"),
        (lambda tree: (tree / "val/bee/9.jpeg").symlink_to("nowhere"), "val/bee/9.jpeg: cannot be read (No such file"),
    ],
)  # fmt: skip
def test_a_tree_that_is_not_as_expected_is_refused_in_one_line(tree, change, expected):
    change(tree)
    with pytest.raises(InputError) as caught:
        prepare(with_reader(tree))
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_shown_is_what_torchvision_shows_with_the_seed_of_the_sample(files):
    images, labels = shown(FileBatches(files, PLAIN, 8, flip=True, workers=1), 3, 1)
    order, _ = batches.epoch_order(21, 3, 1)
    drawn = v2.Compose([v2.RandomResizedCrop(SIZE), v2.RandomHorizontalFlip()])
    for image, label, row in zip(images, labels, order.tolist(), strict=True):
        with torch.random.fork_rng():
            torch.manual_seed(derive(3, "view", 1, row))
            assert torch.allclose(image, pil_to_tensor(drawn(decoded(files, row))).float())
        assert label == files.labels[row]


def test_flips_mirror_half_of_the_images_and_change_nothing_else(files):
    mirrored = [0, 0]
    for row in range(21):
        image = decoded(files, row)
        with torch.random.fork_rng():
            plain, other = (random_view(SIZE, flip, 0, 0)(image, row) for flip in (False, True))
        plain, other = pil_to_tensor(plain), pil_to_tensor(other)
        flipped = not torch.equal(plain, other)
        assert torch.equal(plain.flip(2) if flipped else plain, other)
        mirrored[flipped] += 1
    assert min(mirrored) > 4


@pytest.mark.parametrize("workers", [2, 3, 5])
def test_the_number_of_workers_changes_no_bit(files, workers):
    one, several = (shown(FileBatches(files, PLAIN, 4, True, workers=number), 0, 0) for number in (1, workers))
    assert torch.equal(one[0], several[0])
    assert torch.equal(one[1], several[1])


def test_an_epoch_is_a_function_of_seed_and_number_alone(files):
    source, state = FileBatches(files, PLAIN, 7, True, workers=1), torch.get_rng_state()
    expected = shown(source, 5, 3)
    list(source.epoch(5, 0))
    assert torch.equal(torch.get_rng_state(), state)  # nothing is drawn from the global generator
    torch.manual_seed(99)
    for again in (shown(source, 5, 3), shown(FileBatches(files, PLAIN, 11, True, workers=2), 5, 3)):
        assert all(torch.equal(a, b) for a, b in zip(expected, again, strict=True))
    for other in (shown(source, 5, 4), shown(source, 6, 3)):
        assert not torch.equal(expected[0], other[0])
    assert sorted(expected[1].tolist()) == files.labels.tolist()


def test_views_of_a_sample_differ_between_epochs_and_seeds(files):
    image = decoded(files, 0)
    with torch.random.fork_rng():
        views = {
            pil_to_tensor(random_view(SIZE, True, seed, epoch)(image, 0)).numpy().tobytes()
            for seed in range(3)
            for epoch in range(3)
        }
    assert len(views) == 9


def test_an_epoch_goes_on_from_any_step(files):
    source = FileBatches(files, PLAIN, 8, True, workers=2)
    whole = list(source.epoch(0, 2))
    assert ([part.total for part in whole], len(source), source.images) == ([8, 8, 5], 3, 21)
    for first in range(4):
        rest = list(source.epoch(0, 2, first))
        assert len(rest) == 3 - first
        for a, b in zip(rest, whole[first:], strict=True):
            assert torch.equal(a.images, b.images)
            assert torch.equal(a.labels, b.labels)


@pytest.mark.parametrize("size", [2, 3])
def test_the_processes_of_a_team_share_every_batch(files, size):
    whole = list(FileBatches(files, PLAIN, 8, True, workers=1).epoch(0, 0))
    shares = [list(FileBatches(files, PLAIN, 8, True, Team(rank, size), 1).epoch(0, 0)) for rank in range(size)]
    assert len(shares[0]) == len(cut(21, 8, Team(0, size)))
    for step, parts in enumerate(zip(*shares, strict=True)):
        for rank, part in enumerate(parts):
            assert part.total == whole[step].total
            assert torch.equal(part.images, whole[step].images[rank::size])
            assert torch.equal(part.labels, whole[step].labels[rank::size])


def test_evaluation_shows_the_middle_of_every_image_in_order(files, monkeypatch):
    monkeypatch.setattr(batches, "FILES_EVALUATION_BATCH", 4)
    parts = list(evaluation_batches(files, PLAIN))
    assert [len(labels) for _, labels in parts] == [4] * 5 + [1]
    assert torch.cat([labels for _, labels in parts]).tolist() == files.labels.tolist()
    middle = v2.Compose([v2.Resize(RESIZE), v2.CenterCrop(16)])
    for row, image in enumerate(torch.cat([images for images, _ in parts])):
        assert torch.allclose(image, pil_to_tensor(middle(decoded(files, row))).float())
    mine = list(evaluation_batches(files, PLAIN, Team(1, 4)))
    assert torch.equal(torch.cat([images for images, _ in mine]), torch.cat([images for images, _ in parts])[1::4])
    assert list(evaluation_batches(files, PLAIN, Team(21, 22))) == []


def test_evaluation_at_224_pixels_resizes_the_shorter_side_to_256():
    wide = Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 500, 3), dtype=np.uint8))
    expected = v2.Compose([v2.Resize(256), v2.CenterCrop(224)])(wide)
    assert torch.equal(pil_to_tensor(central_view(224, 256)(wide, 0)), pil_to_tensor(expected))


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "1", "LA"])
def test_images_of_every_mode_are_shown_in_rgb(tree, mode):
    for name in CLASSES:
        write_image(tree / f"val/{name}/0.png", 1, mode)
    _, val = scan(tree, 3, SIZE, RESIZE)
    for images, _ in evaluation_batches(val, PLAIN):
        assert images.shape == (12, 3, SIZE, SIZE)


@pytest.mark.parametrize("content", [b"no image\n\nat all", None, b""])
def test_a_corrupt_file_ends_a_training_in_one_line_that_names_it(tree, content):
    splits = load_splits(prepared(tree), 3, seed=0)
    damaged = splits.train.path(9)
    damaged.write_bytes(damaged.read_bytes()[:200] if content is None else content)
    with pytest.raises(InputError) as caught:
        train(fresh(), splits, RECIPE, 0, "run")
    assert str(caught.value).startswith(f"{damaged}: cannot be read as an image (")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_gone_is_named(files):
    files.path(20).unlink()
    with pytest.raises(InputError, match=r"train/cat/6\.jpeg: cannot be read as an image"):
        list(evaluation_batches(files, PLAIN))


def test_waiting_is_told_once_and_only_where_it_matters(files, monkeypatch, caplog):
    shares = iter([0.05, 0.5, 0.6])
    monkeypatch.setattr(batches.Watch, "share", lambda watch: next(shares))
    source = FileBatches(files, PLAIN, 16, True, workers=1)
    with caplog.at_level(logging.WARNING):
        list(source.epoch(0, 0))
        assert not caplog.records
        list(source.epoch(0, 1))
        list(source.epoch(0, 2))
    [record] = caplog.records
    assert record.getMessage().startswith("50 % of the epoch was spent waiting for images; 1 worker processes")
    assert "threads" in record.getMessage()


def test_a_watch_measures_waiting_and_not_working():
    def slow():
        for number in range(3):
            time.sleep(0.1)
            yield torch.tensor(number)

    watch = Watch(torch.device("cpu"))
    for _ in watch.over(slow()):
        time.sleep(0.1)
    assert watch.share() == pytest.approx(0.5, abs=0.1)


def fresh() -> torch.nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build(NetworkSpec("resnet8", 0.5, 3, SIZE, 3))


@pytest.fixture
def splits(tree: Path) -> Splits:
    return load_splits(prepared(tree), 4, seed=0)


def test_a_training_on_files_runs_to_its_end_and_is_a_function_of_the_seed(splits):
    assert isinstance(batches_of(splits, RECIPE, torch.device("cpu")), FileBatches)
    networks = [fresh(), fresh()]
    recipe = replace(RECIPE, validate_every=2)
    histories = [train(network, splits, recipe, 1, "run") for network in networks]
    assert [row["epoch"] for row in histories[0]] == [1, 2]
    assert histories[0][1]["validation_accuracy_percent"] == accuracy_percent(networks[0], splits.validation, splits)
    for a, b in zip(networks[0].state_dict().values(), networks[1].state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_the_problem_of_a_tree_has_the_configs_size_and_classes(tree):
    unsized = {"source": "imagefolder", "path": str(tree), "classes": 1000}
    assert sources.shape(unsized) == (3, 224, 1000)
    assert sources.shape(dataset(tree)) == (3, SIZE, 3)
    assert folder.count(dataset(tree)) == (21, 9)
    assert training_images(unsized) == 21


def test_a_small_tree_is_looked_at_before_a_run_and_a_large_one_is_not(tree, monkeypatch):
    folder.check(dataset(tree))
    without_images(tree / "val/bee")
    with pytest.raises(InputError, match="class folder 'bee' has no image"):
        folder.check(dataset(tree))
    monkeypatch.setattr(folder, "SMALL", 26)
    folder.check(dataset(tree))
    assert folder.count(dataset(tree)) is None


@pytest.mark.parametrize(("validation", "is_refused"), [(None, False), (19, False), (20, True), (5000, True)])
def test_more_held_out_images_than_a_small_tree_has_are_refused_before_a_run(tree, validation, is_refused):
    value = read("demo")
    value["datasets"]["tree"] = dataset(tree)
    value["experiments"][DEMO] |= {"dataset": "tree", "validation": validation}
    with pytest.raises(InputError, match=rf"{DEMO}\.validation: {validation} ") if is_refused else nullcontext():
        preflight.check(resolved(value), "my.yaml", ROOT / "config/reported/table3.csv")


def test_a_run_can_be_planned_with_two_empty_folders_alone(tmp_path):
    for part in ("train", "val"):
        (tmp_path / part).mkdir()
    folder.check(dataset(tmp_path))
    assert training_images(dataset(tmp_path)) is None


def test_a_check_wants_the_folders_of_both_parts(tree):
    (tree / "val").rename(tree / "test")
    with pytest.raises(InputError, match="tree: no folder 'val' here; expected train/ and val/"):
        folder.check(dataset(tree))


def test_torchvisions_resnet18_is_traced_at_224_pixels_and_costs_what_thop_counts():
    spec = NetworkSpec("torchvision.models:resnet18", 1.0, 3, 224, 1000)
    network = build(spec)
    graph = trace(network, spec.input_shape)
    cost = cost_of_graph(graph)
    assert (cost.flops, cost.parameters) == (1_824_033_792, 11_689_512) == thop_count(network, spec.input_shape)
    assert [group.channels for group in graph.groups] == [64] * 3 + [128] * 3 + [256] * 3 + [512] * 3
    # Of each stage, the first group is the residual stream: it ties the stem or the projection to every second layer.
    assert sorted(len(group.layers) for group in graph.groups) == [1] * 8 + [3] * 4


@pytest.mark.workflow
def test_a_tree_and_a_pth_file_become_a_base(checkout: Checkout, tmp_path: Path) -> None:
    write_tree(checkout.path / "tree")
    torch.save(fresh().state_dict(), checkout.path / "trained.pth")
    config = {
        "datasets": {"tree": dataset(Path("tree"))},
        "experiments": {
            "net": {
                "dataset": "tree",
                "validation": 5,
                "network": {"name": "resnet8", "width": 0.5, "weights": "trained.pth"},
                "space": {"training_size": 100, "search_size": 1000, "threshold": 0.4},
                "refine": {"top_m": 20, "top_k": 3},
                "base": {"epochs": 0},
            }
        },
    }
    (checkout.path / "mine.yaml").write_text(yaml.safe_dump(config))
    run = checkout.snakemake("results/net/seed0/base.pt", "--configfile", "mine.yaml")
    assert run.status == 0, run.output
    assert run.jobs == ["prepare_data", "train_base"]
    base = checkout.path / "results/net/seed0/base.pt"
    state = load_torch(base, ("state", "network"))["state"]
    assert all(torch.equal(state[name], value) for name, value in fresh().state_dict().items())
    _, record = lookup.find(base)
    assert "trained.pth" in record["inputs"]
