import hashlib
import importlib
import io
import logging
import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from checkout import ROOT
from PIL import Image
from sacp.catalogue import sources
from sacp.errors import InputError
from sacp.images import cifar10, digits, parquet
from sacp.images.batches import Normalizer, ResidentBatches
from sacp.images.sources import prepare
from sacp.images.splits import ImageSet, channel_statistics, digest, load_splits, validation_size
from sacp.plan.preflight import training_images
from safetensors.torch import save_file
from torch import Tensor
from torchvision.datasets import CIFAR10

CIFAR = ROOT.parent / "shared/data/cifar10"
DIGITS = {"source": "digits"}
HUGGING_FACE = pa.schema(
    [("img", pa.struct([("bytes", pa.binary()), ("path", pa.string())])), ("label", pa.int64())],
)


def random_images(n: int, size: int = 32, channels: int = 3, seed: int = 0) -> ImageSet:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (n, channels, size, size), dtype=np.uint8)
    return ImageSet(torch.from_numpy(images), torch.from_numpy(rng.integers(0, 10, n)))


def same(a: ImageSet, b: ImageSet) -> bool:
    return torch.equal(a.images, b.images) and torch.equal(a.labels, b.labels)


def prepared(folder: Path, train: ImageSet, test: ImageSet) -> Path:
    """The file that the workflow prepares from a data set."""
    tensors = {
        "train_images": train.images, "train_labels": train.labels,
        "test_images": test.images, "test_labels": test.labels,
    }  # fmt: skip
    save_file(tensors, folder / "data.safetensors", metadata={"digest": digest(train, test)})
    return folder / "data.safetensors"


def test_digits_are_split_in_five_once_and_for_all():
    (train, test), (again, test_again) = digits.read(DIGITS), digits.read(DIGITS)
    assert (train.images.shape, test.images.shape) == ((1438, 1, 8, 8), (359, 1, 8, 8))
    assert same(train, again)
    assert same(test, test_again)
    assert (train.images.dtype, train.labels.dtype, int(train.images.max())) == (torch.uint8, torch.int64, 255)
    assert torch.bincount(torch.cat([train.labels, test.labels])).tolist() == [
        178, 182, 177, 183, 181, 182, 181, 179, 174, 180,
    ]  # fmt: skip


def test_digest_follows_every_pixel_and_label():
    train, test = random_images(5), random_images(3, seed=1)
    before = digest(train, test)
    assert before == digest(random_images(5), random_images(3, seed=1))
    for part in (train.images, train.labels, test.images, test.labels):
        part.view(-1)[0] += 1
        assert digest(train, test) != before
        part.view(-1)[0] -= 1


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Fifty images whose pixels are their numbers."""
    images = torch.arange(50, dtype=torch.uint8)[:, None, None, None].expand(50, 1, 2, 2).contiguous()
    return prepared(tmp_path, ImageSet(images, torch.arange(50) % 10), random_images(4, 2, 1))


def numbers(part: ImageSet) -> list[int]:
    return part.images[:, 0, 0, 0].tolist()


@pytest.mark.parametrize(("validation", "held_out"), [(10, 10), (0.3, 15), (1, 1), (49, 49)])
def test_validation_part_is_held_out_of_the_training_images(file, validation, held_out):
    splits = load_splits(file, validation, seed=0)
    assert len(splits.validation.labels) == held_out
    assert sorted(numbers(splits.train) + numbers(splits.validation)) == list(range(50))
    assert all(n % 10 == label for n, label in zip(numbers(splits.train), splits.train.labels.tolist(), strict=True))
    assert same(splits.test, random_images(4, 2, 1))


def test_the_seed_decides_which_images_are_held_out(file):
    first, again, other = (numbers(load_splits(file, 10, seed).validation) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_statistics_are_those_of_the_training_part(file):
    splits = load_splits(file, 10, seed=0)
    assert float(splits.mean) == pytest.approx(np.mean(numbers(splits.train)) / 255)
    assert float(splits.std) == pytest.approx(np.std(numbers(splits.train)) / 255)


@pytest.mark.parametrize("validation", [50, 0.001, 0.999, 1000])
def test_a_validation_part_that_is_empty_or_everything_is_refused(file, validation):
    with pytest.raises(InputError, match=rf"validation: {validation} holds out \d+ of 50 training images"):
        load_splits(file, validation, seed=0)


@pytest.mark.parametrize(
    ("images", "held_out"), [(2, 1), (9, 1), (240, 24), (49_000, 4900), (50_000, 5000), (1_281_167, 5000)]
)
def test_5000_are_held_out_or_a_tenth_where_that_is_less_if_nothing_is_said(images, held_out):
    assert validation_size(images, None) == held_out


def test_how_many_are_held_out_is_in_the_log(file, caplog):
    with caplog.at_level(logging.INFO):
        assert len(load_splits(file, None, seed=0).validation.labels) == 5
    assert "5 of 50 training images are held out for validation, 4 are for the test" in caplog.text


@pytest.mark.parametrize("damage", ["missing", "truncated", "foreign"])
def test_a_file_that_is_no_prepared_data_set_is_refused(file, damage):
    if damage == "missing":
        file.unlink()
    elif damage == "truncated":
        file.write_bytes(file.read_bytes()[:300])
    else:
        save_file({"x": torch.zeros(1)}, file)
    with pytest.raises(InputError, match=r"data\.safetensors: not a prepared data set"):
        load_splits(file, 10, seed=0)


def test_channel_statistics_equal_those_of_torch():
    images = random_images(40, size=8).images // torch.tensor([1, 2, 5], dtype=torch.uint8).view(1, 3, 1, 1)
    mean, std = channel_statistics(images)
    scaled = images.double() / 255
    assert torch.allclose(mean.double(), scaled.mean(dim=(0, 2, 3)), atol=1e-6)
    assert torch.allclose(std.double(), scaled.std(dim=(0, 2, 3), correction=0), atol=1e-6)


def test_normalised_images_have_mean_zero_and_deviation_one():
    images = random_images(40, size=8).images
    normalised = Normalizer(*channel_statistics(images), torch.device("cpu"))(images)
    assert normalised.mean(dim=(0, 2, 3)).abs().max() < 1e-5
    assert (normalised.std(dim=(0, 2, 3), correction=0) - 1).abs().max() < 1e-5
    assert normalised.dtype == torch.float32


PLAIN = Normalizer(torch.zeros(1), torch.full((1,), 1 / 255), torch.device("cpu"))  # leaves the pixels as they are


def epoch(batches: ResidentBatches, seed: int, number: int) -> tuple[Tensor, Tensor]:
    parts = list(batches.epoch(seed, number))
    return torch.cat([part.images for part in parts]), torch.cat([part.labels for part in parts])


@pytest.mark.parametrize(("padding", "flip"), [(0, False), (2, True)])
@pytest.mark.parametrize("batch_size", [2, 7, 10, 64])
def test_an_epoch_sees_each_sample_once(batch_size, padding, flip):
    images = random_images(30, size=4).images
    batches = ResidentBatches(ImageSet(images, torch.arange(30)), PLAIN, batch_size, padding, flip)
    sizes = [len(part.labels) for part in batches.epoch(0, 0)]
    assert len(sizes) == len(batches)
    assert set(sizes[:-1]) <= {batch_size}
    assert sorted(epoch(batches, 0, 0)[1].tolist()) == list(range(30))


def test_without_padding_and_flip_images_are_left_as_they_are():
    images = random_images(30, size=4).images
    shown, labels = epoch(ResidentBatches(ImageSet(images, torch.arange(30)), PLAIN, 8, 0, False), 3, 1)
    assert torch.allclose(shown, images[labels].float())
    assert labels.tolist() != list(range(30))  # but in another order


def variants(image: Tensor, padding: int, flip: bool) -> dict[tuple[int, int, bool], Tensor]:
    """Every crop of one image, pixel by pixel: pad with zeros, crop, mirror."""
    channels, height, width = image.shape
    found = {}
    for top in range(2 * padding + 1):
        for left in range(2 * padding + 1):
            crop = torch.zeros(channels, height, width)
            for y in range(height):
                for x in range(width):
                    row, column = y + top - padding, x + left - padding
                    if 0 <= row < height and 0 <= column < width:
                        crop[:, y, x] = image[:, row, column].float()
            found[top, left, False] = crop
            if flip:
                found[top, left, True] = crop.flip(2)
    return found


@pytest.mark.parametrize("flip", [True, False])
@pytest.mark.parametrize("padding", [0, 1, 2])
def test_crops_and_flips_are_those_of_a_slow_reference_and_all_occur(padding, flip):
    data_set = ImageSet(random_images(6, size=5).images, torch.arange(6))
    batches, seen = ResidentBatches(data_set, PLAIN, 4, padding, flip), []
    references = [variants(image, padding, flip) for image in data_set.images]
    for number in range(60):
        for image, label in zip(*epoch(batches, 0, number), strict=True):
            matches = [name for name, crop in references[label].items() if torch.allclose(image, crop, atol=1e-3)]
            assert len(matches) == 1
            seen += matches
    assert set(seen) == set(references[0])
    assert sum(flipped for *_, flipped in seen) == pytest.approx(180 if flip else 0, abs=40)


def test_an_epoch_is_a_function_of_seed_and_number_alone():
    data_set = random_images(30, size=4)
    first = ResidentBatches(data_set, PLAIN, 8, 2, True)
    expected = epoch(first, 5, 3)
    list(first.epoch(5, 0))
    torch.manual_seed(99)
    for again in (epoch(first, 5, 3), epoch(ResidentBatches(data_set, PLAIN, 11, 2, True), 5, 3)):
        assert all(torch.equal(a, b) for a, b in zip(expected, again, strict=True))
    for other in (epoch(first, 5, 4), epoch(first, 6, 3)):
        assert not torch.equal(expected[0], other[0])


def png(image: Tensor) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image.permute(1, 2, 0).numpy()).save(buffer, "PNG")
    return buffer.getvalue()


def write_parquet(path: Path, part: ImageSet, **columns) -> None:
    rows = [{"bytes": png(image), "path": f"{number}.png"} for number, image in enumerate(part.images)]
    table = {"img": rows, "label": part.labels.tolist()} | columns
    pq.write_table(pa.table(table, schema=HUGGING_FACE), path)


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    """CIFAR-10 as parquet, with a few images."""
    write_parquet(tmp_path / "train.parquet", random_images(30))
    write_parquet(tmp_path / "test.parquet", random_images(5, seed=1))
    return tmp_path


def of_tables(folder: Path) -> dict[str, str | int]:
    return {"source": "parquet", "path": str(folder), "classes": 10}


def test_parquet_gives_back_the_images_that_were_written(tables):
    train, test = parquet.read(of_tables(tables))
    assert same(train, random_images(30))
    assert same(test, random_images(5, seed=1))
    assert parquet.count(of_tables(tables)) == (30, 5)
    parquet.check(of_tables(tables))


@pytest.mark.parametrize("length", [0, 10, 2000, -1])
@pytest.mark.parametrize("reader", [parquet.read, parquet.check, parquet.count])
def test_a_truncated_parquet_is_refused(tables, length, reader):
    content = (tables / "test.parquet").read_bytes()
    (tables / "test.parquet").write_bytes(content[:length])
    with pytest.raises(InputError, match=r"test\.parquet: truncated or not a parquet file"):
        reader(of_tables(tables))


@pytest.mark.parametrize("reader", [parquet.read, parquet.check, parquet.count])
def test_a_parquet_that_is_missing_or_lacks_a_column_is_refused(tables, reader):
    pq.write_table(pa.table({"img": [1], "fine_label": [2]}), tables / "test.parquet")
    with pytest.raises(InputError, match=r"test\.parquet: column 'label' is missing"):
        reader(of_tables(tables))
    (tables / "test.parquet").unlink()
    with pytest.raises(InputError, match=r"test\.parquet: no such file, nor shards"):
        reader(of_tables(tables))


def test_a_parquet_that_is_damaged_in_the_middle_is_refused(tables):
    content = bytearray((tables / "test.parquet").read_bytes())
    content[4:4000] = bytes(3996)
    (tables / "test.parquet").write_bytes(content)
    with pytest.raises(InputError, match=r"test\.parquet: cannot be decoded"):
        parquet.read(of_tables(tables))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """CIFAR-10 in torchvision's layout, with three images in each file and the checksums to match."""
    root = tmp_path / CIFAR10.base_folder
    root.mkdir()

    def written(name: str, content: dict) -> str:
        (root / name).write_bytes(pickle.dumps(content))
        return hashlib.md5((root / name).read_bytes()).hexdigest()

    for attribute, start in (("train_list", 0), ("test_list", 100)):
        checksums = []
        for number, (name, _) in enumerate(getattr(CIFAR10, attribute), start):
            part = random_images(3, seed=number)
            content = {"data": part.images.reshape(3, -1).numpy(), "labels": part.labels.tolist()}
            checksums.append([name, written(name, content)])
        monkeypatch.setattr(CIFAR10, attribute, checksums)
    meta = dict(CIFAR10.meta)
    meta["md5"] = written(meta["filename"], {meta["key"]: list("abcdefghij")})
    monkeypatch.setattr(CIFAR10, "meta", meta)
    return tmp_path


def of_folder(folder: Path) -> dict[str, str]:
    return {"source": "folder", "path": str(folder)}


@pytest.mark.parametrize("source", ["folder", "torchvision"])  # what is there already is not downloaded
def test_torchvision_layout_is_read_in_the_order_of_its_files(folder, source):
    train, test = cifar10.read(of_folder(folder) | {"source": source})
    parts = [random_images(3, seed=number) for number in range(5)]
    assert torch.equal(train.images, torch.cat([part.images for part in parts]))
    assert torch.equal(train.labels, torch.cat([part.labels for part in parts]))
    assert same(test, random_images(3, seed=100))
    cifar10.check(of_folder(folder))


@pytest.mark.parametrize("name", ["data_batch_3", "test_batch", "batches.meta"])
def test_a_file_with_a_wrong_checksum_is_refused_unread(folder, name):
    class Malice:
        def __reduce__(self):
            return Path.mkdir, (folder / "executed",)

    (folder / CIFAR10.base_folder / name).write_bytes(pickle.dumps(Malice()))
    with pytest.raises(InputError, match="CIFAR-10 cannot be read"):
        cifar10.read(of_folder(folder))
    assert not (folder / "executed").exists()


def test_an_absent_folder_is_refused(tmp_path):
    for reader in (cifar10.read, cifar10.check):
        with pytest.raises(InputError, match="no folder 'cifar-10-batches-py' here"):
            reader(of_folder(tmp_path))


def test_a_folder_that_is_to_be_downloaded_need_not_be_there(tmp_path):
    cifar10.check({"source": "torchvision", "path": str(tmp_path)})


@pytest.mark.skipif(not CIFAR.is_dir(), reason="shared/data/cifar10 is not there")
def test_the_real_cifar10_has_its_sizes_and_classes():
    train, test = parquet.read(of_tables(CIFAR))
    assert parquet.count(of_tables(CIFAR)) == cifar10.count({}) == (50_000, 10_000)
    assert (train.images.shape, test.images.shape) == ((50_000, 3, 32, 32), (10_000, 3, 32, 32))
    assert torch.bincount(train.labels).tolist() == [5000] * 10
    assert torch.bincount(test.labels).tolist() == [1000] * 10
    mean, std = channel_statistics(train.images)
    assert mean.tolist() == pytest.approx([0.4914, 0.4822, 0.4465], abs=0.002)
    assert std.tolist() == pytest.approx([0.247, 0.2435, 0.2616], abs=0.003)


PREPARED = DIGITS | {"reader": "sacp.images.digits:read", "channels": 1, "image_size": 8, "classes": 10}


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        (
            "image_size",
            16,
            r"digits:read: training images of the shape \[1, 8, 8\], expected \[1, 16, 16\]",
        ),
        ("channels", 3, r"training images of the shape \[1, 8, 8\], expected \[3, 8, 8\]"),
        ("classes", 9, "training labels from 0 to 9, expected 0 to 8"),
    ],
)
def test_images_and_labels_of_another_form_than_the_networks_are_refused(key, value, message):
    with pytest.raises(InputError, match=message):
        prepare(PREPARED | {key: value})


def test_a_part_of_the_training_images_is_drawn_once_and_the_test_images_stay():
    given = PREPARED
    whole, part = (prepare(given | more)[0] for more in ({}, {"training_images": 200}))
    assert part["train_images"].shape == (200, 1, 8, 8)
    assert torch.equal(part["test_images"], whole["test_images"])
    rows = {row.numpy().tobytes() for row in whole["train_images"]}
    assert {row.numpy().tobytes() for row in part["train_images"]} <= rows
    assert len(part["train_labels"].unique()) == 10  # a random part, no slice of sorted ones
    assert training_images(DIGITS | {"training_images": 200}) == 200
    with pytest.raises(InputError, match="training_images: found 2000, but the data have 1438"):
        training_images(DIGITS | {"training_images": 2000})


def test_what_is_prepared_is_what_was_read_with_its_digest():
    tensors, metadata = prepare(PREPARED)
    train, test = digits.read(DIGITS)
    assert same(ImageSet(tensors["train_images"], tensors["train_labels"]), train)
    assert same(ImageSet(tensors["test_images"], tensors["test_labels"]), test)
    assert metadata == {"digest": digest(train, test)}


@pytest.mark.parametrize("name", sources.SOURCES)
def test_every_source_has_a_module_that_reads_checks_and_counts(name):
    module = importlib.import_module(sources.SOURCES[name].module)
    assert all(callable(getattr(module, function)) for function in ("read", "check", "count"))


def test_splits_of_digits_have_the_shape_that_networks_are_built_for(tmp_path):
    train, test = digits.read(DIGITS)
    splits = load_splits(prepared(tmp_path, train, test), 0.15, seed=0)
    channels, size, classes = sources.shape(DIGITS)
    assert splits.train.images.shape == (1222, channels, size, size)
    assert len(splits.validation.labels) == 216
    assert int(splits.train.labels.max()) + 1 == classes
    assert splits.digest == digest(train, test)
    assert digits.count(DIGITS) == (len(train.labels), len(test.labels))
    digits.check(DIGITS)
