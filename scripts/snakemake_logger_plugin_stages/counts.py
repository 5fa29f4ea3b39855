"""How far each stage of a run is, counted from Snakemake's events. A stage is a rule."""

import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

Clock = Callable[[], float]


@dataclass
class Stage:
    """Jobs of one rule; times are seconds of the run's clock."""

    rule: str
    total: int = 0
    grows: bool = False  # more jobs may come than are counted
    done: int = 0
    seconds: float = 0.0  # of those that are done, together
    threads: int = 1  # of one job
    running: dict[int, float] = field(default_factory=dict)  # when each began, by its number
    failed: set[int] = field(default_factory=set)
    began: float | None = None
    ended: float = 0.0

    @property
    def left(self) -> int:
        """Jobs that are still to end well."""
        return max(0, self.total - self.done - len(self.failed))

    @property
    def is_over(self) -> bool:
        """Whether all that is counted is done."""
        return self.done > 0 and self.done >= self.total and not self.running

    def elapsed(self, now: float) -> float:
        """Seconds since its first job began; when it is over, until its last one ended."""
        if self.began is None:
            return 0.0
        return (self.ended if self.is_over else now) - self.began

    def work_left(self, now: float) -> float | None:
        """Seconds of all jobs that are left, one after the other, by the mean of those that are done; None without one.

        What a running job takes beyond the mean is not known, and counted as nothing. On a cluster jobs begin when they
        are submitted, so that the mean has their wait in the queue.
        """
        if not self.done:
            return None
        mean = self.seconds / self.done
        waiting = max(0, self.left - len(self.running))
        return waiting * mean + sum(max(0.0, mean - (now - began)) for began in self.running.values())

    def seconds_left(self, now: float, cores: int | None) -> float | None:
        """Seconds until its last job ends if no other stage takes its place; None where that is not known.

        As many jobs run at once as `cores` have room for; where the number of cores is not known, as run now.
        """
        work = self.work_left(now)
        if not work:
            return None
        at_once = max(1, cores // self.threads) if cores else max(1, len(self.running))
        return work / max(1, min(at_once, self.left))


class Counts:
    """All stages, in the order in which they are first heard of. One thread changes them; others read under `lock`."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self.clock, self.began, self.lock = clock, clock(), threading.Lock()
        self.cores: int | None = None
        self.stages: dict[str, Stage] = {}
        self._of: dict[int, Stage] = {}  # stages of jobs by their number

    def plan(self, left: Mapping[str, int], growing: Collection[str] = ()) -> None:
        """Take over how many jobs are left, by rule."""
        with self.lock:
            for rule in left:
                self._stage(rule)
            for rule, stage in self.stages.items():
                stage.total, stage.grows = stage.done + left.get(rule, 0), rule in growing

    def begin(self, job: int, rule: str, threads: int) -> Stage:
        """A job has begun, or begins again."""
        with self.lock:
            stage, now = self._stage(rule), self.clock()
            stage.running[job], stage.threads = now, max(1, threads)
            stage.failed.discard(job)
            stage.began = now if stage.began is None else stage.began
            stage.total = max(stage.total, stage.done + len(stage.running) + len(stage.failed))
            self._of[job] = stage
            return stage

    def finish(self, job: int) -> Stage | None:
        """A job is done; its stage, if it is one that is counted."""
        stage = self._of.get(job)
        if stage is None or job not in stage.running:
            return None
        with self.lock:
            stage.ended = self.clock()
            stage.seconds += stage.ended - stage.running.pop(job)
            stage.done += 1
            return stage

    def fail(self, job: int) -> bool:
        """A job has failed; it may begin again. Whether that is news."""
        stage = self._of.get(job)
        if stage is None or job in stage.failed:
            return stage is None
        with self.lock:
            stage.running.pop(job, None)
            stage.failed.add(job)
        return True

    def whole(self) -> Stage:
        """The run as if it were one stage; it grows if a stage does."""
        stages, whole = self.stages.values(), Stage("all", began=self.began)
        whole.total, whole.done = sum(each.total for each in stages), sum(each.done for each in stages)
        whole.grows = any(each.grows for each in stages)
        for each in stages:
            whole.running |= each.running
            whole.failed |= each.failed
        return whole

    def seconds_left(self) -> tuple[float | None, bool]:
        """Seconds until the run ends, and whether that is all: no more, where a stage has no job that is done.

        All cores are busy to the end with the stages' work, or the longest stage alone takes longer. None where most
        of the jobs that are left are of stages without one that is done.
        """
        now, left = self.clock(), [stage for stage in self.stages.values() if stage.left]
        known = [stage for stage in left if stage.done]
        if 2 * sum(stage.left for stage in known) < sum(stage.left for stage in left):
            return None, False
        at_once = self.cores or max(1, sum(len(stage.running) for stage in left))
        work = sum((stage.work_left(now) or 0.0) * self._taken(stage) for stage in known)
        longest = max((stage.seconds_left(now, self.cores) or 0.0 for stage in known), default=0.0)
        is_all = known == left and not any(stage.grows for stage in left)
        return max(work / at_once, longest) or None, is_all

    def _taken(self, stage: Stage) -> int:
        """Cores that a job takes, or 1 where jobs are counted."""
        return min(stage.threads, self.cores) if self.cores else 1

    def _stage(self, rule: str) -> Stage:
        return self.stages.setdefault(rule, Stage(rule))
