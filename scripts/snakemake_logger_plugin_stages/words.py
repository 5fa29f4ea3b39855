"""Numbers, stages and failures in words."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from snakemake_logger_plugin_stages.counts import Counts, Stage

TAIL = 10  # lines of a log that says no `error:`
# What Snakemake tells of its own doing, job by job; warnings and errors are no part of this.
CHATTER = (
    "None", "Assuming unrestricted shared filesystem", "Using shell: ", "host: ", "Conda environments: ignored",
    "Singularity containers: ignored", "Group jobs: inactive", "Select jobs to execute", "Job rate limit reached",
    "DAG of jobs will be updated after completion", "Updating checkpoint dependencies", "Removing temporary output",
    "Removing output files of failed job", "Elapsed time: ", "SLURM run ID: ",
)  # fmt: skip
SUBMITTED = re.compile(r"Job \d+ has been submitted with SLURM jobid")
COMMAND_FAILED = re.compile(r"CalledProcessError in .*returned non-zero exit status (\d+)", re.DOTALL)


def stage_name(rule: str) -> str:
    """A rule in words."""
    return rule.replace("_", " ")


def duration(seconds: float) -> str:
    """Seconds to two figures that matter: `8 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`."""
    whole = round(seconds)
    for larger, smaller, size, part in (("d", "h", 86400, 3600), ("h", "min", 3600, 60), ("min", "s", 60, 1)):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size} {larger}" + (f" {rest} {smaller}" if rest else "")
    return f"{whole} s"


def numbers(stage: Stage) -> str:
    """Jobs that are done, of how many; a plus where more may come."""
    return f"{stage.done}/{stage.total}{'+' if stage.grows else ''}"


def busy(stage: Stage) -> str:
    """Jobs that run, and that have failed."""
    found = [f"{len(stage.running)} running"] if stage.running else []
    return ", ".join(found + ([f"{len(stage.failed)} failed"] if stage.failed else []))


def time_left(seconds: float | None, is_all: bool = True) -> str:
    """Time that is left; nothing where it is not known, or less than a second."""
    if seconds is None or seconds < 1:
        return ""
    return f"{'about' if is_all else 'at least'} {duration(seconds)} left"


def stage_cells(stage: Stage, counts: Counts) -> tuple[str, ...]:
    """A stage: name, numbers, what runs, time that it has taken and that is left."""
    now = counts.clock()
    left = time_left(stage.seconds_left(now, counts.cores), not stage.grows)
    return stage_name(stage.rule), numbers(stage), busy(stage), duration(stage.elapsed(now)), left


def whole_cells(counts: Counts) -> tuple[str, ...]:
    """The whole run, as `stage_cells`."""
    whole = counts.whole()
    passed = duration(counts.clock() - counts.began)
    return "all", numbers(whole), busy(whole), passed, time_left(*counts.seconds_left())


def is_chatter(message: str) -> bool:
    """Whether a message of Snakemake's says only what the stages show."""
    return not message or message.startswith(CHATTER) or bool(SUBMITTED.match(message))


def place(wildcards: Mapping[str, Any]) -> str:
    """Wildcards of a job."""
    return ", ".join(f"{name} {value}" for name, value in wildcards.items())


def reason(logs: Sequence[str]) -> list[str]:
    """Why a job has failed: the last `error:` of its log, or the end of it."""
    for path in map(Path, logs):
        try:
            lines = path.read_text(errors="replace").split("\n")
        except OSError as error:
            return [f"its log cannot be read: {error.strerror}: {path}"]
        lines = [line.rstrip() for line in lines if line.strip()]
        for line in reversed(lines):
            if found := re.search(r"\berror: .*", line):
                return [found[0], f"log: {path}"]
        if lines:
            return [*lines[-TAIL:], f"log: {path}"]
        return [f"its log is empty: {path}"]
    return ["it has no log"]


def failure(rule: str, wildcards: Mapping[str, Any], told: str | None, logs: Sequence[str]) -> list[str]:
    """A job that has failed: rule and wildcards, what its executor says, and why."""
    where = f" ({place(wildcards)})" if wildcards else ""
    said = [told] if told else []
    return [f"failed: {stage_name(rule)}{where}", *(f"    {line}" for line in (*said, *reason(logs)))]
