"""Data sets in Hugging Face's layout of parquet files: their files, columns, classes, images, and what is refused."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from checkout import Checkout
from PIL import Image
from sacp.artefacts import lookup
from sacp.catalogue import sources
from sacp.errors import InputError
from sacp.images import parquet
from sacp.images.sources import prepare
from sacp.plan.preflight import training_images

SIZE, CLASSES = 12, 3
Rows = dict[str, list[Any]]


def encoded(seed: int, size: tuple[int, int] = (SIZE, SIZE), mode: str = "RGB", format: str = "PNG") -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, format)
    return buffer.getvalue()


def pixels(content: bytes) -> torch.Tensor:
    return torch.from_numpy(np.array(Image.open(io.BytesIO(content)).convert("RGB"))).permute(2, 0, 1)


def rows(number: int, first: int = 0) -> Rows:
    """Images in structs, and labels that come in turns."""
    images = [{"bytes": encoded(first + row), "path": f"{row}.png"} for row in range(number)]
    return {"image": images, "label": [row % CLASSES for row in range(number)]}


def write(path: Path, columns: Rows, names: dict[str, list[str]] | None = None) -> None:
    """A file with these columns, and class names in Hugging Face's metadata."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table(columns)
    if names:
        features = {column: {"names": each, "_type": "ClassLabel"} for column, each in names.items()}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(table, path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(tmp_path / "own/train.parquet", rows(9))
    write(tmp_path / "own/test.parquet", rows(6, 50))
    return tmp_path / "own"


def entry(root: Path, **more: Any) -> dict[str, Any]:
    return {"source": "parquet", "path": str(root), **more}


def refused(function: Callable[[dict[str, Any]], Any], dataset: dict[str, Any]) -> str:
    """The one line with which a data set is refused."""
    with pytest.raises(InputError) as caught:
        function(dataset)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_images_and_labels_are_read_in_their_order_with_size_and_classes(root):
    train, test = parquet.read(entry(root))
    assert torch.equal(train.images, torch.stack([pixels(encoded(row)) for row in range(9)]))
    assert train.labels.tolist() == [0, 1, 2] * 3
    assert torch.equal(test.images[5], pixels(encoded(55)))
    assert sources.shape(entry(root)) == (3, SIZE, CLASSES)
    assert (parquet.count(entry(root)), training_images(entry(root))) == ((9, 6), 9)
    parquet.check(entry(root))


def test_a_data_set_is_prepared_with_its_own_shape(root):
    channels, size, classes = sources.shape(entry(root))
    shape = {"channels": channels, "image_size": size, "classes": classes, "reader": "sacp.images.parquet:read"}
    tensors, _ = prepare(entry(root) | shape)
    assert tensors["train_images"].shape == (9, 3, SIZE, SIZE)


@pytest.mark.parametrize("folder", ["", "data"])
def test_shards_are_read_in_their_order(tmp_path, folder):
    for shard in range(3):
        write(tmp_path / folder / f"train-{shard:05}-of-00003.parquet", rows(3, 10 * shard))
    write(tmp_path / folder / "test-00000-of-00001.parquet", rows(3))
    train, _ = parquet.read(entry(tmp_path))
    expected = [encoded(10 * shard + row) for shard in range(3) for row in range(3)]
    assert torch.equal(train.images, torch.stack(list(map(pixels, expected))))
    files = sources.files(entry(tmp_path))
    assert [Path(path).name[:11] for path in files] == ["train-00000", "train-00001", "train-00002", "test-00000-"]


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_a_missing_shard_is_refused(tmp_path, missing):
    for shard in {0, 1, 2} - {missing}:
        write(tmp_path / f"train-{shard:05}-of-00003.parquet", rows(3))
    write(tmp_path / "test.parquet", rows(3))
    assert "one of 00003 shards, of which 2 are here; expected all" in refused(parquet.check, entry(tmp_path))


def test_a_split_in_two_layouts_is_refused(root):
    write(root / "data/train-00000-of-00001.parquet", rows(3))
    message = refused(parquet.check, entry(root))
    assert "train.parquet and data/train-00000-of-00001.parquet are both the split 'train'" in message


def test_another_split_is_named_by_the_config_and_by_the_refusal(root):
    (root / "test.parquet").rename(root / "validation.parquet")
    message = refused(parquet.check, entry(root))
    assert message.startswith(f"{root}/test.parquet: no such file, nor shards such as test-00000-of-00001.parquet")
    assert message.endswith("of other splits there are validation: name one by `test`")
    assert parquet.count(entry(root, test="validation")) == (9, 6)
    assert "`test` is 'train', the training images" in refused(parquet.check, entry(root, test="train"))


def test_a_folder_below_that_has_the_files_is_named(root):
    message = refused(parquet.check, entry(root.parent))
    assert message.endswith(f"; {root} has parquet files: give it as `path`")


def test_columns_have_the_usual_names_or_those_of_the_config(root):
    both = rows(9)
    write(root / "train.parquet", {"img": both["image"], "fine_label": both["label"], "coarse_label": [0, 1, 0] * 3})
    write(root / "test.parquet", {"img": both["image"], "fine_label": both["label"], "coarse_label": [0, 1, 0] * 3})
    assert sources.shape(entry(root, label="fine_label")) == (3, SIZE, 3)
    assert sources.shape(entry(root, label="coarse_label")) == (3, SIZE, 2)
    train, _ = parquet.read(entry(root, label="coarse_label", image="img"))
    assert train.labels.tolist() == [0, 1, 0] * 3
    message = refused(parquet.check, entry(root))
    assert "train.parquet: column 'label' is missing (did you mean 'fine_label'?); found ['img'," in message
    assert message.endswith("name another by `label`")
    write(root / "train.parquet", {"img": both["image"], **both})
    assert "has the columns 'img' and 'image'; name one of them by `image`" in refused(parquet.check, entry(root))


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary()])
def test_images_may_be_bytes_alone(root, kind):
    content = rows(9)
    content["image"] = pa.array([image["bytes"] for image in content["image"]], kind)
    write(root / "train.parquet", content)
    assert torch.equal(parquet.read(entry(root))[0].images[8], pixels(encoded(8)))


@pytest.mark.parametrize(("mode", "format"), [("L", "PNG"), ("P", "PNG"), ("RGBA", "PNG"), ("L", "JPEG")])
def test_images_of_every_mode_are_shown_in_rgb(root, mode, format):
    content = rows(9)
    content["image"][4]["bytes"] = encoded(4, mode=mode, format=format)
    write(root / "train.parquet", content)
    assert torch.equal(parquet.read(entry(root))[0].images[4], pixels(content["image"][4]["bytes"]))


def test_classes_are_those_of_the_metadata_and_the_configs_must_agree(root):
    write(root / "train.parquet", rows(9), {"label": list("abcde")})
    assert sources.shape(entry(root)) == sources.shape(entry(root, classes=5)) == (3, SIZE, 5)
    message = refused(parquet.check, entry(root, classes=3))
    assert message.endswith("train.parquet: column 'label' has 5 classes, but `classes` is 3")
    write(root / "train.parquet", rows(9), {"label": ["a", "b"]})
    assert "column 'label', row 2: found 2, expected a whole number from 0 to 1" in refused(parquet.check, entry(root))


@pytest.mark.parametrize("names", ["acb", "abd"])
def test_classes_that_are_named_in_another_way_by_a_part_are_refused(root, names):
    write(root / "train.parquet", rows(9), {"label": list("abc")})
    write(root / "test.parquet", rows(9), {"label": list(names)})
    for function in (parquet.check, parquet.read):
        assert f"{root}/test.parquet: has other class names, or in another" in refused(function, entry(root))


def test_labels_that_leave_classes_out_are_refused_unless_the_number_is_given(root):
    content = rows(9)
    content["label"] = [1, 2, 3] * 3
    write(root / "train.parquet", content)
    message = refused(parquet.check, entry(root))
    assert "has labels from 1 to 3, but no training image has 0; expected all from 0 on, or the number" in message
    assert sources.shape(entry(root, classes=4)) == (3, SIZE, 4)


def test_other_files_of_the_same_name_are_looked_at_anew(root):
    assert sources.shape(entry(root))[2] == 3
    content = rows(9)
    content["label"] = [0, 1, 2, 3, 3, 3, 3, 3, 3]
    write(root / "train.parquet", content)
    assert sources.shape(entry(root))[2] == 4


LABELS: dict[str, tuple[list[Any], str]] = {
    "shares": ([0, 1, 0.5], "row 2: found 0.5, expected a whole number from 0 to"),
    "lists": ([[0], [1], [2]], "row 0: found [0] (list<element: int64>), expected a whole number"),
    "texts": (["cat", "dog", "cat"], "row 0: found 'cat' (string), expected a whole number"),
    "numbers as text": (["0", "1", "2"], "row 0: found '0' (string), expected a whole number"),
    "truths": ([True, False, True], "row 0: found True (bool), expected a whole number"),
    "none": ([None, None, None], "row 0: found None (null), expected a whole number"),
    "one that is missing": ([0, None, 1], "row 1: found no label, expected a whole number"),
    "no number": ([0.0, float("nan"), 1.0], "row 1: found nan, expected a whole number from 0 to"),
    "infinite": ([0.0, 1.0, float("inf")], "row 2: found inf, expected a whole number from 0 to"),
    "no label": ([0, 1, -1], "row 2: found -1, which marks images without a label, expected a whole number from 0"),
    "too large": ([0, 1, 10**12], "row 2: found 1000000000000, expected a whole number from 0 to 999999"),
}
PARTS = pytest.mark.parametrize("part", ["train", "test"])


@PARTS
@pytest.mark.parametrize("kind", LABELS)
def test_labels_that_are_no_classes_are_refused_before_a_run(root, part, kind):
    labels, expected = LABELS[kind]
    write(root / f"{part}.parquet", {"image": rows(3)["image"], "label": labels})
    if part == "test":
        expected = expected.replace("999999", "2")
    for function in (parquet.check, parquet.read):
        assert f"{root}/{part}.parquet: column 'label', {expected}" in refused(function, entry(root))


def test_labels_may_be_whole_numbers_of_any_type(root):
    for kind in (pa.uint8(), pa.int32(), pa.uint64(), pa.float64()):
        write(root / "train.parquet", {"image": rows(9)["image"], "label": pa.array([0, 1, 2] * 3, kind)})
        assert parquet.read(entry(root))[0].labels.tolist() == [0, 1, 2] * 3


def deep() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((SIZE, SIZE), 4000, np.uint16)).save(buffer, "PNG")
    return buffer.getvalue()


BYTES = "expected the bytes of an image file; paths are not followed"
IMAGES: dict[str, tuple[Any, str]] = {
    "nothing": (None, f"found no image, {BYTES}"),
    "no bytes": ({"bytes": None, "path": None}, f"found no image, {BYTES}"),
    "a path": ({"bytes": None, "path": "images/7.png"}, f"found 'images/7.png' without its bytes, {BYTES}"),
    "empty": ({"bytes": b"", "path": "7.png"}, "cannot be decoded (cannot identify image file"),
    "no picture": ({"bytes": b"no image", "path": "7.png"}, "cannot be decoded (cannot identify image file"),
    "cut off": ({"bytes": encoded(7)[:200], "path": "7.png"}, "cannot be decoded ("),
    "16 bits": (
        {"bytes": deep(), "path": "7.png"},
        "cannot be decoded (pixels of the mode 'I;16', 16 bits; expected 8",
    ),
    "larger": ({"bytes": encoded(7, (14, 14)), "path": ""}, "found 14 x 14 pixels, expected 12 x 12 as the first"),
    "not square": ({"bytes": encoded(7, (12, 9)), "path": ""}, "found 12 x 9 pixels, expected 12 x 12 as the first"),
}


@PARTS
@pytest.mark.parametrize("kind", IMAGES)
def test_a_bad_image_is_refused_by_file_column_and_row(root, part, kind):
    image, expected = IMAGES[kind]
    content = rows(9)
    content["image"][7] = image
    write(root / f"{part}.parquet", content)
    assert f"{root}/{part}.parquet: column 'image', row 7: {expected}" in refused(parquet.read, entry(root))


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        ("images/0.png", f"found 'images/0.png' without its bytes, {BYTES}"),
        ([[0, 1], [2, 3]], "without its bytes"),
        (encoded(0, (12, 10)), "found 12 x 10 pixels, expected as many rows as columns"),
        (b"no image", "cannot be decoded"),
    ],
)
def test_a_first_image_that_is_none_ends_a_run_before_its_first_job(root, first, expected):
    write(root / "train.parquet", {"image": [first] * 3, "label": [0, 1, 2]})
    message = refused(parquet.check, entry(root))
    assert message.startswith(f"{root}/train.parquet: column 'image', row 0: ")
    assert expected in message


@PARTS
def test_a_file_without_rows_is_refused(root, part):
    write(root / f"{part}.parquet", {"image": pa.array([], pa.binary()), "label": pa.array([], pa.int64())})
    assert f"{part}.parquet: has no rows; expected images" in refused(parquet.check, entry(root))


def test_rows_are_counted_beyond_those_that_are_decoded_at_a_time(root, monkeypatch):
    monkeypatch.setattr("sacp.images.parquet_table.ROWS", 2)
    content = rows(9)
    content["image"][7] = None
    write(root / "train.parquet", content)
    assert "row 7: found no image" in refused(parquet.read, entry(root))


@pytest.mark.workflow
def test_a_data_set_with_columns_of_its_own_is_planned_and_trained_on(checkout: Checkout) -> None:
    few = rows(30)
    columns = {"img": few["image"], "fine_label": few["label"], "coarse_label": [0] * 30}
    for shard in range(2):
        write(checkout.path / f"own/data/train-{shard:05}-of-00002.parquet", columns)
    write(checkout.path / "own/data/test-00000-of-00001.parquet", columns, {"fine_label": ["a", "b", "c"]})
    experiment = {
        "dataset": "own", "validation": 0.2, "network": {"name": "resnet8", "width": 0.5},
        "space": {"training_size": 100, "search_size": 1000, "threshold": 0.4},
        "refine": {"top_m": 20, "top_k": 3}, "base": {"epochs": 1},
    }  # fmt: skip
    datasets = {"own": {"source": "parquet", "path": "own", "label": "fine_label"}}
    (checkout.path / "own.yaml").write_text(yaml.safe_dump({"datasets": datasets, "experiments": {"net": experiment}}))
    run = checkout.snakemake("results/net/seed0/base.pt", "--configfile", "own.yaml")
    assert run.status == 0, run.output
    assert run.jobs == ["prepare_data", "train_base"]
    _, record = lookup.find(checkout.path / "results/data/own.safetensors")
    assert sorted(record["inputs"]) == [
        "own/data/test-00000-of-00001.parquet", *(f"own/data/train-0000{shard}-of-00002.parquet" for shard in range(2)),
    ]  # fmt: skip
    assert (record["settings"]["classes"], record["settings"]["image_size"]) == (3, SIZE)
