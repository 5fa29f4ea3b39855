"""Records as Snakemake makes them of a run, and a clock to set."""

import logging
from types import SimpleNamespace
from typing import Any

import snakemake.api  # noqa: F401 - first, as its other modules import one another
from snakemake.settings.enums import Quietness
from snakemake_interface_logger_plugins.common import LogEvent


class Clock:
    """Seconds that a test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def settings(*quiet: str, **given: bool) -> SimpleNamespace:
    """Snakemake's settings of its output."""
    values = dict.fromkeys(("printshellcmds", "nocolor", "debug_dag", "verbose", "stdout", "dryrun"), False)
    return SimpleNamespace(**values | given, show_failed_logs=True, quiet=Quietness.parse_choices_set(quiet))


def record(message: str = "", level: int = logging.INFO, **facts: Any) -> logging.LogRecord:
    return logging.makeLogRecord({"msg": message, "levelno": level, "levelname": logging.getLevelName(level), **facts})


def planned(left: dict[str, int], growing: tuple[str, ...] = ()) -> logging.LogRecord:
    return record(level=logging.DEBUG, jobs_left=left, growing=growing, results="results/x")


def begins(number: int, rule: str, threads: int = 1, **wildcards: str) -> logging.LogRecord:
    return record(
        event=LogEvent.JOB_INFO, jobid=number, rule_name=rule, threads=threads, wildcards=wildcards, output=["file"]
    )


def ends(number: int) -> logging.LogRecord:
    return record(event=LogEvent.JOB_FINISHED, job_id=number)


def fails(number: int, rule: str, log: list[str], told: str | None = None) -> logging.LogRecord:
    return record(level=logging.ERROR, event=LogEvent.JOB_ERROR, jobid=number, rule_name=rule, log=log, rule_msg=told)


def run_begins(cores: int | None = 2, **stats: int) -> list[logging.LogRecord]:
    found = [record("Provided cores", event=LogEvent.RESOURCES_INFO, cores=cores)] if cores else []
    return [*found, record("Job stats:", event=LogEvent.RUN_INFO, stats={**stats, "total": sum(stats.values())})]
