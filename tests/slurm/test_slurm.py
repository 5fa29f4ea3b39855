"""The demo on a real Slurm cluster of one node with two pretend GPUs; whatever happens, it ends in a local run's table.

`cluster.sh` starts the cluster, as root. A training that a fault is to find is held by SIGSTOP at its first saved
state: no machine is too fast for it. Slurm sends SIGCONT before SIGTERM.
"""

import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
import psutil
import pytest
import yaml
from checkout import Checkout, copy_checkout, shorten

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif(os.geteuid() != 0, reason="a Slurm cluster is started by root"),
]
CLUSTER = Path(__file__).with_name("cluster.sh")
RESULTS = Path("results/demo")
TABLE = RESULTS / "tables/table3.csv"
BASE = RESULTS / "digits-resnet14/seed0/base.pt"
TRAININGS = ("train_base", "tune_shard", "train_candidate")
# For speed alone: after 6 and after 22 seconds most jobs have ended, then it is 48.
FAST = ["--slurm-init-seconds-before-status-checks", "6", "--latency-wait", "5"]
DEADLINE_SECONDS = 150


@dataclass(frozen=True)
class Job:
    """A job of Slurm, as squeue shows it."""

    number: str
    state: str
    rule: str


class Head:
    """A call of Snakemake that sends jobs to Slurm."""

    started: ClassVar[list[subprocess.Popen[bytes]]] = []

    def __init__(self, checkout: Checkout, *arguments: str) -> None:
        self.checkout = checkout
        self.log = checkout.path / f"head{len(list(checkout.path.glob('head*.log')))}.log"
        command = ["snakemake", "--profile", "slurm", str(TABLE), *FAST, *arguments]
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(checkout.path / "scripts"),
        }
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [*command, "--configfile", "config/demo.yaml"],
                cwd=checkout.path, env=environment, stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip
        self.started.append(self.process)

    @property
    def output(self) -> str:
        return self.log.read_text()

    @property
    def run_id(self) -> str:
        """The name of all its jobs in Slurm."""
        found = re.search(r"^SLURM run ID: (\S+)$", self.output, re.MULTILINE)
        assert found, self.output
        return found[1]

    def jobs(self, states: str = "all") -> list[Job]:
        lines = slurm("squeue", "--noheader", "--states", states, "--name", self.run_id, "--format", "%i %T %k")
        # The comment is rule_<name>_wildcards_<values>.
        return [Job(*line.split()[:2], re.sub(r"rule_|_wildcards_.*", "", line.split()[2])) for line in lines]

    def job(self, rule: str, but: str = "") -> Job | None:
        """The job of a rule that runs, `but` one."""
        return next((job for job in self.jobs("running") if job.rule == rule and job.number != but), None)

    def states(self, rule: str) -> list[str]:
        """States of a rule's jobs, in the order in which they were sent."""
        jobs = sorted(self.jobs(), key=lambda job: int(job.number))
        return [job.state for job in jobs if job.rule == rule]

    def until(self, found: Callable[[], Any], what: str) -> Any:
        """Wait for what `found` finds."""
        end = time.monotonic() + DEADLINE_SECONDS
        while not (result := found()):
            assert self.process.poll() is None, f"ended before {what}:\n{self.output}"
            assert time.monotonic() < end, f"waited in vain for {what}:\n{self.output}"
            time.sleep(0.1)
        return result

    def held(self, rule: str) -> Job:
        """Wait until a training has saved its state, and stop it there."""
        self.until(lambda: saved_states(self.checkout, rule), f"a saved state of {rule}")
        self.until(lambda: training_process(self.checkout, rule), f"the process of {rule}").send_signal(signal.SIGSTOP)
        return self.until(lambda: self.job(rule), f"the job of {rule}")

    def ended(self) -> int:
        return self.process.wait(timeout=2 * DEADLINE_SECONDS)


def slurm(*command: str) -> list[str]:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()


def saved_states(checkout: Checkout, rule: str = "*") -> list[Path]:
    return [path for path in (checkout.path / RESULTS / "resume").glob(f"{rule}/*.pt") if path.is_file()]


def training_process(checkout: Checkout, rule: str) -> psutil.Process | None:
    for process in psutil.process_iter():
        try:
            if process.cwd() == str(checkout.path) and any(f".{rule}.py" in word for word in process.cmdline()):
                return process
        except psutil.Error:
            continue
    return None


def logs(checkout: Checkout, rule: str) -> list[str]:
    return [path.read_text() for path in sorted((checkout.path / RESULTS / "logs" / rule).glob("*.log"))]


def table(checkout: Checkout) -> dict[str, Any]:
    """Table 3 as it stands in its file, without the time that was spent on it."""
    return pd.read_csv(checkout.path / TABLE, dtype=str, keep_default_na=False).drop(columns="device_hours").to_dict()


def finished(*outputs: str) -> list[str]:
    """Rules of the jobs that were finished, one entry per job, sorted."""
    return sorted(re.findall(r"^Finished jobid: \d+ \(Rule: (\w+)\)$", "\n".join(outputs), re.MULTILINE))


def small_checkout(folder: Path) -> Checkout:
    """A copy of the repository whose demo is shorter, without baselines, and saves trainings ten times a second."""
    checkout = shorten(copy_checkout(folder))
    config = checkout.path / "config/demo.yaml"
    settings = yaml.safe_load(config.read_text())
    settings["save_seconds"] = 0.1
    settings["defaults"]["base"] |= {"epochs": 6}
    settings["defaults"]["full"] |= {"epochs": 3}
    settings["defaults"]["methods"] = {"sacp": {"kind": "search"}}
    settings["experiments"]["digits-resnet14"] = {
        "network": {"name": "resnet14"},
        "space": {"training_size": 200, "search_size": 2000, "threshold": 0.4},
        "refine": {"top_m": 4, "top_k": 2, "shard_size": 2},
    }
    config.write_text(yaml.safe_dump(settings))
    return checkout


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return small_checkout(tmp_path / "checkout")


@pytest.fixture(scope="session", autouse=True)
def cluster() -> Iterator[None]:
    subprocess.run([CLUSTER, "up"], check=True)
    yield
    for process in Head.started:  # what a failed test left
        process.kill()
    subprocess.run([CLUSTER, "down"], check=True)


@dataclass(frozen=True)
class Local:
    """What a run without Slurm made."""

    base: bytes
    table: dict[str, Any]
    finished: list[str]


@pytest.fixture(scope="session")
def local(tmp_path_factory: pytest.TempPathFactory) -> Local:
    checkout = small_checkout(tmp_path_factory.mktemp("local") / "checkout")
    run = checkout.demo(str(TABLE))
    assert run.status == 0, run.output
    return Local((checkout.path / BASE).read_bytes(), table(checkout), finished(run.output))


@pytest.fixture(scope="session")
def cancelled(tmp_path_factory: pytest.TempPathFactory) -> Head:
    """The demo, whose base training was cancelled once."""
    head = Head(small_checkout(tmp_path_factory.mktemp("slurm") / "checkout"))
    slurm("scancel", head.held("train_base").number)
    assert head.ended() == 0, head.output
    return head


def test_a_cancelled_demo_ends_in_the_table_of_a_local_run(local: Local, cancelled: Head) -> None:
    assert table(cancelled.checkout) == local.table
    assert finished(cancelled.output) == local.finished
    assert saved_states(cancelled.checkout) == []


def test_a_cancelled_training_saves_its_state_and_goes_on_from_it(cancelled: Head) -> None:
    assert "SLURM status is: 'CANCELLED'" in cancelled.output
    assert re.search(r"base: stopped by signal 15 in epoch \d+; the state is saved", cancelled.output)
    assert re.search(r"base: goes on in epoch \d+ at step \d+", *logs(cancelled.checkout, "train_base"))
    assert cancelled.states("train_base") == ["CANCELLED", "COMPLETED"]


def test_each_training_of_the_cancelled_demo_saw_one_gpu_and_both_were_used(cancelled: Head) -> None:
    seen = [
        re.findall(r"runs on cpu, CUDA_VISIBLE_DEVICES=(.*)", log)
        for rule in TRAININGS
        for log in logs(cancelled.checkout, rule)
    ]
    assert len(seen) == 1 + 2 + 2
    assert {len(devices) for devices in seen} == {1}
    assert {devices[0] for devices in seen} == {"0", "1"}


def run_out_of_time(head: Head, rule: str) -> None:
    """Let a training hit its time limit: it saves its state, is sent again with more time and goes on."""
    job = head.held(rule)
    (limit,) = slurm("squeue", "--noheader", "--job", job.number, "--format", "%l")
    assert limit == "1-00:00:00"
    slurm("scontrol", "update", f"JobId={job.number}", "EndTime=now")  # Slurm looks for it twice a minute
    again = head.until(lambda: head.job(rule, but=job.number), f"the second try of {rule}")
    assert slurm("squeue", "--noheader", "--job", again.number, "--format", "%l") == ["2-00:00:00"]
    assert head.states(rule) == ["TIMEOUT", "RUNNING"]
    assert "SLURM status is: 'TIMEOUT'" in head.output
    assert re.search(r"stopped by signal 15 in epoch \d+; the state is saved", head.output)


def drain_the_node(head: Head) -> None:
    """Drain the node while jobs run: these end well, others wait until it is resumed."""
    running = head.until(lambda: head.jobs("running"), "a running job")
    (node,) = slurm("sinfo", "--noheader", "--format", "%n")
    slurm("scontrol", "update", f"NodeName={node}", "State=DRAIN", "Reason=test")
    head.until(lambda: not head.jobs("running,completing") and head.jobs("pending"), "jobs that wait for the node")
    ended = {job.number: job.state for job in head.jobs()}
    assert {ended[job.number] for job in running} == {"COMPLETED"}
    slurm("scontrol", "update", f"NodeName={node}", "State=RESUME")


def restart_the_controller(head: Head, rule: str) -> None:
    """Kill slurmctld while a training runs and start it again: the job notices nothing."""
    job = head.held(rule)
    os.kill(int(Path("/run/sacp-slurm/slurmctld.pid").read_text()), signal.SIGKILL)
    time.sleep(3)
    subprocess.run([CLUSTER, "up"], check=True)
    assert head.job(rule) == job
    training_process(head.checkout, rule).send_signal(signal.SIGCONT)
    head.until(lambda: Job(job.number, "COMPLETED", rule) in head.jobs(), f"the end of {rule}")


def kill_the_head(head: Head, rule: str) -> None:
    """Kill the head while a training runs; its jobs are left, found by their name and cancelled."""
    head.held(rule)
    head.process.kill()
    assert head.ended() == -signal.SIGKILL
    assert rule in [job.rule for job in head.jobs("running")]
    slurm("scancel", "--name", head.run_id)
    end = time.monotonic() + DEADLINE_SECONDS
    while head.jobs("running,pending,completing"):
        assert time.monotonic() < end
        time.sleep(0.1)
    assert saved_states(head.checkout, rule)


def fail_the_node(head: Head, rule: str) -> str:
    """Let the node lose its power while a training runs, and come back; the number of the job, which waits again."""
    job = head.held(rule)
    daemon = psutil.Process(int(Path("/run/sacp-slurm/slurmd.pid").read_text()))
    steps = [process for process in psutil.process_iter(["name"]) if process.info["name"] == "slurmstepd"]
    victims = [daemon, *steps, *(child for step in steps for child in step.children(recursive=True))]
    for process in victims:
        process.kill()
    psutil.wait_procs(victims)
    (node,) = slurm("sinfo", "--noheader", "--format", "%n")
    slurm("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=test")  # Slurm itself waits for five minutes
    head.until(lambda: Job(job.number, "PENDING", rule) in head.jobs(), f"{rule} in the queue again")
    subprocess.run([CLUSTER, "up"], check=True)
    return job.number


def test_a_training_on_a_failed_node_is_queued_again_by_slurm_and_goes_on(local: Local, checkout: Checkout) -> None:
    head = Head(checkout, "--until", "train_base")
    number = fail_the_node(head, "train_base")
    assert head.ended() == 0, head.output
    assert [job.number for job in head.jobs() if job.rule == "train_base"] == [number]
    assert (checkout.path / BASE).read_bytes() == local.base
    assert re.search(r"base: goes on in epoch \d+ at step \d+", *logs(checkout, "train_base"))
    assert "stopped by signal" not in head.output
    assert saved_states(checkout) == []


def test_faults_end_in_the_table_of_a_local_run(local: Local, checkout: Checkout) -> None:
    first = Head(checkout)
    run_out_of_time(first, "train_base")
    drain_the_node(first)
    assert re.search(r"base: goes on in epoch \d+ at step \d+", *logs(checkout, "train_base"))
    restart_the_controller(first, "tune_shard")
    kill_the_head(first, "train_candidate")
    seed = checkout.path / RESULTS / "digits-resnet14/seed0"
    names = ("base.pt", "configs.h5", "sacp/encoder.pt", "sacp/scores.parquet", "sacp/topm.csv")
    made = {name: (seed / name).stat().st_mtime_ns for name in names}
    locked = Head(checkout)
    assert locked.ended() == 1
    assert "Directory cannot be locked" in locked.output
    assert Head(checkout, "--unlock").ended() == 0
    second = Head(checkout)
    assert second.ended() == 0, second.output
    assert table(checkout) == local.table
    assert {name: (seed / name).stat().st_mtime_ns for name in names} == made
    # A job that ended while no head watched is finished in neither call, and not run again.
    assert Counter(finished(first.output, second.output)) <= Counter(local.finished)
    assert any("goes on in epoch" in log for log in logs(checkout, "train_candidate"))
    assert saved_states(checkout) == []


def test_an_unknown_partition_is_named_with_each_rule(checkout: Checkout) -> None:
    head = Head(checkout, "--default-resources", "slurm_partition=nope")
    assert head.ended() == 1
    message = "SLURM sbatch failed. The error message was 'sbatch: error: invalid partition specified: nope"
    for rule in ("prepare_data", "trace_network"):
        assert f"Error in rule {rule}:\n    message: {message}" in head.output


def test_a_rule_that_cannot_be_sent_leaves_the_others_going(checkout: Checkout) -> None:
    head = Head(checkout, "--set-resources", "train_base:slurm_partition=nope")
    assert head.ended() == 1
    assert "Error in rule train_base:" in head.output
    assert finished(head.output) == ["prepare_data", "sample_configs", "trace_network", "write_protocol"]
