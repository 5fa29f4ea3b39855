"""Networks are saved whole and come back equal to the bit, those of torchvision without any code of the user's."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sacp
import torch
from networks_zoo import any_network
from sacp.artefacts.digests import sealed
from sacp.errors import InputError
from sacp.pruning.origin import Unfilled
from sacp.pruning.state import state_of
from torch import Tensor, nn
from torchvision import models

SHAPE = (2, 3, 64, 64)


def network_of(name: str, **arguments: Any) -> nn.Module:
    """A network of torchvision's whose statistics differ from layer to layer."""
    torch.manual_seed(0)
    network = models.get_model(name, weights=None, **arguments)
    for name, buffer in network.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            buffer += torch.rand_like(buffer)
    return network.eval()


@torch.no_grad()
def assert_equal(loaded: nn.Module, saved: nn.Module, shape: tuple[int, ...] = SHAPE) -> None:
    """The same bits in evaluation, and the same to train on."""
    images = torch.randn(shape, generator=torch.Generator().manual_seed(1)).to(next(saved.parameters()).dtype)
    assert torch.equal(loaded(images), saved.eval()(images))
    assert not any(module.training for module in loaded.modules())
    for kind in ("named_parameters", "named_buffers"):
        mine, theirs = (dict(getattr(each, kind)(remove_duplicate=False)) for each in (loaded, saved))
        assert list(mine) == list(theirs)
        for name, tensor in mine.items():
            assert (tensor.dtype, tensor.requires_grad) == (theirs[name].dtype, theirs[name].requires_grad), name
            assert torch.equal(tensor, theirs[name]), name


# One of each family, in whose sizes, groups, options and tables of positions they differ.
FAMILIES = {
    "resnet18": {"num_classes": 7}, "resnext50_32x4d": {}, "densenet121": {}, "shufflenet_v2_x0_5": {},
    "googlenet": {"init_weights": False, "transform_input": True}, "mobilenet_v3_small": {"dropout": 0.7},
    "regnet_y_400mf": {}, "efficientnet_b0": {}, "mnasnet0_5": {}, "squeezenet1_1": {},
}  # fmt: skip


@pytest.mark.parametrize("name", FAMILIES)
def test_a_pruned_network_of_torchvision_comes_back_by_itself(tmp_path: Path, name: str) -> None:
    smaller = sacp.prune(network_of(name, **FAMILIES[name]), (1, *SHAPE[1:]), flops=0.8)
    sacp.save(smaller, tmp_path / "saved")
    loaded = sacp.load(tmp_path / "saved")
    assert str(loaded) == str(smaller)
    assert type(loaded) is type(smaller)
    assert_equal(loaded, smaller)


def test_a_loaded_network_trains_on_to_the_same_bits(tmp_path: Path) -> None:
    def trained(network: nn.Module) -> nn.Module:
        torch.manual_seed(2)
        network.train()(torch.randn(SHAPE)).square().sum().backward()
        torch.optim.SGD([each for each in network.parameters() if each.requires_grad], 0.1).step()
        return network.eval()

    smaller = sacp.prune(network_of("mobilenet_v2", width_mult=0.35), (1, *SHAPE[1:]), flops=0.5)
    smaller.features[0].requires_grad_(False)
    sacp.save(smaller, tmp_path / "saved")
    loaded = sacp.load(tmp_path / "saved")
    assert_equal(trained(loaded), trained(smaller))


def changed(change: Callable[[Any], Any]) -> nn.Module:
    network = network_of("resnet18")
    change(network)
    return network


def attribute(path: str, name: str, value: Any) -> Callable[[Any], Any]:
    return lambda network: setattr(network.get_submodule(path), name, value)


@pytest.mark.parametrize(
    ("change", "builder"),
    [
        (attribute("", "fc", nn.Linear(512, 3)), "torchvision:resnet18"),
        (attribute("", "conv1", nn.Conv2d(1, 64, 7, 2, 3, bias=False)), "torchvision:resnet18"),
        (attribute("", "conv1", nn.Conv2d(3, 64, 3, bias=False)), None),
        (attribute("bn1", "eps", 0.5), "torchvision:resnet18"),
        (attribute("layer2.0.conv1", "stride", (1, 2)), "torchvision:resnet18"),
        (attribute("", "maxpool", nn.Identity()), None),
        (attribute("", "more", nn.Identity()), None),
        (attribute("", "note", "mine"), None),
        (attribute("relu", "forward", torch.tanh), None),
        (lambda network: network.relu.register_forward_hook(lambda *given: given[-1] + 1), None),
    ],
)
def test_what_a_builder_does_not_give_is_told_or_the_network_is_not_taken_for_its(
    change: Callable[[Any], Any], builder: str | None
) -> None:
    network = changed(change)
    found = sacp.pruning.saved.description_of(network, state_of(network))
    assert found["module"]["builder"] == builder


def test_an_option_of_a_layer_comes_back(tmp_path: Path) -> None:
    network = changed(attribute("layer2.0.downsample.0", "stride", (2, 2)))
    network.bn1.eps, network.layer1[0].conv1.padding_mode = 0.5, "zeros"
    sacp.save(network, tmp_path / "saved")
    assert json.loads((tmp_path / "saved/network.json").read_text())["module"]["options"] == {"bn1": {"eps": 0.5}}
    assert_equal(sacp.load(tmp_path / "saved"), network)


@pytest.mark.parametrize("name", ["resnet18", "resnet20", "resnet56", "vgg16"])
def test_a_network_of_the_projects_own_comes_back_by_itself(tmp_path: Path, name: str) -> None:
    network, _, shape = any_network(name)
    smaller = sacp.prune(network, shape, flops=0.5)
    sacp.save(smaller, tmp_path / "saved")
    assert json.loads((tmp_path / "saved/network.json").read_text())["module"]["builder"] == f"sacp:{name}"
    assert_equal(sacp.load(tmp_path / "saved"), smaller, (2, *shape[1:]))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_a_network_keeps_its_precision(tmp_path: Path, dtype: torch.dtype) -> None:
    network = network_of("squeezenet1_1").to(dtype)
    sacp.save(network, tmp_path / "saved")
    assert_equal(sacp.load(tmp_path / "saved"), network)


def test_a_network_with_its_channels_last_gives_the_same_bits(tmp_path: Path) -> None:
    network = network_of("resnet18").to(memory_format=torch.channels_last)
    sacp.save(network, tmp_path / "saved")
    loaded = sacp.load(tmp_path / "saved")
    assert loaded.conv1.weight.stride() == network.conv1.weight.stride()
    assert_equal(loaded, network)


class Own(nn.Module):
    """Layers under two names, tensors in two layers, a buffer that is not persistent."""

    def __init__(self, width: int = 4, act: nn.Module | None = None) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3)
        self.again = self.conv
        self.act = act or nn.GELU()
        self.one, self.other = nn.Linear(width, width), nn.Linear(width, width)
        self.other.weight = self.one.weight
        self.register_buffer("shift", torch.zeros(1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.act(self.conv(x)).mean((2, 3))
        return self.other(self.one(y)) + self.shift


@pytest.fixture
def own(tmp_path: Path) -> Own:
    torch.manual_seed(0)
    network = Own(6).eval()
    network.shift += 0.3
    network.one.bias.requires_grad_(False)
    sacp.save(network, tmp_path / "saved")
    return network


def test_a_network_of_the_users_own_comes_back_by_its_function(tmp_path: Path, own: Own) -> None:
    loaded = sacp.load(tmp_path / "saved", network=Own)  # of another width
    assert_equal(loaded, own)
    assert loaded.again is loaded.conv
    assert loaded.other.weight is loaded.one.weight
    assert loaded.state_dict().keys() == own.state_dict().keys()


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        (None, "the network is a '{own}'; pass a function that returns the unpruned one: sacp.load(folder, network="),
        (nn.ReLU(), "network: found a ReLU, expected a function that returns the unpruned network"),
        (lambda width: Own(width), "network: it is called without arguments (missing a required argument: 'width')"),
        (lambda: None, "'network' returned a NoneType, expected a torch.nn.Module"),
        (lambda: Own(act=nn.ReLU()), "layer 'act': the network that is built has ReLU(), the saved one GELU("),
        (lambda: Own(act=nn.GELU("tanh")), "layer 'act': the network that is built has GELU(approximate='tanh'), the"),
        (lambda: nn.Linear(3, 3), "weights do not fit the network: "),
    ],
)
def test_a_network_of_the_users_own_is_refused_without_its_function(
    tmp_path: Path, own: Own, network: Any, expected: str
) -> None:
    with pytest.raises(InputError) as caught:
        sacp.load(tmp_path / "saved", network=network)
    assert expected.replace("{own}", f"{Own.__module__}.Own") in str(caught.value)
    assert str(caught.value).startswith(f"{tmp_path / 'saved'}: ")
    assert "\n" not in str(caught.value)


class WithState(nn.Linear):
    def __init__(self, kept: Any) -> None:
        super().__init__(3, 3)
        self.kept = kept

    def get_extra_state(self) -> Any:
        return self.kept

    def set_extra_state(self, state: Any) -> None:
        self.kept = state


def test_a_state_of_a_layers_own_that_is_a_tensor_comes_back(tmp_path: Path) -> None:
    sacp.save(WithState(torch.arange(3)), tmp_path / "saved")
    loaded = sacp.load(tmp_path / "saved", network=lambda: WithState(torch.zeros(3)))
    assert torch.equal(loaded.kept, torch.arange(3))


def overlapping() -> nn.Module:
    network = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    network[1].weight = nn.Parameter(network[0].weight.data)
    return network


def holding(tensor: Tensor) -> nn.Module:
    network = nn.Linear(3, 3)
    network.register_buffer("held", tensor)
    return network


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: "net", "network: found a str, expected a torch.nn.Module"),
        (lambda: nn.DataParallel(nn.Linear(3, 3)), "network: found it wrapped in DataParallel; pass its attribute"),
        (lambda: WithState({"a": 1}), "network: '_extra_state' is a state of its layer's own, a dict; only tensors"),
        (lambda: nn.LazyLinear(3), "network: 'weight' has no size yet; run the network once"),
        (lambda: nn.Linear(3, 3, device="meta"), "network: 'weight' has no values (it is on the device 'meta')"),
        (overlapping, "network: '0.weight' and '1.weight' share their memory; make them one tensor or two"),
        (lambda: holding(torch.eye(3).to_sparse()), "network: 'held' has the layout torch.sparse_coo and dtype"),
        (lambda: holding(torch.zeros(3, dtype=torch.complex64)), "network: 'held' has the layout torch.strided and"),
    ],
)  # fmt: skip
def test_what_cannot_come_back_is_not_written(tmp_path: Path, make: Callable[[], Any], expected: str) -> None:
    with pytest.raises(InputError) as caught:
        sacp.save(make(), tmp_path / "saved")
    assert str(caught.value).startswith(expected)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_saved_network_is_replaced_as_a_whole_and_nothing_else_is_touched(tmp_path: Path, own: Own) -> None:
    folder, other = tmp_path / "saved", nn.Linear(2, 2)
    sacp.save(other, folder)
    assert_equal(sacp.load(folder, network=lambda: nn.Linear(2, 2)), other, (5, 2))
    assert {path.name for path in folder.iterdir()} == {"network.json", "network.safetensors"}
    before = (folder / "network.json").read_bytes()
    (folder / "notes.txt").touch()
    with pytest.raises(InputError, match=r"saved: holds 'notes.txt', which is not of a saved network"):
        sacp.save(own, folder)
    assert (folder / "network.json").read_bytes() == before
    with pytest.raises(InputError, match=r"notes.txt: found a file, expected a folder of its own"):
        sacp.save(own, folder / "notes.txt")
    assert list(tmp_path.iterdir()) == [folder]


def test_arguments_of_another_form_are_refused_in_one_line(tmp_path: Path, own: Own) -> None:
    for call, message in (
        (lambda: sacp.save(None, tmp_path / "x"), "network: found a NoneType, expected a torch.nn.Module"),
        (lambda: sacp.save("x", own), "network: found a str, expected a torch.nn.Module"),  # exchanged
        (lambda: sacp.save(own, None), "folder: found None, expected the path of a folder"),
        (lambda: sacp.load(None), "folder: found None, expected the path of a folder"),
        (lambda: sacp.save(own, "/proc/x"), "/proc/x: cannot be written: No such file or directory"),
    ):
        with pytest.raises(InputError) as caught:
            call()
        assert str(caught.value) == message
    assert not (tmp_path / "x").exists()


def test_a_folder_with_another_description_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "network.json").write_text('{"nodes": []}')
    with pytest.raises(InputError, match=r"network\.json: not of a saved network; give the network a folder"):
        sacp.save(nn.Linear(2, 2), tmp_path)
    assert (tmp_path / "network.json").read_text() == '{"nodes": []}'


def test_a_failure_on_the_way_leaves_the_old_network(tmp_path: Path, own: Own, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*given: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sacp.pruning.files, "write_json", full)
    with pytest.raises(InputError, match=r"saved: cannot be written: no room on the disk") as caught:
        sacp.save(nn.Linear(2, 2), tmp_path / "saved")
    assert "~" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["saved"]
    assert_equal(sacp.load(tmp_path / "saved", network=Own), own)


ABSENT = object()
FORGED = [
    ("module", [], "module: found [], expected an object"),
    ("module/class", 3, "module.class: found 3, expected a text"),
    ("module/builder", ["os:system"], "module.builder: found ['os:system'], expected a text of 255 letters at most"),
    ("module/options", {"bn1": {"eps": {}}}, "module.options: found "),
    ("module/options", {"bn1": {"num_features": 10**9}}, "module.options: found "),
    ("module/options", ABSENT, "module: has a builder, expected its arguments and options too"),
    ("module/arguments", {"weights": "DEFAULT"}, "module.arguments: found {'weights': 'DEFAULT'}, expected an object"),
    ("layers", ABSENT, "layers: missing; expected an object of texts"),
    ("layers", {"": 3}, "layers: found {'': 3}, expected an object of texts"),
    ("frozen", "conv1", "frozen: found 'conv1', expected a list of names"),
    ("tied", [["a"], 3], "tied: found [['a'], 3], expected a list of lists of names"),
]  # fmt: skip
UNKNOWN = [
    ("module/builder", "os:system", "the builder 'os:system' is unknown; expected one of torchvision or sacp"),
    ("module/builder", "torchvision:os", "torchvision has no network 'os'"),
    ("module/builder", "sacp:os:system", "no import path|the builder 'os:system' is unknown"),
    ("module/builder", "torchvision:resnet34", "weights do not fit the network"),
    ("module/arguments", {"aux_loss": True}, "the builder 'sacp:resnet20' fails (TypeError: "),
    ("module/options", {"bn1": {"training": True}}, "the layer 'bn1' has no option 'training' of this form"),
    ("module/options", {"bn1": {"forward": "x"}}, "the layer 'bn1' has no option 'forward' of this form"),
    ("module/options", {"bn1": {"eps": "x"}}, "the layer 'bn1' has no option 'eps' of this form"),
    ("module/options", {"bn9": {"eps": 0.1}}, "the layer 'bn9' has no option 'eps' of this form"),
    ("module/options", {"bn1": {"eps": 0.1}}, r"layer 'bn1': the network that is built has BatchNorm2d\(4, eps=0.1"),
    ("frozen", ["conv9"], "the network has no tensor 'conv9'"),
    ("channels_last", ["bn1.weight"], "'bn1.weight' is no tensor of images, expected one that can lie with its chann"),
    ("tied", [["conv1.weight", "conv9"]], "the network has no tensor 'conv9'"),
]  # fmt: skip


@pytest.mark.parametrize(("key", "value", "expected"), [*FORGED, *UNKNOWN])
def test_a_description_with_its_own_seal_and_other_values_is_refused(
    tmp_path: Path, key: str, value: Any, expected: str
) -> None:
    sacp.save(any_network("resnet20")[0], tmp_path)
    path = tmp_path / "network.json"
    description = json.loads(path.read_text())
    *above, last = key.split("/")
    place = description[above[0]] if above else description
    if value is ABSENT:
        del place[last]
    else:
        place[last] = value
    path.write_text(json.dumps(sealed(description)))
    with pytest.raises(InputError) as caught:
        sacp.load(tmp_path)
    is_form, is_exact = (key, value, expected) in FORGED, not expected.startswith(("layer ", "no import"))
    where = f"{path}: not the description of a pruned network: " if is_form else f"{tmp_path}: "
    assert str(caught.value).startswith(where)
    assert re.search(re.escape(expected) if is_exact else expected, str(caught.value))
    assert "\n" not in str(caught.value)


def test_a_flipped_bit_of_the_weights_is_refused(tmp_path: Path, own: Own) -> None:
    path = tmp_path / "saved/network.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"network\.safetensors: damaged or changed since it was written"):
        sacp.load(tmp_path / "saved", network=Own)


def test_a_network_whose_builder_needs_memory_is_saved_for_its_function(tmp_path: Path) -> None:
    network = models.get_model("ssdlite320_mobilenet_v3_large", weights=None, weights_backbone=None).eval()
    sacp.save(network, tmp_path / "saved")
    with pytest.raises(InputError, match=r"the network is a 'torchvision.models.detection.ssd.SSD'; pass a function"):
        sacp.load(tmp_path / "saved")


@pytest.mark.parametrize("name", ["vgg19_bn", "vit_b_16", "convnext_tiny", "regnet_y_1_6gf"])
def test_a_network_is_built_without_memory_and_without_random_numbers(name: str) -> None:
    before = torch.get_rng_state()
    with Unfilled():
        network = models.get_model(name)
    assert torch.equal(torch.get_rng_state(), before)
    filled = sum(each.numel() for each in network.parameters() if not each.is_meta)
    assert filled < 0.01 * sum(each.numel() for each in network.parameters())
