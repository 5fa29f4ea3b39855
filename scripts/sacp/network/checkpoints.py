"""State dicts in users' files, by their content and not their suffix; what holds none is refused by what it is.

No code from a file is run: torch's unpickler makes tensors and plain values alone (`weights_only`).
"""

import logging
import mmap
import re
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeGuard

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch.serialization import get_unsafe_globals_in_checkpoint

from sacp.errors import InputError, listed

log = logging.getLogger(__name__)
SAVE = "torch.save(network.state_dict(), path)"
AGAIN = "copy or download it again"
DEEPEST = 3  # how many dicts around a state dict are opened
ZIP, PICKLE, BRACE = b"PK", b"\x80", b"{"
HEADER = b"\0\0\0\0{"  # of safetensors, with the upper half of its length, which no file fills
OF_TORCH = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # torch's number, behind the protocol, in files of before zip files
# How files begin that are found in the place of weights -> what they are, and what to do.
OTHERS: dict[bytes, str] = {
    b"version https://git-lfs": "is a Git LFS pointer, which stands for the file; fetch that by `git lfs pull`",
    b"<": "is a web page or XML, no weights; download the file itself",
    BRACE: "is a text in JSON, no weights",
    b"\x1f\x8b": "is compressed by gzip; unpack it first",
    b"BZh": "is compressed by bzip2; unpack it first",
    b"\xfd7zXZ": "is compressed by xz; unpack it first",
    b"\x28\xb5\x2f\xfd": "is compressed by zstd; unpack it first",
    b"7z\xbc\xaf": "is an archive of 7-Zip; unpack it first",
    b"\x89HDF": "is an HDF5 file, as Keras writes them; expected weights of PyTorch",
    b"\x93NUMPY": "is an array of NumPy; expected weights of PyTorch",
    PICKLE: f"is a pickle that torch.save has not written; expected what {SAVE} writes",
}


def read(path: str | Path) -> dict[str, Tensor]:
    """The state dict of a file of `torch.save` or safetensors; one that is nested in it is taken out, which is logged.

    Raises:
        InputError: the file is missing, damaged, something else, or holds no state dict, or several.
    """
    path = Path(path)
    begin = _beginning(path)
    if begin[4:9] == HEADER:
        return _read_safetensors(path)
    if begin.startswith(ZIP):
        _check_archive(path)
    elif not (begin.startswith(PICKLE) and begin[2:].startswith(OF_TORCH)):
        raise InputError(f"{path}: {_other(path, begin)}")
    return _state_in(path, _unpickled(path))


def _beginning(path: Path) -> bytes:
    """The first bytes of a file."""
    if path.is_dir():
        raise InputError(f"{path}: is a folder; expected a file of weights")
    try:
        with path.open("rb") as file:
            begin = file.read(64)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; expected a state dict, as {SAVE} writes it") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    if not begin:
        raise InputError(f"{path}: is empty; {AGAIN}")
    return begin


def _other(path: Path, begin: bytes) -> str:
    """What a file is that neither torch nor safetensors has written."""
    text = begin.removeprefix(b"\xef\xbb\xbf").lstrip()
    for start, told in OTHERS.items():
        if text.startswith(start):
            return told
    if tarfile.is_tarfile(path):
        return "is an archive of tar; unpack it first"
    return f"is no file of torch.save or safetensors (it begins with {begin[:8]!r}); expected what {SAVE} writes"


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError):
        raise InputError(f"{path}: damaged or cut off, cannot be read as safetensors; {AGAIN}") from None


def _check_archive(path: Path) -> None:
    """A zip file is whole, and one of `torch.save`."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            damaged = archive.testzip()  # torch.load does not look at the checksums
    except Exception:  # zipfile meets arbitrary bytes with arbitrary exceptions
        raise InputError(f"{path}: damaged or cut off; {AGAIN}") from None
    if damaged is not None:
        raise InputError(f"{path}: damaged (wrong checksum of {damaged}); {AGAIN}")
    inner = {name.rpartition("/")[2] for name in names}
    if "constants.pkl" in inner:
        raise InputError(f"{path}: is a program of TorchScript; expected a state dict, as {SAVE} writes it")
    if "data.pkl" not in inner:
        found = f"with '{min(names)[:40]}'" if names else "with nothing in it"
        raise InputError(f"{path}: is a zip file {found}, no file of torch.save; expected what {SAVE} writes")


def _unpickled(path: Path) -> Any:
    try:
        with path.open("rb") as file:  # given a path, torch looks at its suffix
            return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # the unpickler meets arbitrary bytes with arbitrary exceptions; no code has run
        found = _objects(path, str(error))
    if not found:
        raise InputError(f"{path}: damaged or cut off; {AGAIN}")
    expected = f"expected its state dict, as {SAVE} writes it"
    if _contains(path, b"torch.nn.modules."):
        raise InputError(f"{path}: holds a whole network with its code ({listed(found)}), which is not run; {expected}")
    raise InputError(f"{path}: holds objects ({listed(found)}) that run code when they are read; {expected}")


def _objects(path: Path, refusal: str) -> list[str]:
    """Classes and functions that a pickle asks for and may not have; of files of before zip files, the first."""
    try:
        return sorted(get_unsafe_globals_in_checkpoint(path))
    except Exception:  # as above
        return re.findall(r"GLOBAL (\w[\w.]*)", refusal)[:1]


def _contains(path: Path, text: bytes) -> bool:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(text) >= 0


def _state_in(path: Path, value: Any) -> dict[str, Tensor]:
    """A state dict, or the only one that is nested in a dict of other things, at the least depth."""
    if _is_state(value):
        return value  # as it is: torch keeps versions of layers at it
    level, found = {"": value}, dict[str, dict[str, Tensor]]()
    for _ in range(DEEPEST):
        level = {f"{above}.{key}".lstrip("."): each for above, one in level.items() for key, each in _named(one)}
        found = found or {name: each for name, each in level.items() if _is_state(each)}
    if len(found) == 1:
        [(name, state)] = found.items()
        log.info("%s: the state dict is taken from its '%s'", path, name)
        return state
    if found:
        raise InputError(
            f"{path}: holds several state dicts ({listed(found)}); expected one, saved in a file of its own"
        )
    raise InputError(f"{path}: holds {_kind(value)}, expected a state dict, as {SAVE} writes it")


def _is_state(value: Any) -> TypeGuard[dict[str, Tensor]]:
    """Whether a value is names and tensors, and nothing else."""
    return (
        bool(value)
        and isinstance(value, dict)
        and all(isinstance(name, str) and isinstance(each, Tensor) for name, each in value.items())
    )


def _named(value: Any) -> list[tuple[str, Any]]:
    return [(key, each) for key, each in value.items() if isinstance(key, str)] if isinstance(value, dict) else []


def _kind(value: Any) -> str:
    if not isinstance(value, Mapping):
        return f"a {type(value).__name__}"
    others = [key for key, each in value.items() if not isinstance(each, Tensor)]
    if 0 < len(others) < len(value):
        return f"a dict of tensors and of others ({listed(others)})"
    return f"a dict of {listed(value)}" if value else "an empty dict"
