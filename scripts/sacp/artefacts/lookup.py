"""Find and read the provenance record of an artefact: a JSON file beside it that names it among its outputs."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from sacp.artefacts.digests import unsealed
from sacp.artefacts.files import read_json
from sacp.errors import InputError

Record = dict[str, Any]
SUFFIX = "provenance.json"
READER = "prepare_data"  # the rule whose inputs are the user's, wherever they lie
TEMPORARY = "temporary"  # of some records: outputs that are deleted when all that reads them is made


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_text_or_null(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _is_object_of_texts(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_text, value.values()))


def _is_lineage(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    parts = [value.get("code"), value.get("versions"), value.get("precision", {})]
    lists = [each for part in parts for each in (part.values() if isinstance(part, dict) else [None])]
    return all(isinstance(each, list) and all(map(_is_text, each)) for each in lists)


KINDS: dict[str, tuple[str, Callable[[Any], bool]]] = {  # what stands under each key of every record
    "rule": ("a text", _is_text),
    "settings": ("an object", _is_object),
    "code": ("an object of texts", _is_object_of_texts),
    "seed": ("a number or null", lambda value: value is None or _is_number(value)),
    "results": ("a text or null", _is_text_or_null),
    "place": ("a text or null", _is_text_or_null),
    "inputs": ("an object of texts", _is_object_of_texts),
    "outputs": ("an object of texts", _is_object_of_texts),
    "commit": ("a text or null", _is_text_or_null),
    "versions": ("an object of texts", _is_object_of_texts),
    "device": ("a text", _is_text),
    "cores": ("a number", _is_number),
    "gpus": ("a number", _is_number),
    "started": ("a text", _is_text),
    "seconds": ("a number", _is_number),
}
# What a winner's record says of each training that it was chosen from.
OF_TRAINING = ("rule", "code", "seed", "commit", "versions", "device", "cores", "gpus", "started", "seconds")


def _are_trainings(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(each, dict)
        and each.keys() >= {*OF_TRAINING}
        and all(KINDS[key][1](each[key]) for key in OF_TRAINING)
        for each in value
    )


MAY_LACK: dict[str, tuple[str, Callable[[Any], bool]]] = {  # of some records
    "lineage": ("an object of lists of texts under 'code' and 'versions'", _is_lineage),
    "precision": ("a text", _is_text),
    "data_digest": ("a text", _is_text),
    "trained": (f"a list of objects with {', '.join(OF_TRAINING)}", _are_trainings),
}


def load(path: str | Path) -> Record:
    """Read a record; `InputError` if the file is missing, damaged, or not a record."""
    return _checked(path, read_json(path))


def load_all(paths: Iterable[str | Path]) -> list[Record]:
    """Read records; after a winner's come those of the trainings that it was chosen from."""
    found = []
    for path in paths:
        record = load(path)
        found += [record, *record.get("trained", ())]
    return found


def find(path: str | Path) -> tuple[Path, Record] | None:
    """The record of a file and the file that holds it; None if nothing beside it says how it was made.

    A file of a record's name that has less than half of a record's keys is another tool's, beside the user's data.

    Raises:
        InputError: a record is damaged.
    """
    path = Path(path)
    for holder in _holders(path):
        record = read_json(holder)
        if 2 * len(KINDS.keys() & record.keys()) > len(KINDS):
            _checked(holder, record)
            if holder == path or path.name in record["outputs"]:
                return holder, record
    return None


def _checked(path: str | Path, record: Record) -> Record:
    """A record whose keys are all there and hold what they should; `InputError` names the first that does not."""
    for key, (expected, is_right) in (KINDS | MAY_LACK).items():
        if key not in record and key in KINDS:
            raise InputError(f"{path}: not a provenance record (no '{key}'; expected {expected})")
        if key in record and not is_right(record[key]):
            found = f"{record[key]!r:.40}"
            raise InputError(f"{path}: not a provenance record ('{key}' is {found}; expected {expected})")
    return unsealed(path, record)


def _holders(path: Path) -> Iterator[Path]:
    """Records that may name a file: itself, the one with its name, the folder's, then all others beside it.

    Not those that are being written: their temporary names begin with a dot.
    """
    likely = [path] if path.name.endswith(SUFFIX) else []
    likely += [path.with_name(f"{path.name.partition('.')[0]}.{SUFFIX}"), path.with_name(SUFFIX)]
    others = [holder for holder in sorted(path.parent.glob(f"[!.]*{SUFFIX}")) if holder not in likely]
    yield from (holder for holder in [*likely, *others] if holder.is_file())
