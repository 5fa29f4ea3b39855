"""Images and labels of any data set in Hugging Face's layout of parquet files, all of one size, held in memory."""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import torch

from sacp.errors import InputError
from sacp.images.parquet_parts import CHANNELS, PARTS, shape, tables_of
from sacp.images.parquet_table import Table
from sacp.images.splits import ImageSet


def check(dataset: Mapping[str, Any]) -> None:
    """Raise `InputError` if files or columns are missing, truncated or of another form, or labels are no classes."""
    _, size, classes = shape(dataset)
    for table in chain(*_parts(dataset)):
        table.labels(classes)
        next(table.images(size))


def count(dataset: Mapping[str, Any]) -> tuple[int, int]:
    """Numbers of training and test images."""
    train, test = (sum(table.rows for table in tables_of(dataset, part)) for part in PARTS)
    return train, test


def read(dataset: Mapping[str, Any]) -> tuple[ImageSet, ImageSet]:
    """Training and test images; `InputError` names the file, column and row of what is not as it should be."""
    _, size, classes = shape(dataset)
    train, test = (_read_part(tables, size, classes) for tables in _parts(dataset))
    return train, test


def _parts(dataset: Mapping[str, Any]) -> list[list[Table]]:
    """The files of both parts; `InputError` if they name their classes in different ways."""
    parts = [tables_of(dataset, part) for part in PARTS]
    named = [(table.path, names) for table in chain(*parts) if (names := table.class_names())]
    for path, names in named[1:]:
        if names != named[0][1]:
            raise InputError(
                f"{path}: has other class names, or in another order, than {named[0][0]}; expected the same"
            )
    return parts


def _read_part(tables: Sequence[Table], size: int, classes: int) -> ImageSet:
    labels = np.concatenate([table.labels(classes) for table in tables])
    images = torch.empty((len(labels), CHANNELS, size, size), dtype=torch.uint8)
    row = 0
    for table in tables:
        for pixels in table.images(size):
            images[row] = torch.from_numpy(pixels.copy()).permute(2, 0, 1)
            row += 1
    return ImageSet(images, torch.from_numpy(labels))
