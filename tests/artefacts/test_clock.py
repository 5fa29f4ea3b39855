import time
from datetime import UTC, datetime

import pytest
from sacp.artefacts.clock import process_seconds, process_started
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
