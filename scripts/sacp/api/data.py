"""Images to calibrate, train and measure a network with, from a folder."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sacp import imports
from sacp.artefacts.files import folder_of
from sacp.catalogue import sources
from sacp.errors import InputError, one_line, shown
from sacp.images import hugging_face, preprocessing
from sacp.images.batches import Normalizer, drawn_batches
from sacp.images.folder import PARTS
from sacp.images.splits import Splits, split
from sacp.images.tree import class_names

EXPECTED = "a folder with train and val, or train.parquet and test.parquet or their shards"
MOST_PIXELS = 1024  # of a side, as in a workflow's config
BATCH = 100  # images at a time that networks are calibrated with


@dataclass(frozen=True)
class Data:
    """Labelled images in three parts: to train, held out of these, and to test."""

    splits: Splits
    classes: int
    shape: tuple[int, int, int, int]  # of one image as a network is given it, [1, C, H, W]

    def batches(self, images: int = 2000, seed: int = 0, device: str | torch.device = "cpu") -> list[Tensor]:
        """Training images drawn at random, normalised, as they are: batches float32 [<= 100, C, H, W]."""
        for name, number, least in (("images", images, 1), ("seed", seed, 0)):
            _check_integer(name, number, least)
        _check_device(device)
        normalizer = Normalizer(self.splits.mean, self.splits.std, torch.device(device))
        return list(drawn_batches(self.splits.train, normalizer, images, BATCH, seed))


def data(
    path: str | Path, *, image_size: int = sources.IMAGE_SIZE, resize: Any = None, mean: Any = None, std: Any = None,
    image: str | None = None, label: str | None = None, validation: float = 0.1, seed: int = 0,
) -> Data:  # fmt: skip
    """See `sacp.data`."""
    for name, number, least in (("image_size", image_size, 1), ("seed", seed, 0)):
        _check_integer(name, number, least)
    if not (type(validation) is int and validation > 0) and not (type(validation) is float and 0 < validation < 1):
        raise InputError(f"validation: found {validation!r}, expected a share below 1, or a number of images")
    if image_size > MOST_PIXELS:
        raise InputError(f"image_size: found {image_size}, expected at most {MOST_PIXELS} pixels")
    columns, view = {"image": image, "label": label}, {"image_size": image_size, "resize": resize}
    dataset = _dataset(folder_of(path, "path"), columns, view)
    channels, size, classes = sources.shape(dataset)
    train, test = imports.load(f"{sources.source(dataset).module}:read")(dataset)
    whole = split(train, test, validation, seed)
    if mean is not None:
        whole = replace(whole, mean=_of_channels("mean", mean, channels))
    if std is not None:
        whole = replace(whole, std=_of_channels("std", std, channels))
    return Data(whole, classes, (1, channels, size, size))


def _dataset(root: Path, columns: Mapping[str, str | None], view: Mapping[str, Any]) -> dict[str, Any]:
    """What a folder holds, as an entry of a config's `datasets`; columns are those of parquet, the view is of files."""
    given = {key: name for key, name in columns.items() if name is not None}
    if all((root / part).is_dir() for part in PARTS):
        if given:
            raise InputError(f"{next(iter(given))}: {root} has image files; expected none, as only parquet has columns")
        shown_of = {**view, "resize": _resize(view["resize"], view["image_size"])}
        return {"source": "imagefolder", "path": str(root), "classes": _classes(root / PARTS[0]), **shown_of}
    if not hugging_face.files(root, "train"):
        raise InputError(f"{root}: found no images as they are read; expected {EXPECTED}")
    if view["resize"] is not None:
        raise InputError(f"resize: {root} has parquet files, whose images are not scaled; expected none")
    return {"source": "parquet", "path": str(root), **given}


def _resize(given: Any, image_size: int) -> preprocessing.Resize:
    """`resize` as torchvision takes it; the usual one if it is None."""
    if given is None:
        return preprocessing.resize_of({}, image_size)
    found = tuple(given) if isinstance(given, (list, tuple)) else (given,)
    if len(found) > 2 or not all(type(each) is int and each > 0 for each in found):
        raise InputError(f"resize: found {shown(given)}, expected a number of pixels, or (height, width)")
    resize = found if len(found) == 2 else found[0]
    preprocessing.check_resize(resize, image_size)
    return resize


def _classes(folder: Path) -> int:
    found = class_names(folder)
    if len(found) == 1:
        raise InputError(f"{folder}: found one class folder, '{found[0]}'; expected two at least")
    return len(found)


def _check_integer(name: str, found: Any, least: int) -> None:
    if type(found) is not int or found < least:
        raise InputError(f"{name}: found {found!r}, expected an integer from {least}")


def _check_device(device: Any) -> None:
    """What torch takes for a device that is there."""
    try:
        torch.empty(0, device=device)
    except (AssertionError, RuntimeError, TypeError) as error:
        raise InputError(f"device: found {shown(device)}, expected cpu or cuda ({one_line(error)})") from None


def _of_channels(key: str, value: Any, channels: int) -> Tensor:
    try:
        found = torch.as_tensor(value, dtype=torch.float32)
    except (TypeError, ValueError, RuntimeError):
        found = torch.empty(0)
    preprocessing.check_statistics(key, found.tolist() if found.ndim == 1 else [], channels, value)
    return found
