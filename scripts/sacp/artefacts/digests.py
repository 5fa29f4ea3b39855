"""Content hashes of files, and of the code that a stage runs."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from sacp.artefacts.reach import Reach
from sacp.artefacts.statements import Piece


def file_digest(path: str | Path) -> str:
    """SHA-256 of a file's content."""
    with Path(path).open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


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
