"""What is exported gives what the pruned network gives, in every format, or is refused in one line that names it."""

import json
import pickle
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
import sacp
import torch
from sacp.deploy import export, onnx_model, program
from sacp.errors import InputError
from torch import Tensor, nn
from torchvision import models

SHAPE = (1, 3, 64, 64)
CONVNEXT = [models.convnext.CNBlockConfig(16, 32, 1), models.convnext.CNBlockConfig(32, None, 1)]
REGNET = models.regnet.BlockParams.from_init_params(depth=4, w_0=16, w_a=20.0, w_m=2.5, group_width=8)
# Networks of torchvision's classes, shallow or narrow, and the share of their FLOPs that is left.
FAMILIES: dict[str, tuple[Callable[[], nn.Module], float]] = {
    "resnet": (lambda: models.ResNet(models.resnet.BasicBlock, [1, 1, 1, 1]), 0.5),
    "regnet": (lambda: models.RegNet(REGNET), 0.5),
    "densenet": (lambda: models.DenseNet(8, (2, 2, 2), 16), 0.5),
    "mobilenet_v2": (lambda: models.mobilenet_v2(width_mult=0.25), 0.5),
    "mobilenet_v3": (lambda: models.mobilenet_v3_small(), 0.5),
    "shufflenet": (lambda: models.ShuffleNetV2([1, 1, 1], [16, 32, 64, 128, 256]), 0.5),
    "squeezenet": (lambda: models.squeezenet1_1(), 0.5),
    "mnasnet": (lambda: models.MNASNet(0.25), 0.5),
    "convnext": (lambda: models.ConvNeXt(CONVNEXT), 0.7),
    "vision transformer": (lambda: models.VisionTransformer(64, 16, 2, 2, 32, 128), 0.8),
}  # fmt: skip


@torch.no_grad()
def assert_same(found: Any, expected: Tensor) -> None:
    error = (torch.as_tensor(found) - expected).abs().max()
    assert error <= 1e-4 * expected.abs().max()


@pytest.mark.parametrize("name", FAMILIES)
def test_a_pruned_network_runs_elsewhere_with_batches_of_any_size(
    tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    make, share = FAMILIES[name]
    network = make()
    for key, buffer in network.named_buffers():
        if key.endswith(("running_mean", "running_var")):
            buffer += torch.rand_like(buffer)
    smaller = sacp.prune(network, SHAPE, flops=share)
    smaller.train()
    capfd.readouterr()
    sacp.export(smaller, tmp_path / "out", SHAPE)
    assert capfd.readouterr() == ("", "")
    assert smaller.training
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "network.json", "network.safetensors", "network.pt2", "network.onnx",
    }  # fmt: skip
    images = 2 * torch.randn(5, *SHAPE[1:])
    with torch.no_grad():
        expected = smaller.eval()(images)
        assert_same(torch.export.load(tmp_path / "out/network.pt2").module()(images), expected)
        assert torch.equal(sacp.load(tmp_path / "out", network=lambda: make())(images), expected)
    session = onnxruntime.InferenceSession(tmp_path / "out/network.onnx")
    [taken], [given] = session.get_inputs(), session.get_outputs()
    assert (taken.name, taken.shape, given.name) == ("input", ["batch", *SHAPE[1:]], "output")
    assert_same(session.run(None, {"input": images.numpy()})[0], expected)


class Small(nn.Module):
    """A network with a rule of its own after a convolution."""

    def __init__(self, rule: Callable[[Tensor], Any] = lambda y: y) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 4, 3)
        self.rule = rule

    def forward(self, x: Tensor) -> Any:
        return self.rule(self.conv(x).mean((2, 3)))


SMALL = (1, 3, 8, 8)


def test_several_outputs_are_all_compared_and_written(tmp_path: Path) -> None:
    network = Small(lambda y: {"a": y, "b": (y + 1, 2 * y)})
    sacp.export(network, tmp_path / "out", torch.randn(4, *SMALL[1:]))
    images = torch.randn(3, *SMALL[1:])
    found = onnxruntime.InferenceSession(tmp_path / "out/network.onnx").run(None, {"input": images.numpy()})
    with torch.no_grad():
        expected = network(images)
    for mine, theirs in zip(found, [expected["a"], *expected["b"]], strict=True):
        assert_same(mine, theirs)


def test_weights_too_large_for_the_model_lie_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_model, "LARGEST_BYTES", 0)
    network, images = Small().eval(), torch.randn(3, *SMALL[1:])
    sacp.export(network, tmp_path / "out", SMALL)
    assert (tmp_path / "out/network.onnx.data").stat().st_size > 0
    (tmp_path / "out").rename(tmp_path / "moved")
    found = onnxruntime.InferenceSession(tmp_path / "moved/network.onnx").run(None, {"input": images.numpy()})
    assert_same(found[0], network(images))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_program_of_torchs_keeps_the_networks_precision(tmp_path: Path, dtype: torch.dtype) -> None:
    sacp.export(Small().to(dtype), tmp_path / "out", SMALL, formats=["torch"])
    assert torch.export.load(tmp_path / "out/network.pt2").module()(torch.zeros(SMALL, dtype=dtype)).dtype == dtype


def test_one_format_alone_needs_none_of_the_others_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_model, "find_spec", lambda name: None if name == "onnxscript" else name)
    sacp.export(Small(), tmp_path / "out", SMALL, formats=["torch"])
    assert not (tmp_path / "out/network.onnx").exists()
    with pytest.raises(InputError) as caught:
        sacp.export(Small(), tmp_path / "other", SMALL)
    assert str(caught.value) == "formats: onnx needs onnxscript: pip install 'sacp[export]'"
    assert not (tmp_path / "other").exists()


def of_another_size(y: Tensor) -> Tensor:
    return 2 * y if y.shape[0] > 2 else y


REFUSED = [
    (Small(), {"formats": "onnx"}, "formats: found 'onnx', expected some of ('torch', 'onnx')"),
    (Small(), {"formats": ["tflite"]}, "formats: found ['tflite'], expected some of"),
    (Small(), {"formats": []}, "formats: found [], expected some of"),
    (Small().double(), {}, "onnx: found a network in torch.float64, expected torch.float32: network.float()"),
    ("net", {}, "network: found a str, expected a torch.nn.Module"),
    (Small(), {"example": (3, 8, 8)}, "example: found (3, 8, 8), expected a batch of inputs, or a shape [1, C, H, W]"),
    (Small(), {"example": torch.zeros(0, 3, 8, 8)}, "example: found the shape [0, 3, 8, 8], expected a batch of"),
    (Small(), {"example": (1, 4, 8, 8)}, "example: the network fails on the shape [1, 4, 8, 8] (RuntimeError: "),
    (Small(of_another_size), {}, "torch: the network cannot be exported ("),
    (Small(of_another_size), {"formats": ["onnx"]}, "onnx: the network cannot be exported ("),
    (Small(lambda y: y / 0), {}, "safetensors: what was written cannot be compared: the network gives NaN or infinite"),
    (Small(lambda y: y + torch.rand(1)), {}, "safetensors: what was written differs from the network by "),
]  # fmt: skip


@pytest.mark.parametrize(("network", "changed", "expected"), REFUSED)
def test_what_cannot_be_exported_is_refused_in_one_line_and_leaves_nothing(
    tmp_path: Path, network: Any, changed: dict[str, Any], expected: str
) -> None:
    with pytest.raises(InputError) as caught:
        sacp.export(network, tmp_path / "out", **{"example": SMALL, **changed})
    assert str(caught.value).startswith(expected)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", export.FORMATS)
def test_a_format_that_gives_something_else_is_not_kept_and_the_old_export_stays(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sacp.export(Small(), tmp_path / "out", SMALL, formats=["torch"])
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    form = export.FORMATS[name]
    wrong = program.program_of(Small(lambda y: 1.001 * y).eval(), torch.zeros(2, *SMALL[1:]))
    monkeypatch.setitem(export.FORMATS, name, replace(form, write=lambda traced, path: form.write(wrong, path)))
    with pytest.raises(InputError, match=f"^{name}: what was written differs from the network by 1.0e-03 of its larg"):
        sacp.export(Small(), tmp_path / "out", SMALL)
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("name", export.FORMATS)
def test_a_full_disk_is_told_in_one_line_and_leaves_nothing(small_disk: Path, name: str) -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(192, 160), nn.Linear(160, 100))  # its weights fit once
    with pytest.raises(InputError, match=r"out: cannot be written: no room on the disk \(No space left on device"):
        sacp.export(network, small_disk / "out", SMALL, formats=[name])
    assert list(small_disk.iterdir()) == []


def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(InputError, match=r"holds 'notes.txt', which is not of a saved network"):
        sacp.export(Small(), tmp_path, SMALL)


class Malice:
    """A pickle that makes a folder when it is loaded."""

    def __init__(self, marker: Path) -> None:
        self.marker = str(marker)

    def __reduce__(self) -> Any:
        import os

        return (os.mkdir, (self.marker,))


@pytest.mark.parametrize("hidden_in", ["weights", "sample_inputs"])
def test_a_program_that_would_be_unpickled_is_not_read(tmp_path: Path, hidden_in: str) -> None:
    sacp.export(Small(), tmp_path / "out", SMALL, formats=["torch"])
    torch.save(Malice(tmp_path / "run"), tmp_path / "bait.pt")
    with zipfile.ZipFile(tmp_path / "out/network.pt2") as source, zipfile.ZipFile(tmp_path / "new.pt2", "w") as changed:
        for name in source.namelist():
            content = source.read(name)
            if hidden_in == "weights" and name.endswith("weights_config.json"):
                config = json.loads(content)
                config["config"]["conv.weight"]["use_pickle"] = True
                content = json.dumps(config).encode()
            if f"/{hidden_in}/" in name and name.endswith(("weight_0", ".pt")):
                content = (tmp_path / "bait.pt").read_bytes()
            changed.writestr(name, content)
    with pytest.raises((InputError, pickle.UnpicklingError)):
        program.read(tmp_path / "new.pt2")
    assert not (tmp_path / "run").exists()
    with pytest.raises(Exception):  # noqa: B017, PT011 (torch's, of whatever the bait gives)
        torch.export.load(tmp_path / "new.pt2").module()(torch.zeros(SMALL))
    assert (tmp_path / "run").exists()  # the bait is live
