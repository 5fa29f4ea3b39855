"""Images to calibrate, train and measure a network with, from a folder."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sacp import imports
from sacp.catalogue import sources
from sacp.errors import InputError, shown
from sacp.images.batches import Normalizer, drawn_batches
from sacp.images.folder import PARTS
from sacp.images.splits import Splits, split

KINDS = {  # what a folder holds -> the source that reads it
    PARTS: "imagefolder",
    ("train.parquet", "test.parquet"): "parquet",
}
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
        normalizer = Normalizer(self.splits.mean, self.splits.std, torch.device(device))
        return list(drawn_batches(self.splits.train, normalizer, images, BATCH, seed))


def data(
    path: str | Path, *, image_size: int = sources.IMAGE_SIZE, mean: Any = None, std: Any = None,
    validation: float = 0.1, seed: int = 0,
) -> Data:  # fmt: skip
    """See `sacp.data`."""
    for name, number, least in (("image_size", image_size, 1), ("seed", seed, 0)):
        _check_integer(name, number, least)
    if not (type(validation) is int and validation > 0) and not (type(validation) is float and 0 < validation < 1):
        raise InputError(f"validation: found {validation!r}, expected a share below 1, or a number of images")
    if not isinstance(path, (str, Path)):
        raise InputError(f"path: found a {type(path).__name__}, expected the path of a folder")
    root = Path(path)
    found = next((kind for names, kind in KINDS.items() if all((root / name).exists() for name in names)), None)
    if found is None:
        expected = " or ".join(" and ".join(names) for names in KINDS)
        raise InputError(f"{root}: found no images as they are read; expected a folder with {expected}")
    dataset: dict[str, Any] = {"source": found, "path": str(root), "image_size": image_size}
    if found == "imagefolder":
        dataset["classes"] = _classes(root / PARTS[0])
    channels, size, classes = sources.shape(dataset)
    train, test = imports.load(f"{sources.source(dataset).module}:read")(dataset)
    whole = split(train, test, validation, seed)
    if mean is not None:
        whole = replace(whole, mean=_of_channels("mean", mean, channels))
    if std is not None:
        whole = replace(whole, std=_of_channels("std", std, channels))
    return Data(whole, classes, (1, channels, size, size))


def _classes(folder: Path) -> int:
    found = sorted(each.name for each in folder.iterdir() if each.is_dir()) if folder.is_dir() else []
    if len(found) == 1:
        raise InputError(f"{folder}: found one class folder, '{found[0]}'; expected two at least")
    return len(found)


def _check_integer(name: str, found: Any, least: int) -> None:
    if type(found) is not int or found < least:
        raise InputError(f"{name}: found {found!r}, expected an integer from {least}")


def _of_channels(key: str, value: Any, channels: int) -> Tensor:
    try:
        found = torch.as_tensor(value, dtype=torch.float32)
    except (TypeError, ValueError, RuntimeError):
        found = torch.empty(0)
    is_scale = bool(((found >= 0) & (found <= 1)).all())  # neither NaN, nor of pixels from 0 to 255
    if found.shape != (channels,) or not is_scale or (key == "std" and not (found > 0).all()):
        expected = f"{channels} numbers{' above 0' if key == 'std' else ''} on the scale 0..1, one for each channel"
        raise InputError(f"{key}: found {shown(value)}, expected {expected}")
    return found
