"""Strided 1x1 convolutions of few channels: their gradients are right, and no training of one dies."""

import subprocess
import sys

import pytest
import torch
from checkout import ROOT
from sacp.compute.kernels import strided_safely
from torch import nn

TRAINING = """
import torch
from torch import nn
from sacp.images.splits import ImageSet, Splits, channel_statistics
from sacp.training.loop import train
from sacp.training.recipe import Recipe

torch.set_num_threads(1)
images = torch.randint(0, 256, (32, 3, 112, 112), dtype=torch.uint8)
part = ImageSet(images, torch.arange(32) % 4)
network = nn.Sequential(
    nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 12, 1, 2), nn.ReLU(), nn.Conv2d(12, 8, 1, 2), nn.ReLU(),
    nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4),
)
recipe = Recipe(3, 0.05, batch_size=8, momentum=0.9, weight_decay=5e-4, nesterov=True, crop_padding=0, flip=False)
train(network, Splits(part, part, part, *channel_statistics(images), ""), recipe, 0, "run")
print("trained", all(not module._forward_pre_hooks for module in network.modules()))
"""


def test_a_training_of_such_convolutions_on_larger_images_ends() -> None:
    command = [sys.executable, "-W", "ignore", "-c", TRAINING]
    done = subprocess.run(command, cwd=ROOT / "scripts", capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "trained True\n"), done.stderr[-300:]


@pytest.mark.parametrize("size", [16, 64])
@pytest.mark.parametrize("channels", [1, 3, 8, 15])
def test_outputs_and_gradients_are_those_in_double_precision(channels: int, size: int) -> None:
    torch.manual_seed(0)
    layer, images = nn.Conv2d(channels, 5, 1, 2), torch.randn(2, channels, size, size)
    exact, double = nn.Conv2d(channels, 5, 1, 2).double(), images.double().requires_grad_()
    exact.load_state_dict({name: value.double() for name, value in layer.state_dict().items()})
    expected = exact(double)
    expected.square().sum().backward()
    layer, images = layer.to(memory_format=torch.channels_last), images.contiguous(memory_format=torch.channels_last)
    images.requires_grad_()
    with strided_safely(layer):
        found = layer(images)
        found.square().sum().backward()
    assert torch.allclose(found.double(), expected, atol=1e-5)
    for own, theirs in ((images, double), (layer.weight, exact.weight), (layer.bias, exact.bias)):
        assert own.grad is not None
        assert torch.allclose(own.grad.double(), theirs.grad, atol=1e-4, rtol=1e-4)


def test_other_layers_are_left_alone() -> None:
    others = nn.Sequential(
        nn.Conv2d(16, 4, 1, 2), nn.Conv2d(8, 4, 3, 2), nn.Conv2d(8, 4, 1), nn.Conv2d(8, 8, 1, 2, groups=2)
    )
    with strided_safely(others):
        assert not any(module._forward_pre_hooks for module in others.modules())
