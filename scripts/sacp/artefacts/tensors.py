"""Files of tensors and plain values that `torch.save` wrote."""

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from sacp.artefacts.files import atomic
from sacp.errors import InputError, one_line


def save_torch(path: str | Path, value: Mapping[str, Any]) -> None:
    """Write a dict of tensors and plain values. Equal values give equal bytes: no name or time is in them."""
    with atomic(path) as temporary, temporary.open("wb") as handle:
        torch.save(dict(value), handle)


def load_torch(path: str | Path, keys: Sequence[str]) -> dict[str, Any]:
    """Read a dict of tensors and plain values that `torch.save` wrote; no code is run from it.

    Raises:
        InputError: the file is missing, corrupt, or lacks one of `keys`.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()  # torch.load does not look at the checksums
        if damaged is not None:
            raise ValueError(f"wrong checksum of {damaged}")
        value = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the unpickler meets arbitrary bytes with arbitrary exceptions; no code has run
        raise InputError(f"{path}: corrupt or not a checkpoint ({one_line(error)})") from None
    if not isinstance(value, dict) or any(key not in value for key in keys):
        raise InputError(f"{path}: not a checkpoint of this kind; expected the keys {', '.join(keys)}")
    return value
