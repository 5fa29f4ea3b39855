"""Weights to start from: files of three kinds, and names that torchvision publishes."""

from urllib.error import URLError

import pytest
import torch
import torchvision
from sacp.errors import InputError
from sacp.network import weights
from sacp.network.weights import inherit
from safetensors.torch import save_file
from torchvision.models import ResNet18_Weights

NAME = "ResNet18_Weights.IMAGENET1K_V1"


def small() -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth", "w.pt"])
def test_every_kind_of_file_gives_back_what_was_saved(tmp_path, name):
    trained, network = small(), small()
    write = save_file if name.endswith("safetensors") else torch.save
    write(trained.state_dict(), tmp_path / name)
    weights.check(str(tmp_path / name))
    inherit(network, tmp_path / name)
    assert torch.equal(network[0].weight, trained[0].weight)
    with pytest.raises(InputError, match=rf"{name}: weights do not fit the network"):
        inherit(torch.nn.Linear(2, 2), tmp_path / name)


def test_a_state_dict_of_before_zip_files_is_read(tmp_path):
    torch.save(small().state_dict(), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert set(weights.load(tmp_path / "old.pth")) == set(small().state_dict())


class Malice:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return type(self.folder).mkdir, (self.folder,)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"model": {"x": torch.zeros(1)}, "epoch": 3}, "holds a dict of model, epoch, expected a state dict"),
        ([torch.zeros(1)], "holds a list, expected a state dict"),
        (b"no checkpoint", "cannot be read as a file of tensors"),
        (
            Malice,
            "cannot be read as a file of tensors (objects that run code); expected what torch.save(network.st",
        ),
    ],
)
def test_a_pth_file_of_other_content_is_refused_in_one_line(tmp_path, content, expected):
    path = tmp_path / "w.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(Malice(tmp_path / "executed") if content is Malice else content, path)
    with pytest.raises(InputError) as caught:
        weights.load(path)
    assert f"w.pth: {expected}" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "executed").exists()


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


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ResNet18_Weights.IMAGENET1K_V9", rf"did you mean '{NAME}'\?"),
        ("ResNet18_Weight.IMAGENET1K_V1", rf"did you mean '{NAME}'\?"),
        ("resnet18", "expected a name such as ResNet18_Weights.IMAGENET1K_V1 or a file .safetensors, .pth, .pt"),
        ("weights.bin", "torchvision publishes no such weights"),
        ("absent.pth", "absent.pth: no such file"),
    ],
)
def test_unknown_weights_are_refused(name, expected):
    with pytest.raises(InputError, match=expected):
        weights.check(name)
