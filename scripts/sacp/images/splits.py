"""Data sets cut in three: images as uint8 tensors, or an index of image files."""

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import torch
from safetensors.torch import load_file
from torch import Tensor

from sacp.errors import InputError
from sacp.images import folder
from sacp.images.folder import FileSet
from sacp.images.preprocessing import STATISTICS
from sacp.seeds import derive

HELD_OUT, HELD_OUT_SHARE = 5000, 0.1  # at most, of the training images, where a config does not say how many
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ImageSet:
    """Images uint8 [n, C, H, W] and labels int64 [n]."""

    images: Tensor
    labels: Tensor

    def part(self, rows: Tensor) -> "ImageSet":
        """The images of these rows [m], in their order."""
        return ImageSet(self.images[rows], self.labels[rows])


Images = ImageSet | FileSet


@dataclass(frozen=True)
class Splits:
    """A data set cut in three, with the channel mean and deviation [C] on the scale 0..1.

    They are those of the training part; of image files, ImageNet's; or what the data set gives.
    """

    train: Images
    validation: Images
    test: Images
    mean: Tensor
    std: Tensor
    digest: str

    def preprocessing(self) -> dict[str, Any]:
        """What images go through: `mean` and `std`, and before, of image files, `resize` and then `crop`, in pixels."""
        found: dict[str, Any] = {"mean": self.mean.tolist(), "std": self.std.tolist()}
        if isinstance(self.test, FileSet):
            found |= {"resize": self.test.resize, "crop": self.test.image_size}
        return found


def digest(train: ImageSet, test: ImageSet) -> str:
    """SHA-256 over all images and labels, in their order."""
    sha = hashlib.sha256()
    for tensor in (train.images, train.labels, test.images, test.labels):
        sha.update(f"{tensor.dtype}{list(tensor.shape)}".encode())
        sha.update(tensor.contiguous().numpy().data)
    return sha.hexdigest()


def load_splits(path: str | Path, validation: float | None, seed: int) -> Splits:
    """Load what `prepare_data` wrote and hold a validation part out of the training images.

    Args:
        path: safetensors file with the tensors and metadata of `prepare`.
        validation: number of images held out, or a share of the training images if less than 1; None for 5,000, or a
            tenth if that is less.
        seed: decides which images are held out.
    """
    full, test, about = _load_prepared(path)
    given = [torch.tensor(json.loads(about[key])) for key in STATISTICS if key in about]
    return _cut(full, test, about["digest"], validation, seed, given)


def split(full: Images, test: Images, validation: float | None, seed: int) -> Splits:
    """Hold a validation part out of training images that were read, as `load_splits` does."""
    if isinstance(full, FileSet) and isinstance(test, FileSet):
        return _cut(full, test, folder.digest(full, test), validation, seed)
    assert isinstance(full, ImageSet)
    assert isinstance(test, ImageSet)
    return _cut(full, test, digest(full, test), validation, seed)


def _cut(
    full: Images, test: Images, data_digest: str, validation: float | None, seed: int, given: Sequence[Tensor] = ()
) -> Splits:  # fmt: skip
    """The parts; `given` is their mean and deviation, or nothing."""
    n = len(full.labels)
    held_out = validation_size(n, validation)
    log.info("%d of %d training images are held out for validation, %d are for the test", held_out, n, len(test.labels))
    order = torch.from_numpy(np.random.default_rng(derive(seed, "validation split")).permutation(n))
    train, valid = full.part(order[held_out:].sort().values), full.part(order[:held_out].sort().values)
    if given:
        mean, std = given
    elif isinstance(train, FileSet):
        mean, std = torch.tensor(folder.MEAN), torch.tensor(folder.STD)
    else:
        mean, std = channel_statistics(train.images)
    return Splits(train, valid, test, mean, std, data_digest)


def _load_prepared(path: str | Path) -> tuple[Images, Images, dict[str, str]]:
    """The training part, the test part and the metadata, which have the digest."""
    try:
        tensors = load_file(path)
        with safetensors.safe_open(path, "pt") as handle:
            about: dict[str, str] = handle.metadata()
        if "digest" not in about:
            raise KeyError("digest")
        if about.get("kind") == folder.KIND:
            return *folder.from_index(tensors, about), about
        train, test = (ImageSet(tensors[f"{part}_images"], tensors[f"{part}_labels"]) for part in ("train", "test"))
        return train, test, about
    except (OSError, KeyError, TypeError, AttributeError, safetensors.SafetensorError) as error:
        raise InputError(f"{path}: not a prepared data set ({error})") from None


def validation_size(images: int, validation: float | None) -> int:
    """Number of held-out images, 5,000 or a tenth if None; `InputError` if nothing would be left to train on."""
    if validation is None:
        validation = max(1, min(HELD_OUT, round(HELD_OUT_SHARE * images)))
    size = round(validation * images) if validation < 1 else int(validation)
    if not 0 < size < images:
        raise InputError(
            f"validation: {validation} holds out {size} of {images} training images; leave at least one, by another "
            "number or a share such as 0.1 (val/ of a folder, and the test split, are the test images)"
        )
    return size


def channel_statistics(images: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each channel on the scale 0..1. uint8 [n, C, H, W] -> [C], [C]."""
    levels = torch.arange(256, dtype=torch.float64) / 255
    means, deviations = [], []
    for channel in range(images.shape[1]):
        counts = torch.bincount(images[:, channel].flatten().int(), minlength=256).double()
        mean = (counts * levels).sum() / counts.sum()
        means.append(mean)
        deviations.append(((counts * (levels - mean) ** 2).sum() / counts.sum()).sqrt())
    return torch.stack(means).float(), torch.stack(deviations).float()
