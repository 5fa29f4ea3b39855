"""Find and read the provenance record of an artefact, whatever kind of file it is."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors

from sacp.errors import InputError, one_line
from sacp.files import load_torch, read_json

Record = dict[str, Any]
KINDS = (".pt", ".json", ".h5", ".parquet", ".safetensors")  # of files that can hold a record


def load(path: str | Path) -> Record:
    """Read the record that a file holds, or is.

    Raises:
        InputError: there is none, or the file is damaged.
    """
    path = Path(path)
    try:
        record = _read(path)
    except InputError:
        raise
    except Exception as error:  # readers of five formats have many words for a damaged file
        raise InputError(f"{path}: no provenance record can be read ({one_line(error)})") from None
    if not {"code", "inputs"} <= set(record):
        raise InputError(f"{path}: holds no provenance record")
    return record


def load_timed(path: str | Path) -> Record:
    """Read the provenance record of an artefact; `InputError` if there is none or it does not say how long it took."""
    record = load(path)
    if not {"started", "seconds"} <= set(record):
        raise InputError(f"{path}: its record does not say how long the job took; make it again")
    return record


def find(path: str | Path) -> tuple[Path, Record] | None:
    """The record of a file, and the file that holds it: this one, or one beside it that names it among its outputs."""
    path = Path(path)
    for holder in [path, *sorted(path.parent.glob("*.json")), *sorted(path.parent.glob("*.pt"))]:
        if holder.suffix not in KINDS or not holder.is_file():
            continue
        try:
            record = load(holder)
        except InputError:
            continue
        if holder == path or path.name in record.get("outputs", {}):
            return holder, record
    return None


def _read(path: Path) -> Record:
    """Where each kind of file keeps its record; a JSON file is one, or holds one."""
    if path.suffix == ".pt":
        return dict(load_torch(path, ("provenance",))["provenance"])
    if path.suffix == ".json":
        value = read_json(path)
        return dict(value.get("provenance", value))
    return dict(json.loads(_metadata(path)["provenance"]))


def _metadata(path: Path) -> Mapping[str, str]:
    if path.suffix == ".h5":
        import h5py  # here, as most jobs read no such file and would only wait for the import

        with h5py.File(path) as handle:
            return {"provenance": handle.attrs["provenance"]}
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq  # as above

        return {"provenance": pq.read_schema(path).metadata[b"provenance"].decode()}
    with safetensors.safe_open(path, "pt") as handle:
        return dict(handle.metadata())
