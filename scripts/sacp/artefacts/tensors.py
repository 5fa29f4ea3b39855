"""Files of tensors: in safetensors' format, or with plain values as `torch.save` writes them."""

import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from sacp.artefacts.files import atomic
from sacp.errors import InputError, one_line

METADATA = "__metadata__"  # safetensors' name for it in a file's header


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


def save_safetensors(
    path: str | Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write contiguous tensors on the CPU in safetensors' format. Equal ones give equal bytes.

    Takes twice their memory while it writes: safetensors' own writer takes none, but has temporary files that stay if
    it is killed, and that nobody else may read.
    """
    content = save(dict(tensors), None if metadata is None else dict(metadata))
    end = 8 + int.from_bytes(content[:8], "little")
    with atomic(path) as temporary, temporary.open("wb") as handle:
        handle.write(content[:8] + _in_order(content[8:end]))
        handle.write(memoryview(content)[end:])


def _in_order(header: bytes) -> bytes:
    """A header, of the same length, with its metadata in the order of their names: safetensors draws one by chance."""
    values = json.loads(header)
    if METADATA in values:
        values[METADATA] = dict(sorted(values[METADATA].items()))
    return json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode().ljust(len(header))
