"""What every script does around its work: log to a file, use its threads, end a user's mistake in one line."""

import logging
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from sacp.errors import InputError

log = logging.getLogger(__name__)


@contextmanager
def logged(log_path: str | Path, threads: int = 1) -> Iterator[None]:
    """Run a block with logging to `log_path` and stderr; `InputError` ends the process in one line, status 1.

    SIGTERM ends it as an exit does, with status 143: what was half written is removed.

    Any other exception is ours: its traceback goes to the log and it is raised again.
    """
    Path(log_path).parent.mkdir(parents=True, exist_ok=True)
    handlers: list[logging.Handler] = [logging.FileHandler(log_path, mode="w"), logging.StreamHandler()]
    form = "%(asctime)s %(message)s"
    logging.basicConfig(level=logging.INFO, format=form, datefmt="%H:%M:%S", handlers=handlers, force=True)
    torch.set_num_threads(threads)
    # The default action of SIGTERM, which schedulers send, would leave temporary files behind.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
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
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")
