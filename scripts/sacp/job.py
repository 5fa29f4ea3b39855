"""What every script does around its work: log to a file, use its threads, end a user's mistake in one line."""

import logging
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from sacp.errors import InputError
from sacp.resume import Sidecar, key_of

log = logging.getLogger(__name__)


@contextmanager
def logged(log_path: str | Path, threads: int = 1) -> Iterator[None]:
    """Run a block with logging to `log_path` and stderr; `InputError` ends the process in one line, status 1.

    SIGTERM and SIGUSR1 end it as an exit does, with status 128 + signal: what was half written is removed.

    Any other exception is ours: its traceback goes to the log and it is raised again.
    """
    Path(log_path).parent.mkdir(parents=True, exist_ok=True)
    handlers: list[logging.Handler] = [logging.StreamHandler()]
    leads = os.environ.get("RANK", "0") == "0"  # of the processes that torchrun started
    if leads:
        handlers.append(logging.FileHandler(log_path, mode="w"))
    form, level = "%(asctime)s %(message)s", logging.INFO if leads else logging.ERROR
    logging.basicConfig(level=level, format=form, datefmt="%H:%M:%S", handlers=handlers, force=True)
    logging.captureWarnings(True)
    torch.set_num_threads(threads)
    # Read when the first matrix product runs on a GPU; without it such products are not deterministic.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # The default action of these signals, which schedulers send, would leave temporary files behind.
    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, lambda number, frame: sys.exit(128 + number))
    started = time.monotonic()
    try:
        yield
    except InputError as error:
        log.error("error: %s", error)
        sys.exit(1)
    except Exception:
        log.exception("this is a defect of sacp, not of your input")
        raise
    log.info("done in %.1f s", time.monotonic() - started)


def device(name: str) -> torch.device:
    """The device for `auto`, `cpu` or `cuda`; `InputError` if a GPU is asked for and absent."""
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("device: 'cuda' asked for, but no GPU was found; expected 'auto' or 'cpu' on this machine")
    chosen = torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")
    log.info("runs on %s, CUDA_VISIBLE_DEVICES=%s", chosen, os.environ.get("CUDA_VISIBLE_DEVICES", "(not set)"))
    return chosen


def sidecar(log_path: str | Path, provenance: Mapping[str, Any], period_seconds: float) -> Sidecar:
    """The state of this job, kept beside the logs: <results>/logs/rule/name.log -> <results>/resume/rule/name.pt."""
    log_path = Path(log_path)
    path = log_path.parents[2] / "resume" / log_path.parent.name / f"{log_path.stem}.pt"
    return Sidecar(path, key_of(provenance), period_seconds)
