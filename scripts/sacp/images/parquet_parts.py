"""What the parquet files of a data set are, and what they say of its images: read in every job, so without torch."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from sacp.errors import InputError
from sacp.images import hugging_face
from sacp.images.parquet_table import Table, opened

TRAIN, TEST = PARTS = ("train", "test")  # splits
IMAGES, LABEL = ("img", "image"), "label"  # columns, where a config names none
CHANNELS = 3  # all images are shown in RGB
SHAPES = 64  # of data sets that are remembered


def files(dataset: Mapping[str, Any]) -> list[str]:
    """All files that are read; of a part that is missing, the one that it could be."""
    return [path.as_posix() for part in PARTS for path in _files(dataset, part)]


def shape(dataset: Mapping[str, Any]) -> tuple[int, int, int]:
    """Channels, image size in pixels and number of classes, as the files say.

    The size is that of the first training image. The classes are the config's, those of Hugging Face's metadata, or all
    from 0 to the largest label.
    """
    named = tuple((key, dataset[key]) for key in ("path", "image", "label", "test", "classes") if key in dataset)
    return _shape(named, tuple((path, *_stamp(path)) for path in files(dataset)))


@lru_cache(SHAPES)
def _shape(named: tuple[tuple[str, Any], ...], stamps: tuple[Any, ...]) -> tuple[int, int, int]:
    """The shape of files of these names, sizes and times: jobs of one data set ask for it again and again."""
    dataset = dict(named)
    tables = tables_of(dataset, TRAIN)
    return CHANNELS, len(next(tables[0].images())), _classes(tables, dataset.get("classes"))


def _stamp(path: str) -> tuple[int, int]:
    try:
        found = Path(path).stat()
    except OSError:
        return 0, 0  # opening it says what is wrong
    return found.st_size, found.st_mtime_ns


def _files(dataset: Mapping[str, Any], part: str) -> list[Path]:
    root, split = Path(dataset["path"]), _split(dataset, part)
    return hugging_face.files(root, split) or [root / f"{split}.parquet"]


def _split(dataset: Mapping[str, Any], part: str) -> str:
    split: str = dataset.get(part, part)
    if part == TEST and split == TRAIN:
        raise InputError(f"{dataset['path']}: `test` is '{split}', the training images; expected another split")
    return split


def tables_of(dataset: Mapping[str, Any], part: str) -> list[Table]:
    """The opened files of a part; `InputError` if one is missing, damaged or empty, or lacks a column."""
    paths = _files(dataset, part)
    if not paths[0].is_file():
        hint = _hint(Path(dataset["path"]), part)
        raise InputError(f"{paths[0]}: no such file, nor shards such as {part}-00000-of-00001.parquet{hint}")
    return [opened(path, dataset.get("image"), dataset.get("label", LABEL), IMAGES) for path in paths]


def _hint(root: Path, part: str) -> str:
    """Where a part may be that was not found."""
    others = ", ".join(sorted(set(hugging_face.splits(root)) - {TRAIN}))
    if part == TEST and others:
        return f"; of other splits there are {others}: name one by `test`"
    below = next((folder for folder in sorted(root.glob("*/")) if hugging_face.splits(folder)), None)
    return f"; {below} has parquet files: give it as `path`" if below else ""


def _classes(tables: Sequence[Table], given: int | None) -> int:
    names, path = tables[0].class_names(), tables[0].path
    if names and given not in (None, len(names)):
        raise InputError(f"{path}: column '{tables[0].label}' has {len(names)} classes, but `classes` is {given}")
    if found := given or len(names or ()):
        return found
    present = np.unique(np.concatenate([table.labels(None) for table in tables]))
    gaps = np.flatnonzero(present != np.arange(len(present)))
    if len(gaps) or len(present) < 2:
        raise InputError(
            f"{path}: column '{tables[0].label}' has labels from {present[0]} to {present[-1]}, but no training image "
            f"has {gaps[0] if len(gaps) else 1}; expected all from 0 on, or the number of classes as `classes`"
        )
    return len(present)
