"""What is shown of a run: Snakemake's records are counted, passed on, or left to its log file."""

import logging
from collections.abc import Callable, Mapping
from typing import Any

from snakemake_interface_logger_plugins.common import LogEvent

from snakemake_logger_plugin_stages.counts import Counts
from snakemake_logger_plugin_stages.shown import PlainLines
from snakemake_logger_plugin_stages.words import COMMAND_FAILED, duration, failure, is_chatter, numbers

TARGET = "all"  # a rule that only names what is wanted
STYLES = {logging.WARNING: "yellow", logging.ERROR: "red", logging.CRITICAL: "red"}


class Report:
    """Reads records in their order."""

    def __init__(self, shown: PlainLines, settings: Any, counts: Counts | None = None) -> None:
        """Settings are Snakemake's of its output."""
        self.shown, self.counts = shown, counts or Counts()
        quiet = {each.name.lower() for each in settings.quiet or ()}
        self._errors_only, self._shows_stages = "all" in quiet, not quiet & {"all", "progress"}
        self._shows_commands = settings.printshellcmds
        self._results, self._is_running = "", False
        self._wildcards: dict[int, Mapping[str, Any]] = {}  # by the number of the job
        self._events: dict[LogEvent, Callable[[Any], None]] = {
            LogEvent.RUN_INFO: self._run_begins, LogEvent.RESOURCES_INFO: self._resources,
            LogEvent.JOB_INFO: self._job_begins, LogEvent.JOB_FINISHED: self._job_ends,
            LogEvent.JOB_ERROR: self._job_fails, LogEvent.SHELLCMD: self._command, LogEvent.ERROR: self._error,
        }  # fmt: skip
        # Told by the stages, by each job of a group, or to Snakemake's log file alone.
        self._passed_over = {
            LogEvent.WORKFLOW_STARTED, LogEvent.JOB_STARTED, LogEvent.PROGRESS, LogEvent.GROUP_INFO,
            LogEvent.GROUP_ERROR, LogEvent.RULEGRAPH, LogEvent.DEBUG_DAG,
        }  # fmt: skip

    def handle(self, record: logging.LogRecord) -> None:
        """Take a record up."""
        event = getattr(record, "event", None)
        if hasattr(record, "jobs_left"):
            self._planned(record)
        elif event in self._events:
            self._events[event](record)
        elif event not in self._passed_over:
            self._message(record)

    def close(self) -> None:
        """Say how the run went; nothing if none has begun."""
        self.shown.stop()
        if not self._is_running:
            return
        self._is_running = False
        whole = self.counts.whole()
        is_done = whole.done >= whole.total
        if is_done and self._errors_only:
            return
        failed = f", {len(whole.failed)} failed" if whole.failed else ""
        passed = duration(self.counts.clock() - self.counts.began)
        results = f"; results: {self._results}" if self._results else ""
        text = f"{'done' if is_done else 'stopped'} after {passed}: {numbers(whole)} jobs{failed}{results}"
        self._say(text, "green" if is_done else "red")

    def _planned(self, record: Any) -> None:
        """A plan has been made: at the start, and again when a checkpoint is done."""
        self.counts.plan(record.jobs_left, record.growing)
        self._results = record.results

    def _resources(self, record: Any) -> None:
        self.counts.cores = getattr(record, "cores", self.counts.cores)

    def _run_begins(self, record: Any) -> None:
        if not self.counts.stages:  # no plan of ours has been told
            self.counts.plan({rule: left for rule, left in record.stats.items() if rule not in (TARGET, "total")})
        self._is_running = True
        if self._shows_stages:
            self.shown.start(self.counts)

    def _job_begins(self, record: Any) -> None:
        if not record.output:  # it names what is wanted, and does nothing
            return
        self._wildcards[record.jobid] = record.wildcards or {}
        stage = self.counts.begin(record.jobid, record.rule_name, record.threads)
        if self._shows_stages:
            self.shown.advanced(stage, self.counts)

    def _job_ends(self, record: Any) -> None:
        stage = self.counts.finish(record.job_id)
        if stage and self._shows_stages:
            self.shown.advanced(stage, self.counts)

    def _job_fails(self, record: Any) -> None:
        if self.counts.fail(record.jobid):
            wildcards = self._wildcards.get(record.jobid, {})
            self._say("\n".join(failure(record.rule_name, wildcards, record.rule_msg, record.log)), "red")

    def _command(self, record: Any) -> None:
        if self._shows_commands and getattr(record, "shellcmd", None):
            self._say(record.shellcmd)

    def _error(self, record: Any) -> None:
        """An exception; the failed command of a job is told with the job."""
        message = record.getMessage()
        if not COMMAND_FAILED.search(message):
            self._say(message, "red")

    def _message(self, record: logging.LogRecord) -> None:
        """What is no event: shown, unless it is of no use, or not wanted."""
        message = record.getMessage()
        least = logging.ERROR if self._errors_only else logging.WARNING
        if record.levelno >= least or not (self._errors_only or is_chatter(message)):
            self._say(message.strip("\n"), STYLES.get(record.levelno, ""))

    def _say(self, text: str, style: str = "") -> None:
        self.shown.say(text, style)
