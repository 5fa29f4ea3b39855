"""The command `sacp`: what it prints, its statuses, and mistakes in one line."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import sacp
import torch
from checkout import ROOT
from image_tree import SIZE, write_tree
from sacp.api.command import run
from words import check_words

BUILDER = "users_network:build"
SOURCE = """
import torch
from torch import nn

def build(num_classes=3):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, bias=False), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 16, 3), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, num_classes),
    )
"""
SHAPE = f"1,3,{SIZE},{SIZE}"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a user's module, in which the command is run."""
    (tmp_path / "users_network.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.modules.pop("users_network", None)


def test_a_network_is_pruned_reported_and_saved(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["prune", "--network", BUILDER, "--input", SHAPE, "--flops", "0.5", "--round-to", "4", "--out", "small"]
    assert run(given) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0].split() == ["layer", "channels", "FLOPs", "parameters"]
    assert told[-1] == "saved: small"
    from users_network import build

    smaller = sacp.load(folder / "small", network=build)
    found = sacp.compare(build(), smaller, (1, 3, SIZE, SIZE))
    assert str(found).splitlines() == told[:-1]
    assert found.flops[1] <= found.flops[0] / 2
    assert smaller[0].out_channels % 4 == 0


def test_weights_are_read_and_images_calibrate_train_and_measure(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from users_network import build

    write_tree(folder / "images", train=10, val=3)
    weights = {name: value * 2 for name, value in build().state_dict().items()}
    torch.save(weights, folder / "weights.pth")
    given = [
        "prune", "--network", BUILDER, "--weights", "weights.pth", "--images", "images", "--image-size", str(SIZE),
        "--flops", "0.6", "--epochs", "1", "--batch-size", "8", "--lr", "1e-12", "--device", "cpu", "--out", "small",
        "--criterion", "l1",
    ]  # fmt: skip
    assert run(given) == 0
    assert "test accuracy: " in capsys.readouterr().out
    smaller, left = sacp.load(folder / "small", network=build), weights["0.weight"]
    order = left.abs().sum((1, 2, 3)).argsort(descending=True)[: smaller[0].out_channels].sort().values
    torch.testing.assert_close(smaller[0].weight.detach(), left[order], atol=1e-6, rtol=1e-4)
    assert not (folder / "small.training").exists()


@pytest.mark.parametrize("weight", [0, 0.8])
def test_the_unpruned_network_teaches_as_it_is(folder: Path, monkeypatch: pytest.MonkeyPatch, weight: float) -> None:
    from users_network import build

    write_tree(folder / "images", train=10, val=3)
    given, real = list[tuple[object, object]](), sacp.train

    def train(*arguments: object, **named: object) -> object:
        given.append((named["teacher"], named["distill_weight"]))
        return real(*arguments, **named)

    monkeypatch.setattr(sacp, "train", train)
    arguments = [
        "prune", "--network", BUILDER, "--images", "images", "--image-size", str(SIZE), "--flops", "0.6", "--epochs",
        "1", "--batch-size", "8", "--device", "cpu", "--distill", str(weight), "--out", "small",
    ]  # fmt: skip
    assert run(arguments) == 0
    ((teacher, found),) = given
    assert found == (weight or None)
    assert (teacher is None) == (weight == 0)
    if teacher is not None:
        pairs = zip(teacher.state_dict().values(), build().state_dict().values(), strict=True)
        assert all(torch.equal(one, other) for one, other in pairs)


def test_a_saved_network_is_timed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["prune", "--network", BUILDER, "--input", SHAPE, "--flops", "0.5", "--out", "small"]) == 0
    capsys.readouterr()
    given = ["latency", "small", "--input", SHAPE, "--network", BUILDER, "--original", "--batch", "2", "--threads", "1"]
    assert run([*given, "--runtime", "eager", "--seconds", "0"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("eager (torch ")
    assert ", batch 2, 1 threads, " in line
    assert line.endswith("times as fast as the original")


PRUNE = f"prune --network {BUILDER} --out s"


@pytest.mark.parametrize(
    ("given", "status", "message"),
    [
        (f"{PRUNE} --input {SHAPE}", 1, "budget: found none, expected flops, parameters or latency above 0"),
        (f"{PRUNE} --input {SHAPE} --flops 1", 1, "budget: no configuration of the space is within 1 FLOPs"),
        (f"{PRUNE} --input {SHAPE} --flops half", 1, "--flops: found 'half', expected a number"),
        (f"{PRUNE} --flops 0.5", 1, "--input: found '', expected the shape of one input"),
        (f"{PRUNE} --flops 0.5 --input 3x8", 1, "--input: found '3x8', expected the shape of one input"),
        (f"{PRUNE} --flops 0.5 --input {SHAPE} --network resnet18", 1, "--network: found 'resnet18', expected MODULE:"),
        (f"{PRUNE} --flops 0.5 --input {SHAPE} --network no:way", 1, "cannot import 'no:way'"),
        (f"{PRUNE} --flops 0.5 --input {SHAPE} --network json:dumps", 1, "'json:dumps'"),
        (f"{PRUNE} --flops 0.5 --input {SHAPE} --epochs 3", 1, "--epochs: found 3 without images to train on"),
        (
            f"{PRUNE} --flops 0.5 --input {SHAPE} --distill 0.9",
            1,
            "--distill: found 0.9 without a training; expe",
        ),
        (f"{PRUNE} --flops 0.5 --input {SHAPE} --out .", 1, "--out: '.' exists and is not empty"),
        (f"{PRUNE} --flops 0.5 --input {SHAPE} --weights w.pth", 1, "w.pth: no such file"),
        (f"{PRUNE} --flops 0.5 --input {SHAPE} --ignore conv7", 1, "ignore: found 'conv7', which no convolution"),
        (f"{PRUNE} --flops 0.5 --images nowhere", 1, "nowhere: found no images as they are read"),
        (
            f"{PRUNE} --flops 0.5 --input {SHAPE} --out users_network.py/x",
            1,
            "--out: 'users_network.py/x' cannot be made",
        ),
        (f"{PRUNE} --flops 0.5 --input {SHAPE} --out /proc/x", 1, "--out: '/proc/x' cannot be made in '/proc' (No su"),
        (f"{PRUNE} --flops 0.5 --input {SHAPE} --batch 8", 1, "batch: found 8 without a budget on latency"),
        (f"latency nowhere --input {SHAPE}", 1, "nowhere/network.json: no such file"),
        (f"latency nowhere --input {SHAPE} --original", 1, "--original: found no function that returns it"),
        ("explain nowhere.csv", 1, "nowhere.csv"),
        (f"prune --network {BUILDER}", 2, "Missing option '--out'"),
        ("prune --levels", 2, "No such option: --levels"),
        (f"latency s --input {SHAPE} --threads two", 2, "Invalid value for '--threads'"),
        ("prunes", 2, "No such command 'prunes'"),
    ],
)
def test_a_mistake_ends_in_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], given: str, status: int, message: str
) -> None:
    before = {path.name for path in folder.iterdir()}
    assert run(given.split()) == status
    told = capsys.readouterr()
    (line,) = told.err.splitlines()
    assert line.startswith("error: ")
    check_words(line, message)
    assert {path.name for path in folder.iterdir()} - {"__pycache__"} == before


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("--input 1,3,64,64", f"--input: found [1, 3, 64, 64], but images are given as [1, 3, {SIZE}, {SIZE}], which"),
        ("--classes 7", "--classes: found 7, but the images have 3 classes"),
    ],
)
def test_what_contradicts_the_images_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], given: str, message: str
) -> None:
    write_tree(folder / "images", train=2, val=1)
    images = f"--images images --image-size {SIZE} --flops 0.5"
    assert run([*PRUNE.split(), *images.split(), *given.split()]) == 1
    assert capsys.readouterr().err.startswith(f"error: {message}")


def test_outputs_for_other_classes_than_the_images_have_are_refused_before_the_pruning(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_tree(folder / "images", train=2, val=1)
    source = folder / "users_network.py"
    source.write_text(source.read_text().replace("nn.Linear(16, num_classes)", "nn.Linear(16, 1000)"))
    given = f"{PRUNE} --images images --image-size {SIZE} --flops 0.5"
    assert run(given.split()) == 1
    told = capsys.readouterr()
    expected = f"error: --network: '{BUILDER}' in evaluation gives a tensor of shape [2, 1000] for images of shape [2, "
    assert told.err.startswith(expected)
    assert not told.out


def test_packages_of_an_export_are_looked_for_before_the_pruning(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sacp.deploy.onnx_model.PACKAGES", ("no_such_package",))
    assert run(f"{PRUNE} --input {SHAPE} --flops 0.5 --export".split()) == 1
    told = capsys.readouterr()
    assert told.err == "error: formats: onnx needs no_such_package: pip install 'sacp[export]'\n"
    assert not told.out


def test_drawn_weights_are_those_of_the_seed(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = folder / "users_network.py"
    source.write_text(source.read_text().replace("torch.manual_seed(0)", "pass"))
    for out in ("one", "two"):
        assert run(f"prune --network {BUILDER} --input {SHAPE} --flops 0.5 --out {out}".split()) == 0
        assert f"no --weights: pruned are those that {BUILDER} gives" in caplog.text
    one, two = ((folder / out / "network.safetensors").read_bytes() for out in ("one", "two"))
    assert one == two


def test_help_is_shown_to_who_asks_for_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 0
    told = capsys.readouterr().out
    assert all(command in told for command in ("prune", "export", "latency", "explain"))


def test_a_file_of_a_run_is_explained(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = {"rule": "make", "outputs": {"a.csv": "0"}, "inputs": {}}
    (folder / "provenance.json").write_text(json.dumps(record))
    assert run(["explain", "a.csv"]) == 1
    assert "a.csv" in capsys.readouterr().err


def test_the_command_says_what_it_does_and_keeps_others_quiet(folder: Path) -> None:
    given = ["prune", "--network", BUILDER, "--input", SHAPE, "--flops", "0.5", "--out", "small"]
    found = subprocess.run(
        [sys.executable, "-m", "sacp", *given], capture_output=True, text=True,
        env={"PYTHONPATH": str(ROOT / "scripts"), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert found.returncode == 0
    assert found.stdout.splitlines()[-1] == "saved: small"
    assert all(
        line.startswith(("score: ", "search: ", "not pruned: ", "no --weights: ")) for line in found.stderr.splitlines()
    )


def test_a_network_is_exported_with_its_pruning_or_later(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["prune", "--network", BUILDER, "--input", SHAPE, "--flops", "0.5", "--out", "small", "--export"]
    assert run(given) == 0
    assert capsys.readouterr().out.splitlines()[-2:] == ["saved: small", f"exported: {Path('small/export')}"]
    assert run(["export", "small", "--input", SHAPE, "--network", BUILDER, "--out", "again"]) == 0
    names = {"network.json", "network.safetensors", "network.pt2", "network.onnx"}
    assert {path.name for path in (folder / "again").iterdir()} == names
    assert {path.name for path in (folder / "small/export").iterdir()} == names
    for one, other in ((folder / "again", folder / "small/export"),):
        assert (one / "network.safetensors").read_bytes() == (other / "network.safetensors").read_bytes()


def test_an_interrupt_while_modules_are_imported_ends_in_one_line(tmp_path: Path) -> None:
    """A module that is imported on the way interrupts the process, as Ctrl-C in the first second does."""
    (tmp_path / "typer.py").write_text("import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(60)\n")
    found = subprocess.run(
        [sys.executable, "-m", "sacp", "--help"], capture_output=True, text=True,
        env={"PYTHONPATH": f"{tmp_path}:{ROOT / 'scripts'}", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert (found.returncode, found.stdout, found.stderr) == (130, "", "stopped\n")
