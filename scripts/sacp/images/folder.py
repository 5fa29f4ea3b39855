"""Image files in class folders, as ImageNet is laid out: an index of them, and sets whose pixels stay on disk."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sacp.errors import InputError
from sacp.images import tree
from sacp.images.preprocessing import Resize, resize_of

KIND = "imagefolder"  # of an index, in its metadata
PARTS = ("train", "val")
SMALL = 20_000  # files of a tree that is looked at whole before a run
HEADERS, PLANNED = 10_000, 500  # files of each part whose first bytes are read, when it is prepared and before a run
# Of ImageNet's training images; the published weights of torchvision were trained with them.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
Names = np.ndarray[Any, Any]


@dataclass(frozen=True)
class FileSet:
    """Image files under a root and their labels int64 [n]; networks see `image_size` x `image_size` pixels in RGB.

    In evaluation these are the middle of the image, scaled to `resize` before.
    Names are bytes of one width [n], relative to the root: one block of memory, which worker processes share.
    """

    root: str
    names: Names
    labels: Tensor
    image_size: int
    resize: Resize

    def path(self, row: int) -> Path:
        """Where image `row` lies."""
        return Path(self.root) / os.fsdecode(self.names[row])

    def part(self, rows: Tensor) -> "FileSet":
        """The images of these rows [m], in their order."""
        return replace(self, names=self.names[rows.numpy()], labels=self.labels[rows])


def check(dataset: Mapping[str, Any]) -> None:
    """Raise `InputError` unless both parts are there and, in a small tree, are as `read` expects them.

    Folders without any class pass: a run can be planned before the images are there.
    """
    root = Path(dataset["path"])
    _check_parts(root)
    if count(dataset) is not None:
        scan(root, dataset["classes"], 1, 1, headers=PLANNED)


def count(dataset: Mapping[str, Any]) -> tuple[int, int] | None:
    """Numbers of training and test images; None of a tree so large that counting takes long, and of an empty one."""
    root = Path(dataset["path"])
    _check_parts(root)
    names = [tree.class_names(root / part) for part in PARTS]
    if not any(names):
        return None
    numbers = [tree.count(root / part, SMALL) for part in PARTS]
    return None if sum(numbers) > SMALL else (numbers[0], numbers[1])


def read(dataset: Mapping[str, Any]) -> tuple[FileSet, FileSet]:
    """Training and test files of a data set with its `path`, `classes`, `image_size` and `resize`; as `scan`."""
    size = dataset["image_size"]
    return scan(Path(dataset["path"]), dataset["classes"], size, resize_of(dataset, size))


def _check_parts(root: Path) -> None:
    for part in PARTS:
        if not (root / part).is_dir():
            raise InputError(
                f"{root}: no folder '{part}' here; expected train/ and val/, the test images, with a folder per class"
            )


def scan(
    root: Path, classes: int, image_size: int, resize: Resize, headers: int = HEADERS
) -> tuple[FileSet, FileSet]:  # fmt: skip
    """List the files of train/ and val/; labels number the class folders by name.

    The first bytes of the files are read, of `headers` evenly spread ones where there are more.

    Raises:
        InputError: a folder is missing, has no images or is there twice, by a link; the parts have other classes, or
            not `classes` of them; a file is no image, or one of more than 8 bits a channel.
    """
    _check_parts(root)
    names, others = (tree.class_names(root / part) for part in PARTS)
    if not names:
        raise InputError(f"{root / PARTS[0]}: no class folders here; expected {classes} as the config's `classes` says")
    odd = sorted(set(names) ^ set(others))
    if odd:
        part = PARTS[odd[0] in others]
        raise InputError(f"{root}: class folder '{odd[0]}' is in {part}/ alone; expected the same in train/ and val/")
    if len(names) != classes:
        raise InputError(f"{root}: {len(names)} class folders, expected {classes} as the config's `classes` says")
    numbers = {name: number for number, name in enumerate(names)}
    found = [tree.listed(root / part, numbers) for part in PARTS]
    tree.check_folders(found)
    train, val = (_file_set(root, each, image_size, resize) for each in found)
    for files in (train, val):
        tree.check_headers([files.path(row) for row in range(len(files.labels))], headers)
    return train, val


def _file_set(root: Path, found: tree.Listed, image_size: int, resize: Resize) -> FileSet:
    names = np.array([os.fsencode(os.path.relpath(path, root)) for path, _ in found])
    return FileSet(str(root), names, torch.tensor([label for _, label in found]), image_size, resize)


def digest(train: FileSet, test: FileSet) -> str:
    """SHA-256 over the names, sizes in bytes and labels of all files, in their order. Their contents are not read."""
    sha = hashlib.sha256()
    for files in (train, test):
        sha.update(f"{files.names.dtype}{files.names.shape}".encode())
        for array in (files.names, _sizes(files), files.labels.numpy()):
            sha.update(array.tobytes())
    return sha.hexdigest()


def _sizes(files: FileSet) -> np.ndarray[Any, Any]:
    try:
        return np.array([files.path(row).stat().st_size for row in range(len(files.names))], np.int64)
    except OSError as error:
        raise InputError(f"{error.filename}: cannot be read ({error.strerror})") from None


def to_index(train: FileSet, test: FileSet) -> tuple[dict[str, Tensor], dict[str, str]]:
    """What an index file holds: names uint8 [n, width] and labels of both parts, and its metadata."""
    tensors = {}
    for part, files in (("train", train), ("test", test)):
        tensors[f"{part}_names"] = torch.from_numpy(files.names[:, None].view(np.uint8))
        tensors[f"{part}_labels"] = files.labels
    about = {
        "kind": KIND,
        "root": train.root,
        "image_size": str(train.image_size),
        "resize": json.dumps(train.resize),
        "digest": digest(train, test),
    }
    return tensors, about


def from_index(tensors: Mapping[str, Tensor], about: Mapping[str, str]) -> tuple[FileSet, FileSet]:
    """The training and test part of what `to_index` made; `KeyError` names what is missing."""

    def part(name: str) -> FileSet:
        letters = tensors[f"{name}_names"].numpy()  # [n, width]
        names = letters.view(f"S{letters.shape[1]}")[:, 0]
        return FileSet(about["root"], names, tensors[f"{name}_labels"], size, resize)

    size = int(about["image_size"])
    resize = resize_of({"resize": json.loads(about["resize"])}, size)
    return part("train"), part("test")
