"""Content hashes of files, of JSON objects, and of the code that a stage runs."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sacp.artefacts.reach import Reach
from sacp.artefacts.statements import Piece
from sacp.errors import InputError

SEAL = "sha256"  # the key of an object that holds the digest of its other keys


def file_digest(path: str | Path) -> str:
    """SHA-256 of a file's content."""
    with Path(path).open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def sealed(value: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON object with the SHA-256 of all its other keys, whatever their order."""
    plain = json.loads(json.dumps({key: each for key, each in value.items() if key != SEAL}))
    return {**plain, SEAL: hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()}


def unsealed(path: str | Path, value: dict[str, Any]) -> dict[str, Any]:
    """An object that was read from `path`; `InputError` if it is not the one that was sealed."""
    if value.get(SEAL) != sealed(value)[SEAL]:
        raise InputError(f"{path}: damaged or changed since it was written: '{SEAL}' is not that of its content")
    return value


def code_digests(script: str | Path, also: Iterable[str] = ()) -> dict[str, str]:
    """What a job's code means: SHA-256 of the script by its name, and of what it is told to load by import path.

    Each covers those definitions of the library that it reaches, however deep. Comments, docstrings, layout, the order
    of definitions and the place of the checkout leave it as it is.

    Args:
        script: its library is the package `sacp` beside it.
        also: import paths `module:name` that the job is told to load at run time, of the library or of a user's own.
    """
    script = Path(script)
    found = {script.stem: _digest(Reach(script.parent, script))}
    return found | {path: _digest(Reach(script.parent, also=[path])) for path in sorted(set(also))}


def _digest(reach: Reach) -> str:
    free = [_text(piece) for piece in reach.counted if piece.place is None]
    texts = [*sorted([*free, *reach.missing]), *_in_order(reach.counted)]
    return hashlib.sha256("\0\0".join(texts).encode()).hexdigest()


def _text(piece: Piece) -> str:
    # Places are left out: statements that do not count have one too.
    after = piece.after if piece.place is None else ""
    return f"{piece.module.name}\0{','.join(piece.names)}\0{after}\0{piece.meaning}"


def _in_order(counted: Iterable[Piece]) -> list[str]:
    """The statements of each module whose order counts, one after the other."""
    placed = [(piece.module.name, piece.place, _text(piece)) for piece in counted if piece.place is not None]
    return [text for _, _, text in sorted(placed)]


def modules(script: str | Path, also: Iterable[str] = ()) -> set[Path]:
    """Files of all modules that a script imports, however deep, those outside the library and the script included."""
    reach = Reach(Path(script).parent, Path(script), also)
    return {path for path in reach.modules if path.is_file()}


def definitions(script: str | Path, also: Iterable[str] = ()) -> set[str]:
    """What the digests of a script count, as `module:name`; statements that define no name are left out."""
    counted = Reach(Path(script).parent, Path(script), also).counted
    return {f"{piece.module.name}:{name}" for piece in counted if not piece.imported for name in piece.names}
