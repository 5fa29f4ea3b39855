"""GPUs by name alone: no device is touched, so all of it runs without one."""

import os
import subprocess
import sys

import pytest
from checkout import ROOT
from sacp.compute import gpus

JOB = """
import os, sys, time
from sacp.compute import gpus
gpus.claim(sys.argv[1], int(sys.argv[2]))
print(os.environ["CUDA_VISIBLE_DEVICES"], flush=True)
if sys.argv[3:]:
    os.execv(sys.executable, [sys.executable, "-c", "import time; time.sleep(600)"])
time.sleep(600)
"""


@pytest.fixture
def start(tmp_path):
    """Start jobs on a machine with the GPUs 0 and 1 and locks of its own; kill them all at the end."""
    jobs = []

    def start(*arguments: str, **more: str) -> subprocess.Popen:
        environment = {k: v for k, v in os.environ.items() if k not in gpus.SET_BY_OTHERS}
        environment |= {"PYTHONPATH": str(ROOT / "scripts"), "TMPDIR": str(tmp_path), "CUDA_VISIBLE_DEVICES": "0,1"}
        command = [sys.executable, "-c", JOB, *arguments]
        job = subprocess.Popen(
            command, env=environment | more, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        jobs.append(job)
        return job

    yield start
    for job in jobs:
        job.kill()
        job.communicate()


def test_jobs_take_a_gpu_each_and_a_third_waits_until_one_is_killed(start):
    first, second = start("auto", "1"), start("auto", "1")
    taken = [job.stdout.readline().strip() for job in (first, second)]
    assert sorted(taken) == ["0", "1"]
    third = start("auto", "1")
    assert "waiting for 1 of 2 GPUs; `--resources gpu=2`" in third.stderr.readline()
    assert third.poll() is None
    first.kill()
    assert third.stdout.readline().strip() == taken[0]


def test_a_job_of_two_takes_both_and_keeps_them_as_another_program(start):
    first = start("cuda", "2", "exec")
    assert first.stdout.readline() == "0,1\n"
    second = start("cuda", "1")
    assert "waiting for 1 of 2 GPUs" in second.stderr.readline()
    first.kill()
    assert second.stdout.readline() in ("0\n", "1\n")


def test_a_job_that_asks_for_more_than_there_are_takes_all(start):
    assert start("cuda", "4").stdout.readline() == "0,1\n"


@pytest.mark.parametrize(
    ("device", "more"), [("cpu", {}), ("auto", {"SLURM_JOB_ID": "1"}), ("auto", {"TORCHELASTIC_RUN_ID": "none"})]
)
def test_nothing_is_taken_on_cpus_or_where_others_have_placed_the_job(start, device, more):
    for _ in range(3):
        assert start(device, "1", **more).stdout.readline() == "0,1\n"


def test_without_gpus_nothing_is_taken(monkeypatch):
    for name in gpus.SET_BY_OTHERS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert gpus.claim("auto", 1) == []
    assert os.environ["CUDA_VISIBLE_DEVICES"] == ""
