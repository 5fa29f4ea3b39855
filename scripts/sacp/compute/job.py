"""What every script does around its work: log, report a user's mistake in one line, record how outputs were made."""

import gc
import logging
import math
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from sacp.artefacts import record as provenance
from sacp.artefacts.files import why_not_written, write_json, writing
from sacp.artefacts.inputs import checked
from sacp.artefacts.lookup import READER
from sacp.errors import InputError, Stopped, asked, out_of_memory

log = logging.getLogger(__name__)
CHECKED = "largest_checked_gb"  # of the config; no param, so that it reruns nothing
# In the environment of jobs whose failures are shown with the errors of their logs.
SHOWN = "SACP_JOBS_ARE_SHOWN"


@dataclass
class Job:
    """One job of the workflow, as its script sees it."""

    rule: str
    cfg: Mapping[str, Any]  # the part of the resolved config that the stage uses
    seed: int | None
    given: Any  # input files, by name or in their order
    out: Any  # output files; `provenance` is written by the job itself
    wildcards: Any
    threads: int
    log_path: Path
    results: Path | None  # the folder of all that the run makes; None if the log lies elsewhere
    record: dict[str, Any]  # how the outputs are made; finished when they are
    largest: float = math.inf  # bytes of the largest file that is compared with its record
    facts: dict[str, Any] = field(default_factory=dict)  # what else the record says
    earlier_seconds: float = 0.0  # taken by processes of this job that were killed

    @classmethod
    def of(cls, snakemake: Any) -> "Job":
        """The job that Snakemake describes to a script. Reads the inputs, and compares them with their records."""
        cfg, wildcards = snakemake.params.get("cfg", {}), snakemake.wildcards
        seed = int(wildcards.seed) if "seed" in wildcards.keys() else None
        log_path = Path(snakemake.log[0])
        results = next((folder.parent for folder in log_path.parents if folder.name == "logs"), None)
        made_in = None if snakemake.rule == READER else results
        largest = 1e9 * snakemake.config.get(CHECKED, math.inf)
        inputs = checked(snakemake.input, made_in, largest)
        record = provenance.record(
            snakemake.rule, cfg, snakemake.params.code, inputs, seed, results,
            Path(snakemake.output.provenance), snakemake.threads,
        )  # fmt: skip
        return cls(
            snakemake.rule, cfg, seed, snakemake.input, snakemake.output, wildcards, snakemake.threads,
            log_path, results, record, largest,
        )  # fmt: skip

    def also_read(self, *paths: Path) -> None:
        """Compare files that the inputs lead to with their records, and name them in this job's."""
        found = checked(paths, self.results, self.largest)
        self.record["inputs"] |= {each.path.as_posix(): each.digest for each in found}

    def finish(self) -> None:
        """Write the record of all outputs beside them."""
        outputs = [path for path in self.out if path != self.out.provenance]
        write_json(self.out.provenance, provenance.finished(self.record, outputs, self.earlier_seconds, self.facts))


@contextmanager
def running(snakemake: Any) -> Iterator[Job]:
    """Run a script's work, with its log in `log:` and on stderr; when it ends well, its record is written.

    `InputError` and want of memory end the process in one line, status 1. SIGTERM and SIGUSR1 end it as an exit does,
    with status 128 + signal: what was half written is removed. Any other exception is ours: its traceback goes to the
    log and it is raised again.
    """
    _use_threads(snakemake.threads)
    gc.freeze()  # what was imported stays to the end; not scanning it again saves half a second with torch
    # The default action of these signals, which schedulers send, would leave temporary files behind.
    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, _stop)
    started = time.monotonic()
    try:
        log_file = _log_to(Path(snakemake.log[0]))
        job = Job.of(snakemake)
        yield job
        if leads():
            job.finish()
    except InputError as error:
        log.error("error: %s", error)
        sys.exit(1)
    except Exception as error:
        if out_of_memory(error):
            log.error("error: out of memory%s; give the job more, or lower the sizes of its settings", asked(error))
            sys.exit(1)
        log.exception("this is a defect of sacp, not of your input")
        raise
    log.info("done in %.1f s", time.monotonic() - started)
    if log_file and log_file.lost:
        log.warning("%s: lines are missing: %s", log_file.path, log_file.lost)


def _stop(number: int, frame: FrameType | None) -> None:
    raise Stopped(128 + number)


def leads() -> bool:
    """Whether this process writes files, of those that torchrun started for the job."""
    return os.environ.get("RANK", "0") == "0"


class LogFile(logging.FileHandler):
    """A job's log. No job ends because its log has no room: lines that do not go in are told once, at a good end."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, mode="w")
        self.path, self.lost = path, ""  # why lines were not written

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (logging's name)
        """Remember why a line was not written."""
        error = sys.exc_info()[1]
        reason = why_not_written(error, self.path.parent) if error else None
        if reason is None:
            super().handleError(record)
        else:
            self.lost = reason

    def close(self) -> None:
        """Close the file; lines that still wait for room are lost."""
        with suppress(OSError):
            super().close()


class Untold(logging.Filter):
    """Lets through what who reads the log of failed jobs does not know: warnings, and errors that the log has not."""

    def __init__(self, log_file: LogFile) -> None:
        super().__init__()
        self.log_file = log_file

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record goes to stderr."""
        return record.levelno == logging.WARNING or (record.levelno > logging.WARNING and bool(self.log_file.lost))


def _log_to(path: Path) -> LogFile | None:
    """Log to stderr and, in the process that writes files, to `path`; `InputError` if it cannot be opened."""
    stderr, log_file = logging.StreamHandler(), None
    handlers = list[logging.Handler]()
    if leads():
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            log_file = LogFile(path)
        handlers.append(log_file)
    if log_file and SHOWN in os.environ:
        stderr.addFilter(Untold(log_file))
    handlers.append(stderr)  # after the file, of which its filter asks whether a line is there
    form, level = "%(asctime)s %(message)s", logging.INFO if leads() else logging.ERROR
    logging.basicConfig(level=level, format=form, datefmt="%H:%M:%S", handlers=handlers, force=True)
    logging.captureWarnings(True)
    return log_file


def _use_threads(number: int) -> None:
    """Threads of the libraries that compute; torch takes them where it is loaded already, and when it is loaded."""
    os.environ["OMP_NUM_THREADS"] = str(number)
    # Read when the first matrix product runs on a GPU; without it such products are not deterministic.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(number)
