"""Images as people have them, in folders and in parquet: each is read rightly, or refused or told in one line."""

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from image_tree import RESIZE, SIZE, dataset, write_image, write_tree
from PIL import Image
from sacp.errors import InputError
from sacp.images import folder
from sacp.images.batches import Normalizer, evaluation_batches
from sacp.images.folder import FileSet, scan
from sacp.images.pixels import in_rgb

PLAIN = Normalizer(torch.zeros(3), torch.full((3,), 1 / 255), torch.device("cpu"))  # leaves the pixels as they are
RAMP = np.linspace(0, 1, 40 * 40).reshape(40, 40)
DEEP = {  # suffix and pixels of what has more than 8 bits a channel
    "16-bit png": ("png", (RAMP * 65535).astype(np.uint16)),
    "16-bit tiff": ("tif", (RAMP * 65535).astype(np.uint16)),
    "32-bit tiff": ("tiff", (RAMP * 2e9).astype(np.int32)),
    "floats": ("tiff", RAMP.astype(np.float32)),
}
FILES = pytest.mark.parametrize("kind", DEEP)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return write_tree(tmp_path / "tree")


def refused(tree: Path) -> str:
    """The one line with which a tree is refused."""
    with pytest.raises(InputError) as caught:
        scan(tree, 3, SIZE, RESIZE)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@FILES
def test_an_image_of_more_than_8_bits_is_refused_by_its_file_and_mode(tree, kind):
    suffix, pixels = DEEP[kind]
    path = tree / f"val/bee/deep.{suffix}"
    Image.fromarray(pixels).save(path)
    assert refused(tree).startswith(f"{path}: cannot be read as an image (pixels of the mode '{Image.open(path).mode}'")
    assert "expected 8 bits a channel" in refused(tree)


@FILES
def test_it_is_refused_while_training_too_if_no_header_was_read(tree, kind):
    suffix, pixels = DEEP[kind]
    Image.fromarray(pixels).save(tree / f"val/bee/deep.{suffix}")
    _, val = scan(tree, 3, SIZE, RESIZE, headers=0)
    with pytest.raises(InputError, match=rf"deep\.{suffix}: cannot be read as an image \(pixels of the mode"):
        list(evaluation_batches(val, PLAIN))


def test_a_16_bit_pgm_is_refused(tree):
    path = tree / "train/ant/deep.pgm"
    path.write_bytes(b"P5 40 40 65535\n" + (RAMP * 65535).astype(">u2").tobytes())
    assert refused(tree).startswith(f"{path}: cannot be read as an image (pixels of the mode 'I")


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "HSV"])
def test_what_has_8_bits_is_shown_in_its_colours(mode):
    image = Image.fromarray((RAMP * 255).astype(np.uint8)).convert("RGB").convert(mode)
    shown = np.asarray(in_rgb(image))
    assert (shown.shape, int(shown.min()) < 10, int(shown.max()) > 245) == ((40, 40, 3), True, True)


def shown_suffixes(files: FileSet) -> set[str]:
    return {files.path(row).suffix for row in range(len(files.labels))}


def test_the_other_suffixes_of_jpeg_are_read(tree):
    for suffix in (".jfif", ".jpe", ".JPG"):
        (tree / "train/ant/0.jpeg").rename(tree / f"train/ant/first{suffix}")
        assert suffix in shown_suffixes(scan(tree, 3, SIZE, RESIZE)[0])
        (tree / f"train/ant/first{suffix}").rename(tree / "train/ant/0.jpeg")


def test_files_that_are_left_out_are_counted_by_suffix(tree, caplog):
    for name in ("a.gif", "b.gif", "notes.txt", "README", ".DS_Store", "._0.jpeg"):
        (tree / "train/bee" / name).write_text("no image")
    (tree / "val/list.csv").write_text("no image")
    with caplog.at_level(logging.WARNING):
        train, _ = scan(tree, 3, SIZE, RESIZE)
    assert len(train.labels) == 21
    left, beside = [record.getMessage() for record in caplog.records]
    kinds = "2 .gif, 2 hidden, 1 .txt, 1 without a suffix"
    assert left.startswith(f"{tree}/train: 6 files ({kinds}) left out; images are files .jpg, ")
    assert beside == f"{tree}/val: 1 files in no class folder left out, such as list.csv"


def test_a_class_of_other_suffixes_alone_is_refused_with_their_number(tree):
    for path in (tree / "val/cat").glob("*.jpeg"):
        path.rename(path.with_suffix(".heic"))
    assert refused(tree).startswith(
        f"{tree}/val: class folder 'cat' has no image; 3 files (3 .heic) left out; expected"
    )


def test_a_hidden_folder_is_no_class(tree):
    for part in ("train", "val"):
        write_image(tree / part / ".ipynb_checkpoints/0.jpeg", 1)
    assert scan(tree, 3, SIZE, RESIZE)[0].labels.max() == 2


@pytest.mark.parametrize("content", [b"", b"no image", b"version https://git-lfs.github.com/spec/v1\n"])
def test_a_file_that_is_no_image_is_refused_when_the_tree_is_read(tree, content):
    (tree / "train/cat/3.jpeg").write_bytes(content)
    assert refused(tree).startswith(f"{tree}/train/cat/3.jpeg: cannot be read as an image (")


@pytest.mark.parametrize("suffix", ["tif", "png", "webp"])
def test_an_image_of_several_frames_is_refused(tree, suffix):
    first, *others = [Image.fromarray(np.full((40, 40, 3), level, np.uint8)) for level in (0, 100, 200)]
    first.save(tree / f"val/ant/stack.{suffix}", save_all=True, append_images=others)
    assert f"val/ant/stack.{suffix}: cannot be read as an image (3 frames, of which one would be shown;" in refused(
        tree
    )


def test_a_photograph_with_a_preview_is_read(tree):
    pictures = [Image.new("RGB", (40, 40), (200, 0, 0)), Image.new("RGB", (20, 20))]
    pictures[0].save(tree / "val/ant/photo.jpg", "MPO", save_all=True, append_images=pictures[1:])
    _, val = scan(tree, 3, SIZE, RESIZE)
    row = next(row for row in range(len(val.labels)) if val.path(row).name == "photo.jpg")
    images = torch.cat([images for images, _ in evaluation_batches(val, PLAIN)])
    assert images[row, 0].mean() > 190


@pytest.mark.parametrize(
    ("link", "to"),
    [("train/ant/again", "train/ant"), ("train/cat/mixed", "train/bee"), ("val/bee/leak", "train/bee")],
)
def test_a_folder_that_is_there_twice_is_refused(tree, link, to):
    (tree / link).symlink_to(tree / to)
    assert ": a link to the same folder as " in refused(tree)


def test_images_elsewhere_may_be_linked(tree, tmp_path):
    (tree / "train/ant").rename(tmp_path / "elsewhere")
    (tree / "train/ant").symlink_to(tmp_path / "elsewhere")
    assert len(scan(tree, 3, SIZE, RESIZE)[0].labels) == 21


def test_a_bad_file_ends_a_run_before_its_first_job(tree):
    Image.fromarray(DEEP["16-bit png"][1]).save(tree / "train/ant/deep.png")
    with pytest.raises(InputError, match=r"train/ant/deep\.png: cannot be read as an image"):
        folder.check(dataset(tree))


def test_of_many_files_evenly_spread_ones_are_opened(tree):
    (tree / "train/ant/1.jpeg").write_bytes(b"no image")
    scan(tree, 3, SIZE, RESIZE, headers=2)  # the first and the last
    (tree / "train/cat/6.jpeg").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"train/cat/6\.jpeg"):
        scan(tree, 3, SIZE, RESIZE, headers=2)
