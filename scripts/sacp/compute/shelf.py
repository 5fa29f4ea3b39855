"""States that one job leaves for the next: each in a file of its own while the job runs, all in one archive then.

A state holds a network and its momentum, and a job leaves many: never more than one of them is in memory. The archive
is a zip of files as `torch.save` writes them, so that a later job reads those that it needs and no others.
"""

import glob
import io
import logging
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from sacp.artefacts.digests import file_digest
from sacp.artefacts.files import atomic, remove
from sacp.artefacts.tensors import save_torch
from sacp.compute.resume import Sidecar
from sacp.errors import InputError, one_line

log = logging.getLogger(__name__)
DIGESTS = "shelf"  # in a sidecar: SHA-256 of each state that its job has put down


class Shelf:
    """Where a job that resumes puts states down, beside its own."""

    def __init__(self, sidecar: Sidecar) -> None:
        """Look at what an earlier try has put down; where one is missing or another job's, the work starts anew.

        Args:
            sidecar: the job's own state, in a file whose name the others get. What it says of work done is worth
                nothing without the states of that work.
        """
        if sidecar.path is None:
            raise ValueError("states are put down beside the file of a sidecar, and this one has none")
        self.path = sidecar.path
        found: dict[int, str] = sidecar.state.get(DIGESTS, {})
        lost = [number for number, digest in found.items() if not self._holds(number, digest)]
        if lost:
            log.warning("saved state ignored, starting anew: %s is missing or changed", self._part(lost[0]))
            # What the job computes in is settled already.
            sidecar.state = {name: value for name, value in sidecar.state.items() if name == "precision"}
        self.digests: dict[int, str] = sidecar.state.setdefault(DIGESTS, {})

    def put(self, number: int, state: Mapping[str, Any]) -> None:
        """Put a state down: tensors and plain values."""
        save_torch(self._part(number), state)
        self.digests[number] = file_digest(self._part(number))

    def archive(self, path: str | Path) -> None:
        """Write all states into one file, and remove those of their own."""
        with atomic(path) as temporary, zipfile.ZipFile(temporary, "w") as handle:
            for number in self.digests:
                # Without a date: equal states give equal bytes.
                handle.writestr(zipfile.ZipInfo(_member(number)), self._part(number).read_bytes())
        for part in self.path.parent.glob(f"{glob.escape(self.path.stem)}.*{self.path.suffix}"):
            remove(part)

    def _part(self, number: int) -> Path:
        return self.path.with_suffix(f".{number}{self.path.suffix}")

    def _holds(self, number: int, digest: str) -> bool:
        part = self._part(number)
        return part.is_file() and file_digest(part) == digest


def taken(archives: Iterable[str | Path], number: int) -> dict[str, Any]:
    """A state from the archive that holds it; no code is run from it.

    Raises:
        InputError: no archive holds it, or one is damaged.
    """
    for path in archives:
        try:
            with zipfile.ZipFile(path) as handle:
                if _member(number) in handle.namelist():
                    content = io.BytesIO(handle.read(_member(number)))  # compared with its checksum
                    state: dict[str, Any] = torch.load(content, map_location="cpu", weights_only=True)
                    return state
        except Exception as error:  # the unpickler meets arbitrary bytes with arbitrary exceptions; no code has run
            raise InputError(f"{path}: not an archive of states ({one_line(error)})") from None
    raise InputError(f"state of candidate {number}: in none of {', '.join(map(str, archives))}; run its rung again")


def _member(number: int) -> str:
    return f"{number}.pt"
