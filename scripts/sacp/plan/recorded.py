"""What files were made with: their records say it, where Snakemake does not know it or knows it of other files.

Snakemake notes the params of each file that it makes in `.snakemake`. Without that (it was deleted, or only the results
were copied) it takes every file that is there for up to date, whatever the config says; and it notices nothing where
another run's file was put in its place. So params are compared with the records of the files too. Seen in Snakemake
9.27 (`snakemake.persistence`).
"""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from snakemake.persistence import NO_PARAMS_CHANGE, ParamsChange
from snakemake.persistence.file import FilePersistence

from sacp.artefacts import lookup
from sacp.errors import InputError

PARTS = {"settings": "cfg", "code": "code"}  # of a record, and the params that they were


class RecallingPersistence(FilePersistence):  # type: ignore[misc]
    """Snakemake's memory of what files were made with, completed by their records."""

    def has_metadata(self, job: Any) -> bool:
        """Whether anything is known of a job's files."""
        return super().has_metadata(job) or _record(job) is not None

    def params_changed(self, job: Any, file: str | None = None) -> ParamsChange:
        """What differs between a job's params and those that its files were made with."""
        return super().params_changed(job, file) | _changes(job)


def _changes(job: Any) -> ParamsChange:
    record = _record(job)
    if record is None:
        return NO_PARAMS_CHANGE
    # As JSON has them, which knows no tuples and no numbers as keys.
    now = json.loads(json.dumps({part: job.params.get(name, {}) for part, name in PARTS.items()}))
    old, new = (_flat({part: each[part] for part in PARTS}) for each in (record, now))
    return ParamsChange(only_old=old - new, only_new=new - old, files={job.output.provenance})


def _flat(parts: Mapping[str, Mapping[str, Any]]) -> set[str]:
    return {f"{name}: {json.dumps(value, sort_keys=True)}" for part in parts.values() for name, value in part.items()}


def _record(job: Any) -> lookup.Record | None:
    """The record of a job's files, if there is one and it is whole: a damaged one is refused by who reads it."""
    path = job.output.get("provenance")
    try:
        state = Path(path).stat() if path else None
    except OSError:
        return None
    return _loaded(path, state.st_mtime_ns, state.st_size) if state else None


@cache
def _loaded(path: str, _: int, __: int) -> lookup.Record | None:
    try:
        return lookup.load(path)
    except InputError:
        return None
