"""What is killed at random moments and started again by the same command ends in the bits of undisturbed runs.

Jobs are killed one by one, and whole runs: their head, or all of it. `KILLS` is the number of kills for each case: a
few as a test, many by `make test-kills`, then also of a run of all rules.
"""

import csv
import io
import itertools
import os
import random
import signal
import stat
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import torch
import yaml
from checkout import Checkout, copy_checkout, shorten
from image_tree import dataset, write_tree
from orphans import left

pytestmark = pytest.mark.workflow
KILLS = int(os.environ.get("KILLS", "2"))
RESULTS = Path("results/demo")
STARTING_SECONDS, TRAINING_SECONDS = 3.0, 6.0  # a kill falls up to their sum after a job's start
FAST = ("--config", "save_seconds=0.1")  # after every step or so, often enough for a training of some seconds
CLOCK = {"seconds", "device_hours"}  # columns
TIMELY = ("*.provenance.json", "provenance.json", "*.html", "table*.md", "table*.tex")  # of files that tell times


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
    "encoder": Case("train_encoder", "sacp/encoder.pt", signal.SIGKILL),
    "shard": Case("tune_shard", "sacp/topm/000-009.csv", signal.SIGKILL),
    "rung of successive halving": Case("tune_rung", "sacp/topm/rung0/000-009.csv", signal.SIGKILL),
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
    settings["experiments"]["digits-resnet14"]["refine"]["halving"] = True  # other targets have no part in it
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
    return [*FAST, f"processes={case.processes}"]


def content(path: Path) -> object:
    """All that a file says, clock times aside."""
    if path.suffix == ".zip":
        return states(path)
    if path.suffix != ".csv":
        return path.read_bytes()
    with path.open(newline="") as handle:
        return [{name: row[name] for name in row if name not in CLOCK} for row in csv.DictReader(handle)]


def states(path: Path) -> dict[str, bytes]:
    """The states of an archive, without the times that they have taken."""
    found = {}
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            state = torch.load(io.BytesIO(archive.read(name)), weights_only=True)
            history = [{key: row[key] for key in row if key not in CLOCK} for row in state["history"]]
            torch.save({**state, "spent": 0.0, "history": history}, content := io.BytesIO())
            found[name] = content.getvalue()
    return found


def results(checkout: Checkout, case: Case) -> dict[str, object]:
    """All that the job made, the record of how it was made aside."""
    paths = outputs(checkout, case)
    return {path.name: content(path) for path in paths if path.exists() and "provenance" not in path.name}


def outputs(checkout: Checkout, case: Case) -> list[Path]:
    target = checkout.path / case.path
    if case.rule == "train_base":
        return [target.with_name(name) for name in ("base.pt", "base_metrics.json", "base_history.csv")]
    if case.rule == "train_encoder":
        return [target, target.with_name("encoder_loss.csv")]
    if case.rule in ("tune_shard", "tune_rung"):
        return sorted(target.parent.glob(f"{target.stem}*"))
    return sorted(target.parent.glob("*"))


def saved_states(checkout: Checkout) -> list[Path]:
    return [path for path in (checkout.path / RESULTS / "resume").rglob("*") if path.is_file()]


def remove(checkout: Checkout, case: Case) -> None:
    for path in outputs(checkout, case):
        path.unlink(missing_ok=True)


def job_processes(call: psutil.Process, rule: str) -> list[psutil.Process]:
    """The processes of a job's script: one, or torchrun and those that it started; of all jobs for an empty name."""
    found = []
    for process in call.children(recursive=True):
        try:
            if any(f"{rule}.py" in word and ".snakemake/scripts/" in word for word in process.cmdline()):
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found


@contextmanager
def head(checkout: Checkout, *arguments: str) -> Iterator[psutil.Popen]:
    """A call of Snakemake; nothing that it has started runs ten seconds after its end."""
    command = [sys.executable, "-m", "snakemake", "--profile", "profiles/local", "--cores", "2", "--nolock"]
    command += [*arguments, "--configfile", "config/demo.yaml"]
    with psutil.Popen(command, cwd=checkout.path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as call:
        yield call
    assert left(processes_of(checkout)) == []


def processes_of(checkout: Checkout) -> list[psutil.Process]:
    """All processes that work in a checkout, whoever has started them."""
    found = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()).is_relative_to(checkout.path):
                found.append(process)
        except psutil.Error:
            continue
    return found


def disturbed_job(checkout: Checkout, case: Case, rng: random.Random, kills: int) -> bool:
    """Call Snakemake, end its job at a random moment; whether it was ended before it was done.

    The first kill comes when a state is there, so that at least one training goes on from one.
    """
    with head(checkout, str(case.path), *options(case)) as call:
        moment = None
        while call.poll() is None:
            processes = job_processes(call, case.rule)
            if processes and moment is None and (kills or saved_states(checkout)):
                latest = STARTING_SECONDS * case.processes + TRAINING_SECONDS if kills else 1.0
                moment = time.monotonic() + rng.uniform(0, latest)
            if processes and moment is not None and time.monotonic() >= moment:
                # A scheduler asks all processes of a job for an end, its Snakemake too, which waits for the script.
                for victim in [rng.choice(processes)] if case.number == signal.SIGKILL else [call, *processes]:
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
        if disturbed_job(scored, case, rng, kills):
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


PART = (
    "digits-resnet14/seed0/sacp/encoder.pt", "digits-resnet14/seed0/sacp/encoder_loss.csv",
    "digits-resnet14/seed0/sacp/scores.parquet", "figures/encoder_loss/digits-resnet14.png", "tables/table1.csv",
)  # fmt: skip
WAYS = ("job", "head", "head and jobs")


def files(checkout: Checkout) -> dict[str, object]:
    """All files of the results but logs, with what they say if they tell no times."""
    root, found = checkout.path / RESULTS, dict[str, object]()
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root)
        if path.is_file() and name.parts[0] != "logs":
            found[str(name)] = None if any(path.match(pattern) for pattern in TIMELY) else content(path)
    return found


def foreign_modes(checkout: Checkout) -> dict[str, str]:
    """Files and folders of the results whose mode is not what this process's umask gives, with their modes."""
    mask = os.umask(0)
    os.umask(mask)
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (checkout.path / RESULTS).rglob("*")}
    right = {path: (0o777 if path.is_dir() else 0o666) & ~mask for path in modes}
    return {str(path): oct(mode) for path, mode in modes.items() if mode != right[path]}


def disturbed_head(checkout: Checkout, targets: list[str], rng: random.Random, way: str, latest: float) -> bool:
    """Call Snakemake and kill a job of it, itself alone, or all of it; whether that came before its end."""
    with head(checkout, *targets, *FAST) as call:
        moment = time.monotonic() + rng.uniform(0, latest)
        while call.poll() is None:
            jobs = job_processes(call, "")
            if time.monotonic() >= moment and (jobs or way == "head and jobs"):
                if way == "job":
                    rng.choice(jobs).kill()
                    return call.wait(timeout=300) != 0  # it goes on with other jobs
                for process in [call, *(call.children(recursive=True) if way == "head and jobs" else [])]:
                    with suppress(psutil.NoSuchProcess):
                        process.kill()
                return call.wait(timeout=60) != 0
            time.sleep(0.02)
        assert call.returncode == 0
        return False


def check_kills(checkout: Checkout, targets: list[str], part: tuple[str, ...], expected: dict[str, object]) -> None:
    """Kill runs that make a part of the results, or all, until there were enough kills, and let one run to its end."""
    rng, ways, kills = random.Random("runs"), itertools.cycle(WAYS), 0
    while kills < max(KILLS, len(WAYS)):
        way = next(ways)
        while not disturbed_head(checkout, targets, rng, way, 15.0):
            assert files(checkout) == expected
            for path in part:
                (checkout.path / RESULTS / path).unlink()
        kills += 1
    run = checkout.demo(*targets, *FAST)
    assert run.status == 0, run.output
    assert files(checkout) == expected
    assert foreign_modes(checkout) == {}


def test_a_run_that_is_killed_as_a_whole_and_in_part_ends_in_the_files_of_an_undisturbed_one(scored: Checkout) -> None:
    targets = [str(RESULTS / path) for path in PART]
    run = scored.demo(*targets, *FAST)
    assert run.status == 0, run.output
    expected = files(scored)
    for path in PART:
        (scored.path / RESULTS / path).unlink()
    check_kills(scored, targets, PART, expected)


@pytest.mark.skipif(KILLS < 20, reason="long; `make test-kills`")
def test_a_run_of_all_rules_that_is_killed_often_ends_in_the_files_of_an_undisturbed_one(
    finished_demo: Checkout, checkout: Checkout
) -> None:
    expected = files(finished_demo)
    check_kills(checkout, [], tuple(name for name, value in expected.items() if value is not None), expected)
