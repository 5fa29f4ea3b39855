"""Hugging Face's layout of data sets in parquet: which files are a split, and what their metadata say of classes."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from sacp.errors import InputError

FOLDERS = (".", "data")  # where the files of a data set lie, below its folder
FILE = re.compile(r"(?P<split>.+?)(-(?P<number>\d{5})-of-(?P<total>\d{5}))?\.parquet")


def files(root: Path, split: str) -> list[Path]:
    """The files of a split in their order: `train.parquet`, or `train-00000-of-00002.parquet` and so on.

    They lie in `root` or in `root/data`. An empty list if there are none.

    Raises:
        InputError: shards are missing, or files of several layouts are there.
    """
    found = [path for path in _files(root) if _of(path)["split"] == split]
    kinds = {(path.parent, _of(path)["total"]) for path in found}
    if len(kinds) > 1:
        raise InputError(
            f"{root}: {found[0].relative_to(root)} and {found[-1].relative_to(root)} are both the split '{split}'; "
            "expected one file, or the shards of one"
        )
    _check_complete(found)
    return found


def splits(root: Path) -> list[str]:
    """Names of the splits that files are there of."""
    return sorted({_of(path)["split"] for path in _files(root)})


def class_names(schema: pa.Schema, column: str) -> list[str] | None:
    """Names of the classes that the metadata of a file give for a column, in the order of their labels."""
    try:
        about = json.loads((schema.metadata or {})[b"huggingface"])
        names = about["info"]["features"][column]["names"]
    except (KeyError, TypeError, ValueError):
        return None
    return names if isinstance(names, list) and names else None


def _files(root: Path) -> list[Path]:
    return [path for folder in FOLDERS for path in sorted((root / folder).glob("*.parquet")) if _of(path)]


def _of(path: Path) -> dict[str, str]:
    """`split`, and `number` and `total` of a shard."""
    found = FILE.fullmatch(path.name)
    return found.groupdict() if found else {}


def _check_complete(shards: Sequence[Path]) -> None:
    """Raise `InputError` unless numbered files are all there."""
    for number, path in enumerate(shards):
        total = _of(path)["total"]
        if total and (int(_of(path)["number"]), int(total)) != (number, max(number + 1, len(shards))):
            raise InputError(
                f"{path}: one of {total} shards, of which {len(shards)} are here; expected all, from 00000 on"
            )
