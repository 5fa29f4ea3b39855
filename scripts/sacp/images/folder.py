"""Image files in class folders, as ImageNet is laid out: an index of them, and sets whose pixels stay on disk."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sacp.errors import InputError, one_line

KIND = "imagefolder"  # of an index, in its metadata
PARTS = ("train", "val")
# Of ImageNet's training images; the published weights of torchvision were trained with them.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
Names = np.ndarray[Any, Any]


@dataclass(frozen=True)
class FileSet:
    """Image files under a root and their labels int64 [n]; networks see `image_size` x `image_size` pixels in RGB.

    Names are bytes of one width [n], relative to the root: one block of memory, which worker processes share.
    """

    root: str
    names: Names
    labels: Tensor
    image_size: int

    def path(self, row: int) -> Path:
        """Where image `row` lies."""
        return Path(self.root) / os.fsdecode(self.names[row])

    def part(self, rows: Tensor) -> "FileSet":
        """The images of these rows [m], in their order."""
        return replace(self, names=self.names[rows.numpy()], labels=self.labels[rows])


def check(dataset: Mapping[str, Any]) -> None:
    """Raise `InputError` unless the folders of both parts are there."""
    _check_parts(Path(dataset["path"]))


def count(dataset: Mapping[str, Any]) -> None:
    """Numbers of images: None, as counting them takes minutes."""
    return None


def read(dataset: Mapping[str, Any]) -> tuple[FileSet, FileSet]:
    """Training and test files of a data set with its `path`, `classes` and `image_size`; as `scan`."""
    return scan(Path(dataset["path"]), dataset["classes"], dataset["image_size"])


def _check_parts(root: Path) -> None:
    for part in PARTS:
        if not (root / part).is_dir():
            raise InputError(f"{root}: no folder '{part}' here; expected train/ and val/, each with a folder per class")


def scan(root: Path, classes: int, image_size: int) -> tuple[FileSet, FileSet]:
    """List the files of train/ and val/; labels number the class folders by name.

    Raises:
        InputError: a folder is missing or has no images, the parts have different classes, or not `classes` of them.
    """
    from torchvision.datasets.folder import find_classes

    _check_parts(root)
    try:
        (names, numbers), (others, _) = (find_classes(root / part) for part in PARTS)
    except OSError as error:
        raise InputError(f"{root}: {one_line(error)}") from None
    odd = sorted(set(names) ^ set(others))
    if odd:
        part = PARTS[odd[0] in others]
        raise InputError(f"{root}: class folder '{odd[0]}' is in {part}/ alone; expected the same in train/ and val/")
    if len(names) != classes:
        raise InputError(f"{root}: {len(names)} class folders, expected {classes} as the config's `classes` says")
    train, val = (_listed(root, part, numbers, image_size) for part in PARTS)
    return train, val


def _listed(root: Path, part: str, numbers: dict[str, int], image_size: int) -> FileSet:
    from torchvision.datasets.folder import IMG_EXTENSIONS, make_dataset

    try:
        found = make_dataset(root / part, numbers, IMG_EXTENSIONS)
    except OSError as error:
        raise InputError(f"{root / part}: {one_line(error)}") from None
    names = np.array([os.fsencode(os.path.relpath(path, root)) for path, _ in found])
    return FileSet(str(root), names, torch.tensor([label for _, label in found]), image_size)


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
        "digest": digest(train, test),
    }
    return tensors, about


def from_index(tensors: Mapping[str, Tensor], about: Mapping[str, str]) -> tuple[FileSet, FileSet]:
    """The training and test part of what `to_index` made; `KeyError` names what is missing."""

    def part(name: str) -> FileSet:
        letters = tensors[f"{name}_names"].numpy()  # [n, width]
        names = letters.view(f"S{letters.shape[1]}")[:, 0]
        return FileSet(about["root"], names, tensors[f"{name}_labels"], int(about["image_size"]))

    return part("train"), part("test")
