"""The lines of docs/own-network.md do what they say, in Python, as a command, and in a config."""

import re
import shlex
import sys
import textwrap
from contextlib import nullcontext
from pathlib import Path

import pytest
import sacp
import torch
import torchvision
import yaml
from checkout import ROOT
from image_tree import CLASSES, write_tree
from sacp import imports
from sacp.api.command import run
from sacp.errors import InputError
from sacp.plan import config as plan_config
from sacp.plan import preflight

PAGE = (ROOT / "docs/own-network.md").read_text()
EXPORTED = {"network.json", "network.safetensors", "network.pt2", "network.onnx"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where few and small images stand for ImageNet."""
    write_tree(tmp_path / "data/imagenet", train=6, val=2)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def check(folder: Path, exported: Path) -> None:
    """The saved network is half of the original, and is what was exported."""
    smaller = sacp.load(folder / "smaller")
    network = torchvision.models.resnet18(num_classes=len(CLASSES))
    before, after = sacp.compare(network, smaller, (1, 3, 32, 32)).flops
    assert 0.45 * before < after <= before / 2
    assert {path.name for path in exported.iterdir()} == EXPORTED
    program, images = torch.export.load(exported / "network.pt2"), torch.randn(3, 3, 32, 32)
    torch.testing.assert_close(program.module()(images), smaller(images), atol=1e-4, rtol=1e-4)


def test_the_lines_in_python(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)[0]
    assert len([line for line in lines.splitlines() if line and not line.startswith("import")]) == 5
    for written, here in (
        ('weights="DEFAULT"', f"num_classes={len(CLASSES)}"),  # no download
        ('"data/imagenet"', '"data/imagenet", image_size=32'),
        ("epochs=10", "epochs=1, batch_size=8"),
    ):
        assert lines.count(written) == 1
        lines = lines.replace(written, here)
    exec(lines, {})
    assert "whole network" in capsys.readouterr().out
    check(folder, folder / "exported")


def test_the_command(folder: Path) -> None:
    (line,) = [line for line in PAGE.splitlines() if line.startswith("sacp prune")]
    for written, here in (
        (" --weights ResNet18_Weights.IMAGENET1K_V1", " --image-size 32 --batch-size 8"),
        ("--epochs 10", "--epochs 1"),
    ):
        assert line.count(written) == 1
        line = line.replace(written, here)
    assert run(shlex.split(line)[1:]) == 0
    check(folder, folder / "smaller/export")


def block(language: str, first: str) -> str:
    """The indented code of the page that begins with this line."""
    found = [
        match[2] for match in re.finditer(rf"^( *)```{language}\n(.*?)^ *```", PAGE, flags=re.DOTALL | re.MULTILINE)
    ]
    return textwrap.dedent(next(text for text in found if text.strip().startswith(first)))


def test_the_network_of_ones_own_and_its_config_pass_all_checks_with_weights_of_data_parallel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mynet.py").write_text(block("python", "# mynet.py"))
    settings = yaml.safe_load(block("yaml", "# mine.yaml"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    network = torch.nn.DataParallel(imports.load("mynet:build")(10))
    config = plan_config.resolve(settings, ROOT / "config/schema.yaml", "mine.yaml")
    for state, refused in (
        ({"state_dict": network.state_dict(), "epoch": 9}, None),
        ({"state_dict": network.module.blocks.state_dict()}, "network.weights: trained.pth: weights do not fit the n"),
    ):
        torch.save(state, "trained.pth")
        with pytest.raises(InputError, match=refused) if refused else nullcontext():
            preflight.check(config, "mine.yaml", ROOT / "config/reported/table3.csv")
    sys.modules.pop("mynet")


def test_no_function_has_the_name_of_a_room() -> None:
    """Whoever imports the room would find the module in place of the function."""
    rooms = {path.name for path in (ROOT / "scripts/sacp").iterdir() if path.is_dir()}
    assert rooms.isdisjoint(sacp.__all__)
    assert all(callable(getattr(sacp, name)) for name in sacp.__all__)
