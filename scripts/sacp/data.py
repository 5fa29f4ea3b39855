"""Data sets, as uint8 tensors or as an index of image files: read them, split them."""

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import safetensors
import torch
from PIL import Image, UnidentifiedImageError
from safetensors.torch import load_file
from torch import Tensor

from sacp import imagefolder
from sacp.errors import InputError, one_line
from sacp.imagefolder import FileSet
from sacp.problem import IMAGE_FOLDER, problem_shape
from sacp.seeds import derive

DIGITS_TEST_SHARE = 0.2
DIGITS_TRAINING, CIFAR_TRAINING = 1438, 50_000
DIGITS_TEST, CIFAR_TEST = 359, 10_000


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

    They are those of the training part; of image files, ImageNet's.
    """

    train: Images
    validation: Images
    test: Images
    mean: Tensor
    std: Tensor
    digest: str


def training_images(dataset: Mapping[str, Any]) -> int | None:
    """Number of training images of an entry of `datasets` whose files are there; None where counting takes minutes.

    Raises:
        InputError: the entry wants more than there are.
    """
    source = dataset["source"]
    if source == IMAGE_FOLDER:
        return None
    present = DIGITS_TRAINING if source == "digits" else CIFAR_TRAINING
    if source == "parquet":
        present = int(_open_parquet(Path(dataset.get("path") or "") / "train.parquet").metadata.num_rows)
    wanted = int(dataset.get("training_images", present))
    if wanted > present:
        raise InputError(f"training_images: found {wanted}, but the data have {present}; expected at most these")
    return wanted


def test_images(source: str, path: str | None) -> int:
    """Number of test images of a data source whose files are there."""
    if source == "parquet":
        return int(_open_parquet(Path(path or "") / "test.parquet").metadata.num_rows)
    return DIGITS_TEST if source == "digits" else CIFAR_TEST


def check_source(source: str, path: str | None) -> None:
    """Raise `InputError` if the files of a data source are missing or truncated, as far as a glance can tell."""
    if source == "parquet":
        for part in ("train", "test"):
            _open_parquet(Path(path or "") / f"{part}.parquet")
    if source == "folder":
        _check_folder(Path(path or ""))
    if source == IMAGE_FOLDER:
        imagefolder.check(Path(path or ""))


def prepare(dataset: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """What the prepared file of an entry of the config's `datasets` holds: tensors, and metadata with their digest.

    Images and labels of both parts; of image files, an index, whose digest does not cover their contents.
    """
    if dataset["source"] == IMAGE_FOLDER:
        _, image_size, classes = problem_shape(dataset)
        return imagefolder.to_index(*imagefolder.scan(Path(dataset["path"]), classes, image_size))
    train, test = read(dataset["source"], dataset.get("path"))
    wanted = dataset.get("training_images", len(train.labels))
    if wanted < len(train.labels):
        drawn = np.random.default_rng(derive(0, "training images")).permutation(len(train.labels))[:wanted]
        train = train.part(torch.from_numpy(np.sort(drawn)))
    tensors = {
        "train_images": train.images, "train_labels": train.labels,
        "test_images": test.images, "test_labels": test.labels,
    }  # fmt: skip
    return tensors, {"digest": digest(train, test)}


def read(source: str, path: str | None) -> tuple[ImageSet, ImageSet]:
    """Read a data set: training and test images.

    Args:
        source: `digits` (scikit-learn's, embedded), `torchvision` (CIFAR-10, downloaded into `path`), `folder`
            (CIFAR-10 in torchvision's layout under `path`), or `parquet` (`path`/train.parquet and test.parquet in
            Hugging Face's layout: column `img` {bytes, path}, column `label`).
        path: the folder; not used for `digits`.

    Raises:
        InputError: missing, truncated or foreign files.
    """
    if source == "digits":
        return _read_digits()
    if source == "parquet":
        return _read_parquet(Path(path or "") / "train.parquet"), _read_parquet(Path(path or "") / "test.parquet")
    return _read_cifar(Path(path or ""), download=source == "torchvision")


def digest(train: ImageSet, test: ImageSet) -> str:
    """SHA-256 over all images and labels, in their order."""
    sha = hashlib.sha256()
    for tensor in (train.images, train.labels, test.images, test.labels):
        sha.update(f"{tensor.dtype}{list(tensor.shape)}".encode())
        sha.update(tensor.contiguous().numpy().data)
    return sha.hexdigest()


def load_splits(path: str | Path, validation: float, seed: int) -> Splits:
    """Load what `prepare_data` wrote and hold a validation part out of the training images.

    Args:
        path: safetensors file with the tensors and metadata of `prepare`.
        validation: number of images held out, or a share of the training images if less than 1.
        seed: decides which images are held out.
    """
    full, test, data_digest = _load_prepared(path)
    n = len(full.labels)
    held_out = validation_size(n, validation)
    order = torch.from_numpy(np.random.default_rng(derive(seed, "validation split")).permutation(n))
    train, valid = full.part(order[held_out:].sort().values), full.part(order[:held_out].sort().values)
    if isinstance(train, FileSet):
        mean, std = torch.tensor(imagefolder.MEAN), torch.tensor(imagefolder.STD)
    else:
        mean, std = channel_statistics(train.images)
    return Splits(train, valid, test, mean, std, data_digest)


def _load_prepared(path: str | Path) -> tuple[Images, Images, str]:
    """The training part, the test part and the digest."""
    try:
        tensors = load_file(path)
        with safetensors.safe_open(path, "pt") as handle:
            about = handle.metadata()
        if about.get("kind") == IMAGE_FOLDER:
            return *imagefolder.from_index(tensors, about), about["digest"]
        train, test = (ImageSet(tensors[f"{part}_images"], tensors[f"{part}_labels"]) for part in ("train", "test"))
        return train, test, about["digest"]
    except (OSError, KeyError, TypeError, AttributeError, safetensors.SafetensorError) as error:
        raise InputError(f"{path}: not a prepared data set ({error})") from None


def validation_size(images: int, validation: float) -> int:
    """Number of held-out images; `InputError` if nothing would be left to train on."""
    size = round(validation * images) if validation < 1 else int(validation)
    if not 0 < size < images:
        raise InputError(f"validation: {validation} holds out {size} of {images} training images; leave at least one")
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


def _read_digits() -> tuple[ImageSet, ImageSet]:
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = torch.from_numpy(np.rint(digits.images * (255 / 16)).astype(np.uint8))[:, None]  # grey levels 0..16
    labels = torch.from_numpy(digits.target.astype(np.int64))
    order = torch.from_numpy(np.random.default_rng(0).permutation(len(labels)))
    cut = round(len(labels) * DIGITS_TEST_SHARE)
    test, train = order[:cut], order[cut:]
    return ImageSet(images[train], labels[train]), ImageSet(images[test], labels[test])


def _read_cifar(root: Path, download: bool) -> tuple[ImageSet, ImageSet]:
    from torchvision.datasets import CIFAR10

    if not download:
        _check_folder(root)
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


def _open_parquet(path: Path) -> pq.ParquetFile:
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected CIFAR-10 as parquet with columns 'img' and 'label'")
    try:
        table = pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"{path}: truncated or not a parquet file ({one_line(error)})") from None
    missing = {"img", "label"} - set(table.schema_arrow.names)
    if missing:
        raise InputError(f"{path}: column {sorted(missing)[0]!r} is missing; found {table.schema_arrow.names}")
    return table


def _read_parquet(path: Path) -> ImageSet:
    table = _open_parquet(path)
    try:
        rows = table.read(columns=["img", "label"]).to_pydict()
        images = np.stack([_decode(row["bytes"]) for row in rows["img"]])
        labels = torch.tensor(rows["label"], dtype=torch.int64)
    except (pa.ArrowInvalid, OSError, UnidentifiedImageError, ValueError, TypeError, KeyError) as error:
        raise InputError(f"{path}: cannot be decoded ({one_line(error)})") from None
    if images.shape[1:] != (32, 32, 3):
        raise InputError(f"{path}: images have shape {images.shape[1:]}, expected 32 x 32 in RGB")
    if not 0 <= int(labels.min()) <= int(labels.max()) < 10:
        raise InputError(f"{path}: labels reach from {labels.min()} to {labels.max()}, expected 0 to 9")
    return ImageSet(torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(), labels)


def _decode(encoded: Any) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(io.BytesIO(encoded)).convert("RGB"))
