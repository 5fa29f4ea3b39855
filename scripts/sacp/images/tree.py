"""Which files of a part of a tree, `train/class/file`, are its images, and which are left out."""

import logging
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from sacp.errors import InputError, one_line
from sacp.images.pixels import check_form

log = logging.getLogger(__name__)
SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".ppm", ".pgm", ".bmp", ".tif", ".tiff", ".webp",
)  # fmt: skip
Listed = list[tuple[str, int]]  # paths and labels


def class_names(part: Path) -> list[str]:
    """Names of the class folders in their order; hidden folders are none."""
    try:
        return sorted(each.name for each in os.scandir(part) if each.is_dir() and not each.name.startswith("."))
    except OSError as error:
        raise InputError(f"{part}: cannot be read ({error.strerror})") from None


def listed(part: Path, numbers: Mapping[str, int]) -> Listed:
    """Image files of a part and their labels, by class and name; files that are left out are counted in a warning.

    Raises:
        InputError: a class has no image, or a folder cannot be read.
    """
    from torchvision.datasets.folder import make_dataset

    selection = Selection()
    try:
        found: Listed = make_dataset(part, dict(numbers), is_valid_file=selection, allow_empty=True)
        beside = [each.name for each in os.scandir(part) if each.is_file()]
    except OSError as error:
        raise InputError(f"{part}: {one_line(error)}") from None
    with_images = {label for _, label in found}
    empty = [name for name, label in numbers.items() if label not in with_images]
    if empty:
        left = f"; {selection} left out" if selection.left else ""
        raise InputError(f"{part}: class folder '{empty[0]}' has no image{left}; expected files {_suffixes()}")
    if selection.left:
        log.warning("%s: %s left out; images are files %s", part, selection, _suffixes())
    if beside:
        log.warning("%s: %d files in no class folder left out, such as %s", part, len(beside), min(beside))
    return found


def count(part: Path, most: int) -> int:
    """Number of image files in all class folders; counting ends beyond `most`."""
    selection, found = Selection(), 0
    for name in class_names(part):
        for folder, _, files in os.walk(part / name, followlinks=True):
            found += sum(map(selection, (os.path.join(folder, file) for file in files)))
            if found > most:
                return found
    return found


def _suffixes() -> str:
    return ", ".join(SUFFIXES)


class Selection:
    """Says of each path whether it is an image's by its name, and counts by suffix those that are not."""

    def __init__(self) -> None:
        self.left = Counter[str]()

    def __call__(self, path: str) -> bool:
        name = Path(path).name
        is_hidden, suffix = name.startswith("."), Path(path).suffix.lower()
        if suffix in SUFFIXES and not is_hidden:
            return True
        self.left["hidden" if is_hidden else suffix or "without a suffix"] += 1
        return False

    def __str__(self) -> str:
        kinds = ", ".join(f"{number} {kind}" for kind, number in sorted(self.left.items(), key=_frequent))
        total = self.left.total()
        return f"{total} file{'s' * (total > 1)} ({kinds})"


def _frequent(kind: tuple[str, int]) -> tuple[int, str]:
    return -kind[1], kind[0]


def check_folders(parts: Sequence[Listed]) -> None:
    """Raise `InputError` if a folder is there twice, by links: in a loop, in two classes, or in both parts."""
    seen = dict[str, str]()
    for folder in dict.fromkeys(os.path.dirname(path) for found in parts for path, _ in found):
        other = seen.setdefault(os.path.realpath(folder), folder)
        if other != folder:
            raise InputError(f"{folder}: a link to the same folder as {other}; expected each image once")


def check_headers(paths: Sequence[Path], most: int) -> None:
    """Open images without decoding them, `most` evenly spread ones if there are more; `InputError` names a bad one."""
    for row in np.unique(np.linspace(0, len(paths) - 1, min(most, len(paths)), dtype=np.int64)):
        try:
            with Image.open(paths[row]) as image:
                check_form(image)
        except Exception as error:  # Pillow meets arbitrary bytes with arbitrary exceptions
            if isinstance(error, OSError) and error.strerror:
                raise InputError(f"{paths[row]}: cannot be read ({error.strerror})") from None
            raise InputError(f"{paths[row]}: cannot be read as an image ({one_line(error)})") from None
