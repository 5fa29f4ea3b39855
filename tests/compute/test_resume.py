"""Trainings that are stopped at any step and resumed end in the same bits; states that do not fit are not used."""

import logging
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from checkout import ROOT
from sacp.artefacts.files import write_csv
from sacp.compute import long_job
from sacp.compute.arithmetic import Engine
from sacp.compute.parallel import ALONE
from sacp.compute.resume import STOPS, Sidecar, key_of, stop_requests
from sacp.errors import InputError
from sacp.network.graph import Graph, Kept
from sacp.pruning.criteria import kept_of, l1_order
from sacp.tracing.trace import trace
from sacp.training import candidates
from sacp.training.candidates import train_fully, tune_candidates
from sacp.training.evaluation import Calibration, measure
from sacp.training.loop import batches_of, train
from sacp.training.ranking import TUNED_COLUMNS, choose_winner, load_tuned, rank
from sacp.training.recipe import Recipe
from torch import nn
from trainings import RECIPE, SPEC, Interrupting, digits, fresh, same_weights, timeless

STEPS = 8  # two epochs of 64 / 16
VARIANTS = {
    "plain": ({}, Engine()),
    "all settings": (
        {"crop_padding": 1, "flip": True, "ema_decay": 0.9, "warmup_epochs": 1, "label_smoothing": 0.1}
        | {"validate_every": 1, "distill_weight": 0.5, "distill_temperature": 2},
        Engine(),
    ),
    "bfloat16": ({"distill_weight": 0.9}, Engine("bfloat16")),
}  # fmt: skip


def network_with_dropout() -> nn.Module:
    network = fresh()
    network.pool = nn.Sequential(network.pool, nn.Dropout(0.3))
    return network


def interrupted(path: Path, recipe: Recipe, number: int, engine: Engine, stop=signal.SIGTERM) -> int:
    """Train in a fresh network until the signal; the status with which the process would have ended."""
    network = network_with_dropout()
    source = Interrupting(batches_of(digits(), recipe, torch.device("cpu")), number, stop)
    with pytest.raises(SystemExit) as caught:
        train(network, digits(), recipe, 5, "run", engine, Sidecar(path, "key", 1e9), source, teacher=fresh(1))
    return caught.value.code


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("number", range(STEPS))
def test_a_training_stopped_at_any_step_ends_in_the_same_bits(tmp_path, number, variant):
    changes, engine = VARIANTS[variant]
    recipe, expected = replace(RECIPE, **changes), network_with_dropout()
    history = train(expected, digits(), recipe, 5, "run", engine, teacher=fresh(1))
    assert interrupted(tmp_path / "state.pt", recipe, number, engine) == 128 + signal.SIGTERM
    network, sidecar = network_with_dropout(), Sidecar(tmp_path / "state.pt", "key")
    assert (sidecar.state["training"]["epoch"], sidecar.state["training"]["step"]) in [
        divmod(number + 1, 4), (number // 4, number % 4 + 1)
    ]  # fmt: skip
    resumed = train(network, digits(), recipe, 5, "run", engine, sidecar, teacher=fresh(1))
    assert same_weights(network, expected)
    assert timeless(resumed) == timeless(history)


def test_a_training_stopped_after_every_step_ends_in_the_same_bits(tmp_path):
    expected, network = network_with_dropout(), network_with_dropout()
    history = train(expected, digits(), RECIPE, 5, "run")
    for _ in range(STEPS):
        assert interrupted(tmp_path / "state.pt", RECIPE, 0, Engine(), signal.SIGUSR1) == 128 + signal.SIGUSR1
    resumed = train(network, digits(), RECIPE, 5, "run", sidecar=Sidecar(tmp_path / "state.pt", "key"))
    assert same_weights(network, expected)
    assert timeless(resumed) == timeless(history)


AUTO = {"precision": "auto", "deterministic": True}


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (True, True, "bfloat16"),
        (False, False, "float32"),
        (False, True, "float32"),
        (True, False, "float32"),  # from the first step on again
    ],
)
def test_a_training_that_is_resumed_elsewhere_ends_in_the_bits_of_one_precision(
    tmp_path, monkeypatch, before, after, expected
):
    def engine(sidecar: Sidecar, there: bool) -> Engine:
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": there})
        return long_job.engine(AUTO, torch.device("cpu"), ALONE, sidecar)

    path, whole, network = tmp_path / "state.pt", network_with_dropout(), network_with_dropout()
    history = train(whole, digits(), RECIPE, 5, "run", Engine(expected))
    first = Sidecar(path, "key", 1e9)
    source = Interrupting(batches_of(digits(), RECIPE, torch.device("cpu")), 5, signal.SIGTERM)
    with pytest.raises(SystemExit):
        train(network_with_dropout(), digits(), RECIPE, 5, "run", engine(first, before), first, source)
    second = Sidecar(path, "key")
    resumed = train(network, digits(), RECIPE, 5, "run", engine(second, after), second)
    assert same_weights(network, whole)
    assert timeless(resumed) == timeless(history)


def test_the_precisions_differ_in_their_bits():
    networks = [network_with_dropout() for _ in range(2)]
    for network, precision in zip(networks, ("float32", "bfloat16"), strict=True):
        train(network, digits(), RECIPE, 5, "run", Engine(precision))
    assert not same_weights(*networks)


def test_states_are_saved_by_the_clock(tmp_path, monkeypatch):
    saved = []
    monkeypatch.setattr(Sidecar, "save", lambda self: saved.append(self.state["training"]["step"]))
    train(fresh(), digits(), RECIPE, 0, "run", sidecar=Sidecar(tmp_path / "state.pt", "key", 0))
    assert len(saved) == STEPS + 2  # after each step, and after each epoch
    saved.clear()
    train(fresh(), digits(), RECIPE, 0, "run", sidecar=Sidecar(tmp_path / "state.pt", "key", 1e9))
    assert saved == []


def test_signals_are_taken_up_again_as_before():
    before = [signal.getsignal(number) for number in STOPS]
    with stop_requests() as stop:
        os.kill(os.getpid(), signal.SIGUSR1)
    assert stop.signal == signal.SIGUSR1
    assert [signal.getsignal(number) for number in STOPS] == before


def saved(path: Path, **state) -> None:
    sidecar = Sidecar(path, "key")
    sidecar.state.update(state)
    sidecar.save()


def test_a_state_comes_back_and_is_gone_after_success(tmp_path):
    path = tmp_path / "deep" / "state.pt"
    saved(path, rows=[1, 2.5], tensor=torch.arange(3))
    again = Sidecar(path, "key")
    assert again.state["rows"] == [1, 2.5]
    assert torch.equal(again.state["tensor"], torch.arange(3))
    again.clear()
    assert not path.exists()
    assert Sidecar(path, "key").state == {}


@pytest.mark.parametrize(
    ("damage", "expected"),
    [("foreign", "belongs to another config, code or input"), ("truncated", "corrupt"), ("one byte", "corrupt")],
)
def test_a_state_that_does_not_fit_is_ignored_with_a_warning(tmp_path, caplog, damage, expected):
    path = tmp_path / "state.pt"
    saved(path, rows=[1], tensor=torch.arange(1000))
    content = bytearray(path.read_bytes())
    if damage == "truncated":
        path.write_bytes(content[:-100])
    if damage == "one byte":
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert Sidecar(path, "other" if damage == "foreign" else "key").state == {}
    assert expected in caplog.text
    assert "starting anew" in caplog.text


def test_a_state_of_another_machine_is_used_with_a_warning(tmp_path, caplog, monkeypatch):
    saved(tmp_path / "state.pt", rows=[1])
    monkeypatch.setattr("sacp.compute.resume.machine", lambda: "another device")
    assert Sidecar(tmp_path / "state.pt", "key").state == {"rows": [1]}
    assert "goes on on another device: the last bits may differ" in caplog.text


def test_the_key_hangs_on_what_decides_the_result_alone():
    decides = {"settings": {"lr": 0.1}, "code": {"a": "c"}, "seed": 0, "inputs": {"a": "1"}}
    record = decides | {"commit": "x", "device": "cpu"}
    assert key_of(record) == key_of(record | {"commit": "y", "device": "gpu"})
    codes = [{"code": {"a": "d"}}, {"code": {"b": "c"}}, {"code": {"a": "c", "b": "c"}}]
    for change in [*codes, {"settings": {"lr": 0.2}}, {"seed": 1}, {"inputs": {"a": "2"}}]:
        assert key_of(record | change) != key_of(record)


Pruning = tuple[nn.Module, Graph, dict[int, Kept]]


@pytest.fixture(scope="module")
def pruning() -> Pruning:
    """A base, its graph and the kept channels of three candidates."""
    base = fresh()
    graph = trace(base, (1, 1, 8, 8))
    order, groups = l1_order(base, graph), len(graph.groups)
    return base, graph, {n: kept_of(np.full(groups, n, np.uint8), order, graph, 10) for n in (3, 7, 5)}


def tuned(pruning: Pruning, sidecar: Sidecar | None = None, precision: str = "float32"):
    device, calibration = torch.device("cpu"), Calibration(digits(), 32, 0)
    engine = Engine(precision)
    rows, history = tune_candidates(*pruning, digits(), RECIPE, 1, device, calibration, engine, sidecar)
    return rows, timeless(history)


@pytest.mark.parametrize(
    ("number", "precision"), [*((number, "float32") for number in (0, 7, 8, 13, 23)), (13, "bfloat16")]
)
def test_a_shard_goes_on_with_the_candidate_it_was_in(tmp_path, monkeypatch, pruning, number, precision):
    expected = tuned(pruning, precision=precision)
    sources = lambda *arguments: Interrupting(batches_of(*arguments), number, signal.SIGTERM)  # noqa: E731
    with monkeypatch.context() as patch:
        patch.setattr(candidates, "batches_of", sources)
        with pytest.raises(SystemExit):
            tuned(pruning, Sidecar(tmp_path / "state.pt", "key", 1e9), precision)
    trained = []
    real = candidates.train
    monkeypatch.setattr(candidates, "train", lambda *a, **k: trained.append(a[4]) or real(*a, **k))
    assert tuned(pruning, Sidecar(tmp_path / "state.pt", "key"), precision) == expected
    assert len(trained) == 3 - number // STEPS
    assert [row["candidate"] for row in expected[0]] == [3, 7, 5]
    assert [row["candidate"] for row in expected[1]] == [3, 3, 7, 7, 5, 5]


def test_a_candidate_that_diverges_is_recorded_and_the_next_follows(monkeypatch, pruning, caplog):
    real = candidates.train

    def train_or_diverge(network, splits, recipe, seed, label, *rest, **named):
        recipe = replace(recipe, lr=1e20) if " 7 " in label else recipe
        return real(network, splits, recipe, seed, label, *rest, **named)

    monkeypatch.setattr(candidates, "train", train_or_diverge)
    rows, history = tuned(pruning)
    assert [bool(row["failure"]) for row in rows] == [False, True, False]
    assert "the loss is nan in epoch 1; lower lr 1e+20" in rows[1]["failure"]
    assert rows[1]["validation_accuracy_percent"] is None
    assert {row["candidate"] for row in history} == {3, 5}
    ranked = rank(rows)
    assert ranked[-1]["candidate"] == 7
    with pytest.raises(InputError, match="tune: all 1 candidates failed; the first: candidate 7"):
        rank(rows[1:2])


def test_rows_of_tuned_candidates_come_back(tmp_path, pruning):
    rows, _ = tuned(pruning)
    rows[1] |= {"validation_accuracy_percent": None, "failure": "the loss is nan, in epoch 1"}
    rows = [{"rank": place, **row} for place, row in enumerate(rows)]
    write_csv(tmp_path / "topm.csv", rows, TUNED_COLUMNS)
    assert load_tuned(tmp_path / "topm.csv") == rows


def test_a_full_training_that_diverges_is_a_result():
    recipe, calibration = replace(RECIPE, lr=1e20), Calibration(digits(), 32, 0)
    metrics, history = train_fully(fresh(), digits(), SPEC.input_shape, recipe, 0, "sacp 4", calibration)
    assert (metrics["test_accuracy_percent"], history) == (None, [])
    assert metrics["flops"] > 0
    failed, fine = {"candidate": 4, **metrics}, {"candidate": 9, **measure(fresh(), digits(), SPEC.input_shape)}
    rows = [{"candidate": 7, "failure": "why"}, {"candidate": 9, "failure": None}]
    winner = choose_winner([failed, fine], rows)
    assert (winner["candidate"], winner["trained_candidates"], winner["tuned_candidates"]) == (9, [9], 2)
    assert winner["failures"] == [
        {"stage": "tune", "candidate": 7, "reason": "why"},
        {"stage": "full", "candidate": 4, "reason": metrics["failure"]},
    ]
    with pytest.raises(InputError, match="full: all 1 trainings failed; the first: sacp 4: the loss is nan"):
        choose_winner([failed])


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("DefaultCPUAllocator: can't allocate memory")]
)
def test_out_of_memory_names_the_batch_size(monkeypatch, error):
    network = fresh()

    def forward(images):
        raise error

    monkeypatch.setattr(network, "forward", forward)
    with pytest.raises(InputError, match="run: out of memory on cpu at batch size 16; lower batch_size"):
        train(network, digits(), RECIPE, 0, "run")


STAGE = """
import sys, time
from pathlib import Path
from sacp.compute import job
from stand_in import stand_in
with job.running(stand_in(Path(sys.argv[1]))):
    print("ready", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_the_time_limits_signal_ends_a_stage_with_its_own_status(tmp_path, number):
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'scripts'}:{ROOT / 'tests'}"}
    command = [sys.executable, "-c", STAGE, str(tmp_path)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as stage:
        assert stage.stdout.readline() == "ready\n"
        stage.send_signal(number)
        assert stage.wait(timeout=30) == 128 + number
