"""A job that resumes, and one that also trains: on its own devices, in a precision of theirs, in several processes."""

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sacp.artefacts.record import computed_in
from sacp.compute import gpus, job, parallel
from sacp.compute.arithmetic import EXACT, Engine, engine_of, has_bfloat16
from sacp.compute.parallel import Team
from sacp.compute.resume import Sidecar, key_of
from sacp.errors import InputError

log = logging.getLogger(__name__)
SAVE_SECONDS = 60.0  # between two saved states, of a rule that gives no other


@dataclass(kw_only=True)
class ResumingJob(job.Job):
    """A job with its state in a file until its outputs are written."""

    sidecar: Sidecar


@dataclass(kw_only=True)
class LongJob(ResumingJob):
    """A resuming job with a device, and the processes that share it."""

    device: torch.device
    engine: Engine  # how it trains; exact if it trains nothing
    team: Team


@contextmanager
def resuming(snakemake: Any) -> Iterator[ResumingJob]:
    """Run a script's work as `job.running` does; killed and run again, it finds what it has saved."""
    with job.running(snakemake) as plain, _state(plain, snakemake) as sidecar:
        yield ResumingJob(**vars(plain), sidecar=sidecar)
    sidecar.clear()


@contextmanager
def running(snakemake: Any) -> Iterator[LongJob]:
    """Run a script's work as `job.running` does, on the config's `device`, in its number of `processes` if it has one.

    The whole script is run again by each of them, so nothing else stands outside the block.
    """
    cfg = snakemake.params.cfg
    gpus.claim(cfg["device"], snakemake.resources.gpu)
    parallel.launch(cfg.get("processes", 1))
    with (
        job.running(snakemake) as plain,
        parallel.joined(device(cfg["device"])) as (own, team),
        _state(plain, snakemake) as sidecar,
    ):
        plain.record["gpus"] = team.size if own.type == "cuda" else 0
        how = EXACT
        if "engine" in cfg:
            how = engine(cfg["engine"], own, team, sidecar)
            plain.record = computed_in(plain.record, how.precision)
        yield LongJob(**vars(plain), device=own, engine=how, team=team, sidecar=sidecar)
    if team.leads:
        sidecar.clear()


@contextmanager
def _state(plain: job.Job, snakemake: Any) -> Iterator[Sidecar]:
    """The state that an earlier try of a job has left, whose time counts, or an empty one."""
    period = float(snakemake.resources.get("save_seconds", SAVE_SECONDS))
    sidecar = Sidecar(state_path(plain.log_path), key_of(plain.record), period)
    yield sidecar
    plain.earlier_seconds = sidecar.earlier_seconds


def device(name: str) -> torch.device:
    """The device for `auto`, `cpu` or `cuda`; `InputError` if a GPU is asked for and absent."""
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("device: 'cuda' asked for, but no GPU was found; expected 'auto' or 'cpu' on this machine")
    chosen = torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")
    log.info("runs on %s, CUDA_VISIBLE_DEVICES=%s", chosen, os.environ.get("CUDA_VISIBLE_DEVICES", "(not set)"))
    return chosen


def engine(settings: Mapping[str, Any], own: torch.device, team: Team, sidecar: Sidecar) -> Engine:
    """How a job computes, from the config's `engine`; it never changes within a job.

    What `auto` means is settled where the job begins. One that began in float32 goes on in it on every machine. A
    state of another precision than this machine's, such as one in bfloat16 where it would be emulated, is not used.
    """
    # Processes of a team may have GPUs of different kinds.
    fast = not team.largest(int(not has_bfloat16(own)), own)
    began = sidecar.state.get("precision")
    chosen = engine_of(settings, own, fast and began != "float32")
    if began not in (None, chosen.precision):
        now = chosen.precision
        log.warning("saved state ignored, starting anew: it was trained in %s, this job trains in %s", began, now)
        sidecar.forget()
    sidecar.state["precision"] = chosen.precision
    log.info("trains in %s (precision: %s)", chosen.precision, settings["precision"])
    return chosen


def state_path(log_path: Path) -> Path:
    """Where a job's state is kept, beside the logs: <results>/logs/rule/name.log -> <results>/resume/rule/name.pt."""
    return log_path.parents[2] / "resume" / log_path.parent.name / f"{log_path.stem}.pt"
