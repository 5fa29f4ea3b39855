"""Weights to start from: files of all kinds, what is none, and names that torchvision publishes."""

import gzip
import io
import pickle
import re
import tarfile
import zipfile
from argparse import Namespace
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
import torchvision
from sacp.errors import InputError
from sacp.network import weights
from sacp.network.weights import inherit
from safetensors.torch import save_file
from torch import Tensor
from torchvision.models import ResNet18_Weights

NAME = "ResNet18_Weights.IMAGENET1K_V1"


def small() -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))


def taken(path: Path) -> torch.nn.Module:
    """A fresh network with the weights of a file."""
    network = small()
    weights.check(str(path))
    inherit(network, path)
    return network


def written(path: Path, state: object) -> Path:
    (save_file if path.suffix == ".safetensors" else torch.save)(state, path)
    return path


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth", "w.pt", "w.pth.tar", "w.ckpt", "w.bin", "W.PTH", "a/w"])
def test_every_kind_of_file_gives_back_what_was_saved(tmp_path, name):
    trained, path = small(), tmp_path / name
    path.parent.mkdir(exist_ok=True)
    written(path, trained.state_dict())
    assert torch.equal(taken(path)[0].weight, trained[0].weight)


def test_the_content_of_a_file_decides_and_not_its_suffix(tmp_path):
    trained = small()
    save_file(trained.state_dict(), tmp_path / "w.bin")
    torch.save(trained.state_dict(), tmp_path / "w.safetensors")
    for name in ("w.bin", "w.safetensors"):
        assert torch.equal(taken(tmp_path / name)[0].weight, trained[0].weight)


def renamed(state: dict[str, Tensor], rename: Callable[[str], str]) -> dict[str, Tensor]:
    return {rename(name): tensor for name, tensor in state.items()}


@pytest.mark.parametrize(
    ("rename", "said"),
    [
        (lambda name: f"module.{name}", "'module.' taken off"),
        (lambda name: f"_orig_mod.{name}", "'_orig_mod.' taken off"),
        (lambda name: f"module._orig_mod.module.{name}", "'module.module.' and '_orig_mod.' taken off"),
        (lambda name: name.replace("0.", "0._orig_mod."), "'_orig_mod.' taken off"),
        (lambda name: f"model.backbone.{name}", "'model.backbone.' taken off"),
    ],
)
@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_what_wrappers_put_before_names_is_taken_off_and_said(tmp_path, caplog, name, rename, said):
    caplog.set_level("INFO")
    trained = small()
    path = written(tmp_path / name, renamed(trained.state_dict(), rename))
    assert torch.equal(taken(path)[0].weight, trained[0].weight)
    assert [record.getMessage() for record in caplog.records] == [f"{path}: {said} the names of its weights"]


def test_wrapped_networks_are_saved_with_what_is_taken_off(tmp_path):
    trained = small()
    averaged = torch.optim.swa_utils.AveragedModel(torch.compile(trained))
    for wrapped in (torch.nn.DataParallel(trained), torch.compile(torch.nn.DataParallel(trained)), averaged):
        path = written(tmp_path / "w.pth", wrapped.state_dict())
        assert torch.equal(taken(path)[0].weight, trained[0].weight)


def test_names_that_are_the_networks_own_are_left_alone(tmp_path, caplog):
    caplog.set_level("INFO")
    trained, network = (torch.nn.Sequential(OrderedDict(module=small())) for _ in range(2))
    inherit(network, written(tmp_path / "w.pth", trained.state_dict()))
    assert torch.equal(network.module[0].weight, trained.module[0].weight)
    assert not caplog.records


@pytest.mark.parametrize("key", ["state_dict", "model", "net", "anything"])
def test_a_single_state_dict_in_a_dict_of_others_is_taken_out_and_said(tmp_path, caplog, key):
    caplog.set_level("INFO")
    trained = small()
    optimizer = torch.optim.SGD(trained.parameters(), 0.1, momentum=0.9)
    trained(torch.zeros(2, 3, 4, 4)).sum().backward()
    optimizer.step()
    path = written(
        tmp_path / "w.pth",
        {"epoch": torch.tensor(3), key: trained.state_dict(), "optimizer": optimizer.state_dict(), "best": 0.5},
    )
    assert torch.equal(taken(path)[0].weight, trained[0].weight)
    assert [record.getMessage() for record in caplog.records] == [f"{path}: the state dict is taken from its '{key}'"]
    torch.save({"checkpoint": {key: trained.state_dict(), "optimizer": optimizer.state_dict()}}, path)
    assert torch.equal(taken(path)[0].weight, trained[0].weight)


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_networks_whose_layers_have_versions_are_read_from_every_kind_of_file(tmp_path, name):
    trained, network = (torchvision.models.mnasnet0_5(weights=None) for _ in range(2))
    inherit(network, written(tmp_path / name, trained.state_dict()))
    assert torch.equal(network.classifier[1].weight, trained.classifier[1].weight)
    parallel = torch.nn.DataParallel(trained).state_dict()
    inherit(network, written(tmp_path / name, parallel))


def test_counts_that_old_files_lack_are_not_missed(tmp_path):
    state = {name: each for name, each in small().state_dict().items() if not name.endswith("num_batches_tracked")}
    assert torch.equal(taken(written(tmp_path / "w.safetensors", state))[0].weight, state["0.weight"])


WIDE = torch.nn.Sequential(torch.nn.Conv2d(3, 5, 3), torch.nn.BatchNorm2d(4), torch.nn.Linear(2, 2))
UNFIT = [
    (
        WIDE.state_dict(),
        "2 are not the network's (2.weight, 2.bias); 2 have other shapes "
        "(0.weight [5, 3, 3, 3], expected [4, 3, 3, 3], 0.bias [5], expected [4])",
    ),
    (
        {"a.b": torch.zeros(1), "a.c": torch.zeros(1)},
        "of its 7 tensors 6 are missing (0.weight, 0.bias, 1.weight and 3 more); 2 are not the network's (a.b, a.c)",
    ),
    (
        {f"module.{index}.x": torch.zeros(1) for index in range(5)},
        "of its 7 tensors 6 are missing (0.weight, 0.bias, 1.weight and 3 more); "
        "5 are not the network's (0.x, 1.x, 2.x and 2 more)",
    ),
]


@pytest.mark.parametrize(("state", "expected"), UNFIT)
def test_weights_of_another_network_are_told_by_names_and_shapes(tmp_path, state, expected):
    network, path = small(), written(tmp_path / "w.pth", state)
    before = {name: each.clone() for name, each in network.state_dict().items()}
    with pytest.raises(InputError) as caught:
        inherit(network, path)
    assert str(caught.value) == f"{path}: weights do not fit the network: {expected}"
    assert all(torch.equal(each, before[name]) for name, each in network.state_dict().items())


@pytest.mark.parametrize(
    ("name", "change", "expected"),
    [
        ("0.weight", lambda each: each.fill_(torch.nan), "0.weight holds NaN or infinite values; expected finite ones"),
        ("1.running_var", lambda each: each.fill_(torch.inf), "1.running_var holds NaN or infinite values"),
        ("0.bias", lambda each: each.to(torch.int8), "0.bias is of type torch.int8, expected torch.float32"),
    ],
)
def test_values_that_no_network_can_use_are_refused_by_name(tmp_path, name, change, expected):
    state = small().state_dict()
    state[name] = change(state[name].clone())
    with pytest.raises(InputError, match=re.escape(f"w.pth: {expected}")):
        inherit(small(), written(tmp_path / "w.pth", state))


def test_a_state_dict_of_before_zip_files_is_read(tmp_path):
    torch.save(small().state_dict(), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert set(weights.load(tmp_path / "old.pth")) == set(small().state_dict())


class Malice:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return type(self.folder).mkdir, (self.folder,)


def zipped(name: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(name, "text")
    return content.getvalue()


def tarred() -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("w.pth"))
    return content.getvalue()


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n"
WHOLE = "holds a whole network with its code ("
NO_WEIGHTS = [
    # values
    ({"model": {"x": 3}, "epoch": 3}, "holds a dict of model, epoch, expected a state dict"),
    ({"x": torch.zeros(1), "epoch": 3}, "holds a dict of tensors and of others (epoch), expected a state dict"),
    ({"model": {"x": torch.zeros(1)}, "ema": {"x": torch.zeros(1)}}, "holds several state dicts (model, ema); expec"),
    ([torch.zeros(1)], "holds a list, expected a state dict"),
    ({}, "holds an empty dict, expected a state dict"),
    (
        small(),
        f"{WHOLE}torch.nn.modules.batchnorm.BatchNorm2d, torch.nn.modules.container.Sequential, torch.nn.modules",
    ),
    ({"model": torch.nn.DataParallel(small()), "epoch": 3}, WHOLE),
    ({"args": Namespace(lr=1), "model": {"x": torch.zeros(1)}}, "holds objects (argparse.Namespace) that run code"),
    # files of others
    (b"no checkpoint", "is no file of torch.save or safetensors (it begins with b'no check')"),
    (b"", "is empty; copy or download it again"),
    (POINTER, "is a Git LFS pointer, which stands for the file; fetch that by `git lfs pull`"),
    (
        b"\n<!DOCTYPE html><html><body>Sign in</body></html>",
        "is a web page or XML, no weights; download the file itself",
    ),
    (b'{"weight_map": {}}', "is a text in JSON, no weights"),
    (gzip.compress(b"x"), "is compressed by gzip; unpack it first"),
    (tarred(), "is an archive of tar; unpack it first"),
    (zipped("readme.txt"), "is a zip file with 'readme.txt', no file of torch.save; expected what torch.save(network"),
    (zipped("net/constants.pkl"), "is a program of TorchScript; expected a state dict"),
    (pickle.dumps({"x": 1}), "is a pickle that torch.save has not written; expected what torch.save(network.state"),
]


@pytest.mark.parametrize(("content", "expected"), NO_WEIGHTS)
def test_a_file_of_other_content_is_refused_by_what_it_is_in_one_line(tmp_path, content, expected):
    path = tmp_path / "w.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(InputError) as caught:
        weights.load(path)
    assert f"w.pth: {expected}" in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("legacy", [False, True])
def test_no_code_of_a_file_is_run(tmp_path, legacy):
    torch.save(Malice(tmp_path / "executed"), tmp_path / "w.pth", _use_new_zipfile_serialization=not legacy)
    expected = r"w.pth: holds objects \([\w.]+[^)]*\) that run code when they are read; expected its state dict, as "
    with pytest.raises(InputError, match=expected):
        weights.load(tmp_path / "w.pth")
    assert not (tmp_path / "executed").exists()


def test_a_whole_network_of_before_zip_files_is_refused_as_one(tmp_path):
    torch.save(small(), tmp_path / "w.pth", _use_new_zipfile_serialization=False)
    with pytest.raises(InputError, match=rf"w.pth: {re.escape(WHOLE)}torch.nn.modules.container.Sequential\), which"):
        weights.load(tmp_path / "w.pth")


@pytest.mark.parametrize("kind", ["safetensors", "zip", "legacy"])
@pytest.mark.parametrize("left", [0.2, 0.5, 0.99])
def test_a_file_that_is_cut_off_is_refused(tmp_path, kind, left):
    path, state = tmp_path / "w.bin", {"x": torch.rand(1000)}
    if kind == "safetensors":
        save_file(state, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=kind == "zip")
    content = path.read_bytes()
    path.write_bytes(content[: int(left * len(content))])
    with pytest.raises(InputError, match=r"w\.bin: damaged or cut off[^\n]*; copy or download it again$"):
        weights.load(path)


def test_a_flipped_bit_is_found(tmp_path):
    path = written(tmp_path / "w.pth", {"x": torch.rand(1000)})
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"w\.pth: damaged \(wrong checksum of \S+\); copy or download it again$"):
        weights.load(path)


def test_a_name_of_torchvision_is_loaded_with_its_checksum(monkeypatch):
    asked = {}

    def published(self, **arguments):
        asked.update(arguments)
        return torchvision.models.resnet18().state_dict()

    monkeypatch.setattr(ResNet18_Weights, "get_state_dict", published)
    weights.check(NAME)
    assert not asked  # a check downloads nothing
    inherit(torchvision.models.resnet18(num_classes=1000), NAME)
    assert asked == {"progress": False, "check_hash": True, "weights_only": True}
    with pytest.raises(InputError, match=f"{NAME}: weights do not fit the network"):
        inherit(torchvision.models.resnet18(num_classes=10), NAME)


def test_a_download_that_fails_is_told_in_one_line(monkeypatch):
    def refused(self, **arguments):
        raise URLError("no route\nto host")

    monkeypatch.setattr(ResNet18_Weights, "get_state_dict", refused)
    with pytest.raises(InputError, match=rf"^{NAME}: cannot be downloaded from https://\S+ \(.*no route to host.*\)$"):
        weights.load(NAME)


ABSENT = ("w.pth", "w.pt", "w.safetensors", "w.bin", "w.ckpt", "model_best.pth.tar", "w.pkl", "my_weights.pth", "a/w")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ResNet18_Weights.IMAGENET1K_V9", rf"did you mean '{NAME}'\?"),
        ("ResNet18_Weight.IMAGENET1K_V1", rf"did you mean '{NAME}'\?"),
        ("resnet18", "expected a name such as ResNet18_Weights.IMAGENET1K_V1 or a file, as .safetensors, .pth, .pt"),
        *((name, f"{name}: no such file; expected a state dict in a file, as") for name in ABSENT),
        ("/", "/: is a folder; expected a state dict in a file"),
    ],
)
def test_unknown_weights_are_refused(name, expected):
    with pytest.raises(InputError, match=expected):
        weights.check(name)
