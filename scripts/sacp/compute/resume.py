"""A long job's state in a file beside its outputs: a job that was killed resumes where it was.

Snakemake deletes the declared outputs of a job before it runs it again, so the state is no output. It is written to a
temporary name, synchronised and renamed; its key says which config, code and inputs it belongs to.
"""

import hashlib
import json
import logging
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from sacp.artefacts.clock import process_seconds
from sacp.artefacts.files import remove
from sacp.artefacts.tensors import load_torch, save_torch
from sacp.errors import InputError, Stopped

log = logging.getLogger(__name__)
STATE_KEYS = ("key", "machine", "seconds", "state")  # of the file
STOPS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)  # Slurm sends the first two before a time limit


def key_of(provenance: Mapping[str, Any]) -> str:
    """SHA-256 of what decides a result: settings, code, seed and the content of the inputs."""
    decides = {name: provenance[name] for name in ("settings", "code", "seed", "inputs")}
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()


class Stop:
    """Remembers the signal that asked a job to stop; 0 if none has."""

    def __init__(self) -> None:
        self.signal = 0

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Take a signal."""
        self.signal = number


class Sidecar:
    """What a long job needs to resume: `state` holds tensors and plain values.

    A file that is corrupt, or belongs to another key, is ignored with a warning: the job starts from scratch.
    """

    def __init__(self, path: Path | None = None, key: str = "", period_seconds: float = 60.0) -> None:
        """Read the state that an earlier try left at `path`; without a path nothing is kept."""
        self.path, self.key, self.period_seconds = path, key, period_seconds
        self.state: dict[str, Any] = {}
        self.earlier_seconds = 0.0  # taken by processes that were killed
        if path is not None and path.is_file():
            self._read(path)
        self.saved = time.monotonic()

    def _read(self, path: Path) -> None:
        try:
            content = load_torch(path, STATE_KEYS)
        except InputError as error:
            log.warning("saved state ignored, starting anew: %s", error)
            return
        if content["key"] != self.key:
            log.warning("saved state ignored, starting anew: %s belongs to another config, code or input", path)
            return
        if content["machine"] != machine():
            found, here = content["machine"], machine()
            log.warning("state was saved on %s, goes on on %s: the last bits may differ", found, here)
        self.state, self.earlier_seconds = dict(content["state"]), content["seconds"]

    @property
    def due(self) -> bool:
        """Whether the period since the last save is over."""
        return self.path is not None and time.monotonic() - self.saved >= self.period_seconds

    def save(self) -> None:
        """Write the state, whole or not at all."""
        if self.path is not None:
            seconds = self.earlier_seconds + process_seconds()
            content = {"key": self.key, "machine": machine(), "seconds": seconds, "state": self.state}
            save_torch(self.path, content)
        self.saved = time.monotonic()

    def pause(self, stop: Stop, part: str, state: Callable[[], Any]) -> None:
        """Save `state()` as a part if it is time to, or if a signal asked for an end; then leave.

        For work of one process, between two of its steps.
        """
        if stop.signal or self.due:
            self.state[part] = state()
            self.save()
        if stop.signal:
            log.info("stopped by signal %d; the state is saved", stop.signal)
            raise Stopped(128 + stop.signal)

    def forget(self) -> None:
        """Start anew: what an earlier try left is not used, and its time does not count."""
        self.state, self.earlier_seconds = {}, 0.0

    def clear(self) -> None:
        """Remove the file: the outputs are written."""
        if self.path is not None:
            remove(self.path)


def machine() -> str:
    """What decides the last bits besides code and inputs: device, number of CPU threads, version of torch."""
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    return f"{name}, {torch.get_num_threads()} threads, torch {torch.__version__}"


@contextmanager
def stop_requests() -> Iterator[Stop]:
    """While the block runs, signals that ask for an end are remembered instead of ending the process."""
    stop = Stop()
    before = {number: signal.signal(number, stop) for number in STOPS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
