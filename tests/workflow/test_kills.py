"""Jobs that are killed at random moments and started again by the same command end in the bits of undisturbed ones.

`KILLS` is the number of kills for each case: a few as a test, twenty by `make test-kills`.
"""

import csv
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import torch
import yaml
from checkout import Checkout, copy_checkout, shorten
from image_tree import dataset, write_tree

pytestmark = pytest.mark.workflow
KILLS = int(os.environ.get("KILLS", "2"))
RESULTS = Path("results/demo")
STARTING_SECONDS, TRAINING_SECONDS = 3.0, 6.0  # a kill falls up to their sum after a job's start


@dataclass(frozen=True)
class Case:
    """A job and how it is ended."""

    rule: str
    target: str
    number: signal.Signals
    processes: int = 1
    experiment: str = "digits-resnet14"

    @property
    def path(self) -> Path:
        """The target's path in a checkout."""
        return RESULTS / self.experiment / "seed0" / self.target


CASES = {
    "base": Case("train_base", "base.pt", signal.SIGKILL),
    "base in two processes": Case("train_base", "base.pt", signal.SIGKILL, 2),
    "base on image files in two processes": Case("train_base", "base.pt", signal.SIGKILL, 2, "tree"),
    "shard": Case("tune_shard", "sacp/topm/000-009.csv", signal.SIGKILL),
    "candidate": Case("train_candidate", "sacp/topk/0/metrics.json", signal.SIGKILL),
    "base, asked to end": Case("train_base", "base.pt", signal.SIGTERM),
    "base, warned of the time limit": Case("train_base", "base.pt", signal.SIGUSR1),
}


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A copy of the repository in which the candidates are scored; networks are twice as wide, to take their time."""
    checkout = shorten(copy_checkout(tmp_path_factory.mktemp("kills") / "checkout"))
    config = checkout.path / "config/demo.yaml"
    settings = yaml.safe_load(config.read_text())
    settings["experiments"]["digits-resnet14"]["network"]["width"] = 2
    write_tree(checkout.path / "tree", 40, 3)
    settings["datasets"]["tree"] = dataset(Path("tree"))
    training = {"epochs": 8, "lr": 0.05, "batch_size": 16}
    space = {"training_size": 100, "search_size": 1000, "threshold": 0.4}
    settings["experiments"]["tree"] = {
        "dataset": "tree", "network": {"name": "resnet8", "width": 2}, "base": training, "space": space,
        "refine": {"top_m": 20, "top_k": 3},
    }  # fmt: skip
    config.write_text(yaml.safe_dump(settings))
    run = checkout.demo(str(RESULTS / "digits-resnet14/seed0/sacp/scores.parquet"))
    assert run.status == 0, run.output
    return checkout


def options(case: Case) -> list[str]:
    # A state is saved after every step or so, often enough for a training of some seconds.
    return ["--config", "save_seconds=0.1", f"processes={case.processes}"]


def results(checkout: Checkout, case: Case) -> dict[str, object]:
    """All that the job made, clock times and the record of how it was made aside."""
    found: dict[str, object] = {}
    for path in outputs(checkout, case):
        if path.suffix == ".csv":
            with path.open(newline="") as handle:
                rows = [{name: row[name] for name in row if name != "seconds"} for row in csv.DictReader(handle)]
            found[path.name] = rows
        elif path.suffix == ".pt":
            content = torch.load(path, weights_only=True)
            found[path.name] = {name: tensor.numpy().tobytes() for name, tensor in content["state"].items()}
        elif path.suffix == ".safetensors" or (path.suffix == ".json" and not path.name.endswith("provenance.json")):
            found[path.name] = path.read_bytes()
    return found


def outputs(checkout: Checkout, case: Case) -> list[Path]:
    target = checkout.path / case.path
    if case.rule == "train_base":
        return [target.with_name(name) for name in ("base.pt", "base_metrics.json", "base_history.csv")]
    if case.rule == "tune_shard":
        return sorted(target.parent.glob(f"{target.stem}*"))
    return sorted(target.parent.glob("*"))


def saved_states(checkout: Checkout) -> list[Path]:
    return [path for path in (checkout.path / RESULTS / "resume").rglob("*") if path.is_file()]


def remove(checkout: Checkout, case: Case) -> None:
    for path in outputs(checkout, case):
        path.unlink(missing_ok=True)


def job_processes(head: psutil.Process, rule: str) -> list[psutil.Process]:
    """The processes of a job's script: one, or torchrun and those that it started."""
    found = []
    for process in head.children(recursive=True):
        try:
            if any(f".{rule}.py" in word for word in process.cmdline()):
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found


def disturbed_run(checkout: Checkout, case: Case, rng: random.Random, kills: int) -> bool:
    """Call Snakemake, end its job at a random moment; whether it was ended before it was done.

    The first kill comes when a state is there, so that at least one training goes on from one.
    """
    command = [sys.executable, "-m", "snakemake", "--profile", "profiles/local", "--cores", "2"]
    command += [str(case.path), *options(case), "--configfile", "config/demo.yaml"]
    with subprocess.Popen(command, cwd=checkout.path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as call:
        head, moment = psutil.Process(call.pid), None
        while call.poll() is None:
            processes = job_processes(head, case.rule)
            if processes and moment is None and (kills or saved_states(checkout)):
                latest = STARTING_SECONDS * case.processes + TRAINING_SECONDS if kills else 1.0
                moment = time.monotonic() + rng.uniform(0, latest)
            if processes and moment is not None and time.monotonic() >= moment:
                victim = rng.choice(processes) if case.number == signal.SIGKILL else processes[0]
                victim.send_signal(case.number)
                return call.wait(timeout=60) != 0
            time.sleep(0.02)
        assert call.returncode == 0
        return False


@pytest.mark.parametrize("name", CASES)
def test_a_killed_job_ends_in_the_bits_of_an_undisturbed_one(scored: Checkout, name: str) -> None:
    case, rng = CASES[name], random.Random(name)
    remove(scored, case)
    run = scored.demo(str(case.path), *options(case))
    assert run.status == 0, run.output
    expected = results(scored, case)
    assert expected
    remove(scored, case)
    kills, states = 0, 0
    while kills < KILLS:
        if disturbed_run(scored, case, rng, kills):
            kills, states = kills + 1, states + len(saved_states(scored))
        else:  # it was faster
            assert results(scored, case) == expected
            remove(scored, case)
    run = scored.demo(str(case.path), *options(case))
    assert run.status == 0, run.output
    assert results(scored, case) == expected
    assert states > 0
    assert saved_states(scored) == []
    assert list((scored.path / RESULTS).rglob(".*")) == []
