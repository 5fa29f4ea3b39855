"""CIFAR-10 from train.parquet and test.parquet in Hugging Face's layout: columns `img` {bytes, path} and `label`."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image, UnidentifiedImageError

from sacp.errors import InputError, one_line
from sacp.images.splits import ImageSet

PARTS = ("train", "test")


def check(dataset: Mapping[str, Any]) -> None:
    """Raise `InputError` if a file is missing or truncated, or lacks a column."""
    for part in PARTS:
        _opened(_path(dataset, part))


def count(dataset: Mapping[str, Any]) -> tuple[int, int]:
    """Numbers of training and test images."""
    train, test = (int(_opened(_path(dataset, part)).metadata.num_rows) for part in PARTS)
    return train, test


def read(dataset: Mapping[str, Any]) -> tuple[ImageSet, ImageSet]:
    """Training and test images; `InputError` if they are missing, truncated or foreign."""
    train, test = (_read_part(_path(dataset, part)) for part in PARTS)
    return train, test


def _path(dataset: Mapping[str, Any], part: str) -> Path:
    return Path(dataset["path"]) / f"{part}.parquet"


def _opened(path: Path) -> pq.ParquetFile:
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


def _read_part(path: Path) -> ImageSet:
    table = _opened(path)
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
