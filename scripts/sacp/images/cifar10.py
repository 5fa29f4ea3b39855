"""CIFAR-10 as torchvision keeps it: downloaded, or from an existing folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from sacp.errors import InputError, one_line
from sacp.images.splits import ImageSet

TRAINING, TEST = 50_000, 10_000


def check(dataset: Mapping[str, Any]) -> None:
    """Raise `InputError` if the folder is not there, unless it is to be downloaded."""
    if dataset["source"] != "torchvision":
        _check_folder(Path(dataset["path"]))


def count(dataset: Mapping[str, Any]) -> tuple[int, int]:
    """Numbers of training and test images."""
    return TRAINING, TEST


def read(dataset: Mapping[str, Any]) -> tuple[ImageSet, ImageSet]:
    """Training and test images; `InputError` if they are missing, damaged or cannot be downloaded."""
    from torchvision.datasets import CIFAR10

    check(dataset)
    root, download = Path(dataset["path"]), dataset["source"] == "torchvision"
    parts = []
    for train in (True, False):
        try:
            # torchvision compares every file with its published checksum before it unpickles one.
            part = CIFAR10(root, train=train, download=download)
        except (RuntimeError, OSError) as error:
            raise InputError(f"{root}: CIFAR-10 cannot be read ({one_line(error)})") from None
        images = torch.from_numpy(part.data).permute(0, 3, 1, 2).contiguous()
        parts.append(ImageSet(images, torch.tensor(part.targets)))
    return parts[0], parts[1]


def _check_folder(root: Path) -> None:
    if not (root / "cifar-10-batches-py").is_dir():
        raise InputError(f"{root}: no folder 'cifar-10-batches-py' here; expected CIFAR-10 in torchvision's layout")
