"""Find and read the provenance record of an artefact: a JSON file beside it that names it among its outputs."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from sacp.artefacts.files import read_json
from sacp.errors import InputError

Record = dict[str, Any]
SUFFIX = "provenance.json"
KEYS = {"code", "inputs", "outputs", "started", "seconds"}  # of every record


def load(path: str | Path) -> Record:
    """Read a record; `InputError` if the file is missing, damaged, or not a record."""
    record = read_json(path)
    if not set(record) >= KEYS:
        raise InputError(f"{path}: not a provenance record")
    return record


def load_all(paths: Iterable[str | Path]) -> list[Record]:
    """Read records; after a winner's come those of the trainings that it was chosen from."""
    found = []
    for path in paths:
        record = load(path)
        found += [record, *record.get("trained", ())]
    return found


def find(path: str | Path) -> tuple[Path, Record] | None:
    """The record of a file and the file that holds it; None if nothing beside it says how it was made.

    Raises:
        InputError: a record is damaged.
    """
    path = Path(path)
    for holder in _holders(path):
        record = read_json(holder)
        is_record = set(record) >= KEYS  # else it is another tool's, beside the user's data
        if is_record and (holder == path or path.name in record["outputs"]):
            return holder, record
    return None


def _holders(path: Path) -> Iterator[Path]:
    """Records that may name a file: itself, the one with its name, the folder's, then all others beside it.

    Not those that are being written: their temporary names begin with a dot.
    """
    likely = [path] if path.name.endswith(SUFFIX) else []
    likely += [path.with_name(f"{path.name.partition('.')[0]}.{SUFFIX}"), path.with_name(SUFFIX)]
    yield from (holder for holder in likely if holder.is_file())
    yield from (holder for holder in sorted(path.parent.glob(f"[!.]*{SUFFIX}")) if holder not in likely)
