import multiprocessing
import os
import time
from datetime import UTC, datetime

import pytest
from sacp.artefacts.clock import process_seconds, process_started, runs, start_ticks
from sacp.artefacts.record import finished
from sacp.compute.resume import Sidecar


def test_the_process_started_as_long_ago_as_it_has_run():
    started = datetime.fromisoformat(process_started())
    assert started.tzinfo == UTC
    assert (datetime.now(UTC) - started).total_seconds() == pytest.approx(process_seconds(), abs=0.1)


def test_a_finished_record_adds_the_seconds_of_earlier_processes_and_leaves_the_record_alone():
    made = {"seed": 3}
    assert finished(made, [], 1000.0)["seconds"] == pytest.approx(1000 + process_seconds(), abs=0.1)
    assert made == {"seed": 3}


def test_a_job_that_goes_on_knows_what_the_killed_processes_took(tmp_path):
    first = Sidecar(tmp_path / "state.pt", "key")
    assert first.earlier_seconds == 0
    first.save()
    took = process_seconds()
    second = Sidecar(tmp_path / "state.pt", "key")
    assert second.earlier_seconds == pytest.approx(took, abs=0.2)
    time.sleep(0.01)
    second.save()
    second.save()  # what this process took counts once
    assert Sidecar(tmp_path / "state.pt", "key").earlier_seconds == pytest.approx(2 * took, abs=0.5)


def test_a_process_runs_until_it_ends_though_nobody_has_asked_for_its_end():
    process = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
    process.start()
    started = start_ticks(process.pid)
    assert runs(process.pid, started)
    assert not runs(process.pid, started - 1)
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert not runs(process.pid, started)
    process.join()
    assert not runs(process.pid, started)


def test_processes_of_others_that_proc_does_not_show_are_taken_to_run(monkeypatch):
    def refuse(pid, number):
        raise PermissionError

    monkeypatch.setattr("sacp.artefacts.clock._field", refuse)
    monkeypatch.setattr(os, "kill", refuse)
    assert runs(1, 0)
