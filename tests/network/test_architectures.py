import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torchvision
from networks_zoo import CUSTOM_SHAPE, PAPER_NETWORKS, Custom, spec, thop_count
from sacp.errors import InputError
from sacp.network.architectures import build, check_name
from sacp.network.spec import NetworkSpec
from sacp.network.widths import scaled
from sacp.tracing.trace import count
from torch import nn
from users_code import importable

PAPER_BASE = {  # table 3: FLOPs and parameters in millions, as printed
    "vgg16": ("314.31", "14.73"),
    "resnet18": ("557.89", "11.17"),
    "resnet56": ("127.93", "0.86"),
}


def tiny(num_classes: int) -> nn.Module:
    return Custom(lambda n, x: n.fc(n.conv(x).mean((2, 3))), conv=nn.Conv2d(3, 2, 1), fc=nn.Linear(2, num_classes))


@pytest.mark.parametrize("name", PAPER_NETWORKS)
def test_costs_equal_the_papers_base_rows_to_the_printed_digit(name):
    cost = count(build(spec(name)), spec(name).input_shape)
    assert (f"{cost.flops / 1e6:.2f}", f"{cost.parameters / 1e6:.2f}") == PAPER_BASE[name]


@pytest.mark.parametrize(
    ("name", "width", "image_size"),
    [(name, 1.0, 32) for name in PAPER_NETWORKS]
    + [("resnet20", 1.0, 32), ("vgg11", 1.0, 32), ("resnet34", 0.25, 32), ("vgg19", 0.25, 32)]
    + [("resnet18", 0.25, 8), ("resnet14", 0.25, 28), ("vgg13", 0.25, 64)]
    + [("densenet22", 0.5, 32), ("densenet40", 1.0, 32), ("mobilenetv2", 0.25, 32), ("mobilenetv2", 1.0, 16)],
)
def test_thop_counts_the_same_integers(name, width, image_size):
    made = spec(name, width, image_size)
    network = build(made)
    cost = count(network, made.input_shape)
    assert (cost.flops, cost.parameters) == thop_count(network, made.input_shape)
    assert cost.parameters == sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("name", "convolutions"),
    [("vgg11", 8), ("vgg13", 10), ("vgg16", 13), ("vgg19", 16), ("resnet18", 20), ("resnet34", 36)]
    # 3n + 4: the stem, n convolutions in each of 3 blocks, 2 between them; the linear layer is the last.
    + [(f"densenet{3 * n + 4}", 1 + 3 * n + 2) for n in (1, 4, 12)]
    + [("mobilenetv2", 52)]
    # 6n + 2: the stem, 2n convolutions in each of 3 stages, a projection into the second and the third.
    + [(f"resnet{6 * n + 2}", 1 + 6 * n + 2) for n in (1, 2, 3, 9)],
)
def test_depth_gives_the_number_of_convolutions(name, convolutions):
    network = build(spec(name, 0.125))
    assert sum(isinstance(module, nn.Conv2d) for module in network.modules()) == convolutions


@pytest.mark.parametrize("name", ["vgg11", "resnet18", "resnet20"])
def test_width_factor_scales_every_convolution(name):
    full, quarter = build(spec(name)), build(spec(name, 0.25))
    pairs = zip(full.modules(), quarter.modules(), strict=True)
    outputs = [(f.out_channels, q.out_channels) for f, q in pairs if isinstance(f, nn.Conv2d)]
    assert outputs
    assert all(4 * narrow == wide for wide, narrow in outputs)


@pytest.mark.parametrize(
    ("name", "flops", "parameters"),
    # Huang et al. 2017, table 2: 1.0 M parameters; Sandler et al. 2018: 3.4 M, of which 1.28 M in 1,000 classes' layer.
    [("densenet40", 273_928_000, 1_019_722), ("mobilenetv2", 94_557_952, 2_236_682)],
)
def test_dense_and_mobile_networks_have_their_papers_sizes(name, flops, parameters):
    cost = count(build(spec(name)), spec(name).input_shape)
    assert (cost.flops, cost.parameters) == (flops, parameters)


def test_mobilenet_has_torchvisions_parameters():
    ours = sum(parameter.numel() for parameter in build(spec("mobilenetv2")).parameters())
    theirs = sum(parameter.numel() for parameter in torchvision.models.mobilenet_v2(num_classes=10).parameters())
    assert ours == theirs


@pytest.mark.parametrize(("channels", "width", "expected"), [(64, 0.25, 16), (16, 0.01, 1), (10, 1.5, 15), (5, 0.5, 2)])
def test_scaled_channels_are_whole_and_at_least_one(channels, width, expected):
    assert scaled(channels, width) == expected


@pytest.mark.parametrize(
    ("name", "image_size"),
    [
        ("vgg11", 32), ("vgg11", 40), ("vgg11", 64), ("resnet20", 8), ("resnet18", 28), ("densenet10", 8),
        ("mobilenetv2", 28),
    ],
)  # fmt: skip
def test_logits_have_one_column_per_class(name, image_size):
    network = build(NetworkSpec(name, 0.125, 1, image_size, 7)).eval()
    assert network(torch.zeros(3, 1, image_size, image_size)).shape == (3, 7)


def test_weights_come_from_the_global_generator():
    networks = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        networks.append(build(spec("resnet20", 0.25)).state_dict())
    first, again, other = networks
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["conv1.weight"], other["conv1.weight"])


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("vgg15", "vgg1"), ("vgg-16", "vgg16"), ("VGG16", "vgg16"), ("resnet57", "resnet56"),
        ("resent18", "resnet18"), ("resnet", "resnet8"), ("densenet41", "densenet40"), ("mobilenet", "mobilenetv2"),
    ],
)  # fmt: skip
def test_unknown_name_is_refused_with_the_nearest(name, suggestion):
    with pytest.raises(InputError, match=rf"unknown network '{name}' \(did you mean '{suggestion}"):
        build(spec(name))


def test_name_like_no_other_is_refused_with_the_known_families():
    with pytest.raises(InputError, match=r"unknown network 'transformer'.*vgg11/13/16/19, resnet18/34"):
        check_name("transformer")


@pytest.mark.parametrize(
    "name",
    [
        "vgg11", "vgg19", "resnet8", "resnet18", "resnet34", "resnet110", "densenet7", "densenet250", "mobilenetv2",
        "my.module:make", "réseau:größe",
    ],
)  # fmt: skip
def test_known_names_and_import_paths_pass_the_check(name):
    assert check_name(name) is None


def test_vgg_refuses_images_that_five_poolings_exhaust():
    with pytest.raises(InputError, match="at least 32 pixels, found 31"):
        build(spec("vgg16", image_size=31))


def test_import_path_calls_the_function_with_the_classes():
    network = build(NetworkSpec(f"{__name__}:tiny", 1.0, 3, 8, 4))
    assert network(torch.zeros(CUSTOM_SHAPE)).shape == (1, 4)


@pytest.mark.parametrize("path", ["my-net:build", "json:", ":make", ".relative:make", "a:b:c", "net.py:f-g", "a b:c"])
def test_what_is_no_import_path_is_refused_and_never_imported(path):
    for refuse in (check_name, lambda name: build(spec(name))):
        with pytest.raises(InputError, match=f"^network.name: '{path}' is no import path; expected 'module:function'"):
            refuse(path)


@pytest.mark.parametrize("path", ["no_such_module:make", "json:no_such_function"])
def test_import_path_that_leads_nowhere_is_refused(path):
    with pytest.raises(InputError, match=f"cannot import '{path}'.*expected 'module:function'"):
        build(spec(path))


@pytest.mark.parametrize(
    ("builder", "words"),
    [
        (lambda num_classes: "net", "'users_module:function' returned a str, expected a torch.nn.Module"),
        (lambda num_classes: None, "'users_module:function' returned a NoneType, expected"),
        (lambda num_classes: nn.Identity, "'users_module:function' returned a type, expected"),
        (
            lambda: nn.Identity(),
            "'users_module:function' takes (), expected a function that can be called with (num_cl",
        ),
        (lambda classes: nn.Identity(), "'users_module:function' takes (classes), expected"),
        (lambda num_classes: sys.exit(), "'users_module:function' fails: SystemExit"),
    ],
)
def test_a_builder_that_gives_no_network_is_refused(monkeypatch, builder: Callable[..., Any], words: str):
    with pytest.raises(InputError) as caught:
        build(NetworkSpec(importable(monkeypatch, builder), 1.0, 3, 8, 4))
    assert str(caught.value).startswith("network.name: ")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["sacp.network.architectures:VGG", "sacp.network.architectures:scaled"])
def test_a_function_of_the_library_that_builds_no_network_is_refused_alike(name):
    with pytest.raises(InputError, match=rf"network.name: '{name}' takes \(.*, expected a function that can be called"):
        build(spec(name))
