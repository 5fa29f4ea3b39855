"""The wall time of jobs on some cores and GPUs, and the table of a forecast."""

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sacp.catalogue.kinds import KINDS, TRAIN

# Rules whose jobs take long; a baseline's is among them if it tunes networks, or trains.
STAGES = (
    "prepare_data", "train_base", "sample_configs", "tune_sample", "train_encoder", "find_configs", "score_candidates",
    "rescore_candidates", "tune_shard", "tune_rung", "train_candidate", "train_sparse",
    *dict.fromkeys(kind.rule for kind in KINDS.values() if kind.rule and (kind.tunings or kind.rule == TRAIN)),
)  # fmt: skip
REST = "rest"  # the stage of all small jobs
SHARED, START, TOTAL = "all", "snakemake_start", "total"  # jobs of no single experiment; two rows that are no stages
COLUMNS = (
    "experiment", "stage", "jobs", "seconds_per_job", "devices_per_job", "device_hours", "wall_seconds",
    "wall_seconds_low", "wall_seconds_high",
)  # fmt: skip


@dataclass(frozen=True)
class Job:
    """One job of the run; it starts when the jobs named in `after` are done and its cores and GPUs are free."""

    name: str  # the rule, then what else tells it apart, with slashes
    experiment: str
    seconds: float
    cores: int = 1
    gpus: int = 0
    after: tuple[str, ...] = ()
    turnover: float = 0.0  # seconds that its cores and GPUs are taken after its work

    @property
    def rule(self) -> str:
        """The rule that runs it."""
        return self.name.partition("/")[0]


@dataclass(frozen=True)
class Limits:
    """What Snakemake was given; `math.inf` where nothing limits it."""

    cores: float
    gpus: float


def stage_of(rule: str) -> str:
    """The stage that a rule's jobs are counted in."""
    return rule if rule in STAGES else REST


def wall_seconds(jobs: Sequence[Job], limits: Limits) -> float:
    """Wall time of `jobs`: each starts as soon as it can, in their order.

    A job that asks for more than there is gets what there is, as in Snakemake.
    """
    waiting, done, now = list(jobs), set[str](), 0.0
    running: list[tuple[float, int]] = []  # end, number of the job
    cores, gpus = limits.cores, limits.gpus
    numbers = {job.name: number for number, job in enumerate(jobs)}
    while waiting or running:
        for job in tuple(waiting):
            need = min(job.cores, limits.cores), min(job.gpus, limits.gpus)
            if need[0] <= cores and need[1] <= gpus and done.issuperset(job.after):
                cores, gpus = cores - need[0], gpus - need[1]
                heapq.heappush(running, (now + job.seconds + job.turnover, numbers[job.name]))
                waiting.remove(job)
        now, number = heapq.heappop(running)
        job = jobs[number]
        cores, gpus = cores + min(job.cores, limits.cores), gpus + min(job.gpus, limits.gpus)
        done.add(job.name)
    return now


def devices(job: Job, limits: Limits, on_gpu: bool) -> float:
    """Devices that a job takes: GPUs where networks are trained on GPUs, CPU cores elsewhere."""
    return min(job.gpus, limits.gpus) if on_gpu else min(job.cores, limits.cores)


def table(
    jobs: Sequence[Job], bounds: tuple[Sequence[Job], Sequence[Job]], start_seconds: float, limits: Limits, on_gpu: bool
) -> list[dict[str, Any]]:
    """Rows of `COLUMNS`: one per experiment and stage, one for Snakemake's own start, and the total.

    Args:
        jobs: of the run as it is expected.
        bounds: the same jobs with small and with large candidates, for the range of the total's wall time.
        start_seconds: what Snakemake takes before the first job.
        limits: cores and GPUs that it was given.
        on_gpu: whether networks are trained on GPUs.
    """
    rows = []
    for experiment in dict.fromkeys(job.experiment for job in jobs):
        for stage in (*STAGES, REST):
            here = [job for job in jobs if (job.experiment, stage_of(job.rule)) == (experiment, stage)]
            if here:
                rows.append({"experiment": experiment, "stage": stage, **_summary(here, limits, on_gpu)})
    wall, low, high = (round(start_seconds + wall_seconds(each, limits), 1) for each in (jobs, *bounds))
    start = {"experiment": SHARED, "stage": START, "seconds_per_job": round(start_seconds, 3)}
    total = {"experiment": SHARED, "stage": TOTAL, "jobs": len(jobs), "wall_seconds": wall}
    total |= {"wall_seconds_low": low, "wall_seconds_high": high}
    hours = sum(job.seconds * devices(job, limits, on_gpu) for job in jobs) / 3600
    return [*rows, start, total | {"device_hours": round(hours, 6)}]


def _summary(jobs: Sequence[Job], limits: Limits, on_gpu: bool) -> dict[str, Any]:
    taken = [devices(job, limits, on_gpu) for job in jobs]
    return {
        "jobs": len(jobs),
        "seconds_per_job": round(sum(job.seconds for job in jobs) / len(jobs), 3),
        "devices_per_job": sum(taken) / len(jobs),
        "device_hours": round(sum(job.seconds * number for job, number in zip(jobs, taken, strict=True)) / 3600, 6),
    }


def as_text(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """A table for the log, empty cells where there is no value."""
    import pandas as pd  # here, for a log alone

    return "\n" + pd.DataFrame(list(rows), columns=list(columns)).astype(object).fillna("").to_string(index=False)
