"""Snakemake's records in, lines out."""

import io
import logging
import re

import pytest
from run_records import Clock, begins, ends, fails, planned, record, run_begins, settings
from snakemake_interface_logger_plugins.common import LogEvent
from snakemake_logger_plugin_stages.counts import Counts
from snakemake_logger_plugin_stages.report import Report
from snakemake_logger_plugin_stages.shown import PlainLines
from snakemake_logger_plugin_stages.words import duration


class Run:
    """A run that is told by records and shown in plain lines."""

    def __init__(self, *quiet: str, **given: bool) -> None:
        self.clock, self.stream = Clock(), io.StringIO()
        self.report = Report(PlainLines(self.stream), settings(*quiet, **given), Counts(self.clock))

    def told(self, *records: logging.LogRecord) -> list[str]:
        """New lines, without the time of day."""
        written = len(self.stream.getvalue())
        for each in records:
            self.report.handle(each)
        return self._lines(written)

    def closed(self) -> list[str]:
        written = len(self.stream.getvalue())
        self.report.close()
        return self._lines(written)

    def _lines(self, written: int) -> list[str]:
        lines = self.stream.getvalue()[written:].splitlines()
        return [re.sub(r"^\d\d:\d\d:\d\d ", "", line) for line in lines]


def test_a_stage_has_a_line_when_it_begins_after_thirty_seconds_and_when_it_ends():
    run = Run()
    assert run.told(planned({"tune_shard": 5}), *run_begins(tune_shard=5, all=1)) == ["0/5 jobs"]
    assert run.told(begins(1, "tune_shard")) == ["tune shard: 0/5, 1 running, 0 s; all 0/5"]
    run.clock.now = 20.0
    assert run.told(ends(1), begins(2, "tune_shard")) == []
    run.clock.now = 40.0
    left = "about 30 s left"
    assert run.told(ends(2)) == [f"tune shard: 2/5, 40 s, {left}; all 2/5, {left}"]
    assert run.told(begins(3, "tune_shard"), begins(4, "tune_shard"), begins(5, "tune_shard")) == []
    run.clock.now = 60.0
    assert run.told(ends(3), ends(4), ends(5)) == ["tune shard: 5/5, 1 min; all 5/5"]
    run.clock.now = 3700.0
    assert run.closed() == ["done after 1 h 1 min: 5/5 jobs; results: results/x"]
    assert run.closed() == []


def test_what_a_checkpoint_will_add_is_in_the_total_before_it_is_planned():
    run = Run()
    run.told(planned({"rank_tuned": 1, "train_candidate": 3}, ("train_candidate",)), *run_begins(rank_tuned=1))
    assert run.told(begins(1, "rank_tuned")) == ["rank tuned: 0/1, 1 running, 0 s; all 0/4+"]
    run.told(ends(1), planned({"train_candidate": 5}))
    assert run.told(begins(2, "train_candidate")) == ["train candidate: 0/5, 1 running, 0 s; all 1/6"]


def test_without_a_plan_of_ours_snakemakes_numbers_are_shown():
    assert Run().told(*run_begins(first=1, second=2, all=1)) == ["0/3 jobs"]


def test_the_rule_that_names_what_is_wanted_is_no_stage():
    run = Run()
    run.told(planned({"first": 1}), *run_begins(first=1, all=1))
    target = begins(9, "all")
    target.output = []
    assert run.told(target, ends(9)) == []
    assert run.closed() == ["stopped after 0 s: 0/1 jobs; results: results/x"]


def test_a_failed_job_is_told_at_once_and_once_with_its_error(tmp_path):
    log = tmp_path / "job.log"
    log.write_text("12:00:00 starts\n12:00:01 error: data/x: missing\n\n12:00:02 ends\n")
    run = Run()
    run.told(planned({"train_base": 1}), *run_begins(train_base=1), begins(1, "train_base", experiment="vgg", seed="0"))
    failure = fails(1, "train_base", [str(log)])
    lines = ["failed: train base (experiment vgg, seed 0)", "    error: data/x: missing", f"    log: {log}"]
    assert run.told(failure) == lines
    assert run.told(failure) == []
    assert run.closed() == ["stopped after 0 s: 0/1 jobs, 1 failed; results: results/x"]


def test_a_failed_job_without_an_error_of_its_own_is_told_with_the_end_of_its_log(tmp_path):
    log = tmp_path / "job.log"
    log.write_text("".join(f"line {number}\n" for number in range(30)))
    run = Run()
    run.told(begins(1, "train_base"))
    told = run.told(fails(1, "train_base", [str(log)], "status: OUT_OF_MEMORY"))
    expected = ["status: OUT_OF_MEMORY", *(f"line {number}" for number in range(20, 30)), f"log: {log}"]
    assert told == ["failed: train base", *(f"    {line}" for line in expected)]


@pytest.mark.parametrize(("written", "said"), [(None, "cannot be read: No such file"), ("", "its log is empty")])
def test_a_failed_job_without_a_log_says_so(tmp_path, written, said):
    log = tmp_path / "job.log"
    if written is not None:
        log.write_text(written)
    assert said in Run().told(fails(1, "train_base", [str(log)]))[1]


def test_a_command_that_failed_is_told_with_its_job_and_a_killed_one_by_itself():
    failed = "RuleException:\nCalledProcessError in file x, line 2:\nCommand 'python' returned non-zero exit status 1."
    killed = "RuleException:\nCalledProcessError in file x, line 2:\nCommand 'python' died with <Signals.SIGKILL: 9>."
    for quiet in ((), ("all",)):
        run = Run(*quiet)
        assert run.told(record(failed, logging.ERROR, event=LogEvent.ERROR, exception="RuleException")) == []
        assert run.told(record(killed, logging.ERROR, event=LogEvent.ERROR, exception="RuleException"))


@pytest.mark.parametrize("quiet", [(), ("rules", "progress"), ("all",)])
def test_errors_are_shown_however_quiet(quiet):
    run = Run(*quiet)
    assert run.told(record("LockException:\nError", logging.ERROR, event=LogEvent.ERROR)) == ["LockException:", "Error"]
    assert run.told(record("At least one job failed", logging.ERROR)) == ["At least one job failed"]
    assert run.told(begins(1, "x"), fails(1, "x", []))[-2:] == ["failed: x", "    it has no log"]


def test_quiet_leaves_out_stages_and_all_of_it_warnings_too():
    records = (planned({"x": 1}), *run_begins(x=1), begins(1, "x"), ends(1), record("odd", logging.WARNING))
    assert Run("rules", "progress").told(*records) == ["odd"]
    silent = Run("all")
    assert silent.told(*records) == []
    assert silent.closed() == []
    assert len(Run("host").told(*records)) == 4


def test_what_snakemake_says_of_each_job_is_left_to_its_log_and_what_is_new_is_shown():
    run = Run()
    for chatter in ("Select jobs to execute...", "Elapsed time: 0:01", "DAG of jobs will be updated after completion."):
        assert run.told(record(chatter)) == []
        assert run.told(record(chatter, logging.WARNING)) == [chatter]
    assert run.told(record("Nothing to be done (all requested files are present and up to date).\n")) != []
    assert run.told(record("Complete log(s): /x")) == ["Complete log(s): /x"]


def test_commands_are_shown_where_they_are_asked_for():
    command = record("Shell command: make", event=LogEvent.SHELLCMD, shellcmd="make")
    assert Run().told(command) == []
    assert Run(printshellcmds=True).told(command) == ["make"]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (59.6, "1 min"), (200, "3 min 20 s"), (7500, "2 h 5 min"), (273600, "3 d 4 h")],
)
def test_durations(seconds, words):
    assert duration(seconds) == words
