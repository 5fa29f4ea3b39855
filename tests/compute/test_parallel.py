"""Processes that train together do what one process does."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from checkout import ROOT
from orphans import left_by

TRAINING = """
import logging, os, sys
from dataclasses import replace
sys.path[:0] = [sys.argv[1] + "/scripts", sys.argv[1] + "/tests"]
import torch
from torch import nn
from sacp.compute import parallel
from sacp.compute.resume import Sidecar
from sacp.training.evaluation import accuracy_percent
from sacp.training.loop import batches_of, train
from trainings import RECIPE, Interrupting, digits, fresh, timeless
from pathlib import Path

root, folder, processes, number = sys.argv[1:]
logging.basicConfig(level=logging.INFO)
recipe = replace(RECIPE, epochs=8, crop_padding=1, validate_every=3, distill_weight=0.5)
with parallel.joined(torch.device("cpu")) as (device, team):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 10))
    source = batches_of(digits(), recipe, device, team)
    if int(number) >= 0:
        source = Interrupting(source, int(number), 15)
    sidecar = Sidecar(Path(folder) / "state.pt", "key", 1e9)
    history = train(network, digits(), recipe, 1, "run", sidecar=sidecar, source=source, team=team, teacher=fresh(1))
    accuracy = accuracy_percent(network, digits().test, digits(), team)
    if team.leads:
        value = {"state": network.state_dict(), "history": timeless(history), "accuracy": accuracy, "size": team.size}
        torch.save(value, folder + f"/result{processes}.pt")
"""


def trained(folder: Path, processes: int, number: int = -1) -> int:
    """Train in one or several processes; with `number`, all of them get SIGTERM before that step. The exit status."""
    script = folder / "training.py"
    script.write_text(TRAINING)
    command = [sys.executable]
    if processes > 1:
        command += ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    arguments = [str(script), str(ROOT), str(folder), str(processes), str(number)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run([*command, *arguments], env=environment, capture_output=True).returncode


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> dict:
    folder = tmp_path_factory.mktemp("two")
    assert trained(folder, 2) == 0
    return torch.load(folder / "result2.pt", weights_only=True)


def test_two_processes_train_as_one(tmp_path, two):
    assert trained(tmp_path, 1) == 0
    one = torch.load(tmp_path / "result1.pt", weights_only=True)
    assert (one["size"], two["size"]) == (1, 2)
    for name, value in one["state"].items():
        assert torch.allclose(value, two["state"][name], atol=1e-5), name
    losses, other_losses = ([row["train_loss"] for row in run["history"]] for run in (one, two))
    assert other_losses == pytest.approx(losses, rel=1e-4)
    assert two["accuracy"] == pytest.approx(one["accuracy"], abs=0.6)  # two of 359 images


@pytest.mark.parametrize("number", [3, 10])
def test_two_processes_that_are_stopped_go_on_to_the_same_bits(tmp_path, two, number):
    assert trained(tmp_path, 2, number) != 0
    assert (tmp_path / "state.pt").is_file()
    assert trained(tmp_path, 2) == 0
    again = torch.load(tmp_path / "result2.pt", weights_only=True)
    assert again["history"] == two["history"]
    assert all(torch.equal(again["state"][name], value) for name, value in two["state"].items())


LAUNCHED = """
import os, sys, time
import torch
from sacp.compute import parallel

parallel.launch(3)
if os.environ["RANK"] == "1":
    time.sleep(600)  # as one that is still importing
with parallel.joined(torch.device("cpu")):  # the others wait for it
    pass
"""


def test_processes_do_not_wait_for_the_others_when_torchrun_was_killed(tmp_path):
    assert left_by(tmp_path, LAUNCHED, 3) == []
