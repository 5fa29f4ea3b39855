"""The networks that are pruned: VGG, ResNet, DenseNet and MobileNet for small images, and any import path."""

import re

import torch
from torch import Tensor, nn

from sacp import imports
from sacp.errors import InputError, nearest
from sacp.network.densenet import BLOCKS, GROWTH, STEM, DenseNet
from sacp.network.mobilenet import MobileNetV2
from sacp.network.spec import NetworkSpec
from sacp.network.widths import scaled

# Simonyan & Zisserman 2015, table 1, columns A, B, D and E: channels of each convolution, "M" a 2x2 max pooling.
VGG_PLANS: dict[int, tuple[int | str, ...]] = {
    11: (64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"),
    13: (64, 64, "M", 128, 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"),
    16: (64, 64, "M", 128, 128, "M", *(256,) * 3, "M", *(512,) * 3, "M", *(512,) * 3, "M"),
    19: (64, 64, "M", 128, 128, "M", *(256,) * 4, "M", *(512,) * 4, "M", *(512,) * 4, "M"),
}
# He et al. 2016, table 1, with the stem of the CIFAR form: blocks of each stage.
DEEPEST = 1202  # the deepest of theirs
RESNET_BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}
SHALLOWEST_DENSE, DEEPEST_DENSE = 7, 250  # layers: 3n + 4
MOBILENET = "mobilenetv2"


class VGG(nn.Module):
    """VGG for 32x32 images: 3x3 convolutions with bias, batch norm and ReLU, max pools, one linear layer."""

    def __init__(self, depth: int, width: float, in_channels: int, image_size: int, num_classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = in_channels
        for item in VGG_PLANS[depth]:
            if isinstance(item, str):
                layers.append(nn.MaxPool2d(2))
                continue
            out_channels = scaled(item, width)
            layers += [nn.Conv2d(channels, out_channels, 3, padding=1), nn.BatchNorm2d(out_channels), nn.ReLU()]
            channels = out_channels
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(channels * (image_size // 32) ** 2, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Map images [B, C, H, W] to logits [B, classes]."""
        logits: Tensor = self.classifier(self.features(images).flatten(1))
        return logits


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut, which is a 1x1 convolution with batch norm where the shape changes."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != channels:
            projection = nn.Conv2d(in_channels, channels, 1, stride, bias=False)
            self.shortcut = nn.Sequential(projection, nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C_in, H, W] to [B, C, H / stride, W / stride]."""
        y = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class ResNet(nn.Module):
    """ResNet for small images: a 3x3 stem of stride 1, stages of basic blocks, global average pooling."""

    def __init__(self, widths: tuple[int, ...], blocks: tuple[int, ...], in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, widths[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        stages, channels = [], widths[0]
        for stage, (width, count) in enumerate(zip(widths, blocks, strict=True)):
            first = BasicBlock(channels, width, stride=1 if stage == 0 else 2)
            stages.append(nn.Sequential(first, *(BasicBlock(width, width, 1) for _ in range(count - 1))))
            channels = width
        self.stages = nn.Sequential(*stages)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(channels, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Map images [B, C, H, W] to logits [B, classes]."""
        features = self.stages(torch.relu(self.bn1(self.conv1(images))))
        logits: Tensor = self.classifier(self.pool(features).flatten(1))
        return logits


def check_name(name: str) -> None:
    """Raise `InputError` unless `build` knows the network `name`; import paths are checked when they are built."""
    if imports.is_path(name):
        return
    if ":" in name:
        raise InputError(
            f"network.name: '{name}' is no import path; expected 'module:function', names as Python has them"
        )
    match = re.fullmatch(r"(vgg|resnet|densenet)(\d+)", name)
    depth = int(match[2]) if match else 0
    known = {
        "vgg": depth in VGG_PLANS,
        "resnet": depth in RESNET_BLOCKS or (8 <= depth <= DEEPEST and depth % 6 == 2),
        "densenet": SHALLOWEST_DENSE <= depth <= DEEPEST_DENSE and depth % 3 == 1,
    }
    if name == MOBILENET or (match and known[match[1]]):
        return
    resnets = [f"resnet{d}" for d in (8, 14, 20, 32, 44, 56, 110, *RESNET_BLOCKS)]
    examples = [*(f"vgg{d}" for d in VGG_PLANS), *resnets, "densenet40", MOBILENET]
    raise InputError(
        f"network.name: unknown network '{name}'{nearest(name.lower(), examples)}; "
        f"known are vgg11/13/16/19, resnet18/34, resnet(6n+2) up to {DEEPEST}, densenet(3n+4) up to {DEEPEST_DENSE}, "
        f"{MOBILENET}, and an import path 'module:function'"
    )


def build(spec: NetworkSpec) -> nn.Module:
    """Build the network with fresh weights, drawn from torch's global generator.

    Definitions: `vgg16`, `resnet18` and `resnet56` count 314.31 M, 557.89 M and 127.93 M multiply-accumulates on a
    3x32x32 image, the base rows of the paper's table 3; `densenet40` counts 273.93 M and `mobilenetv2` 94.56 M.
    `module:function` calls `function(num_classes=...)`.

    Raises:
        InputError: the name is unknown, the import path cannot be imported or called, or the image is too small.
    """
    check_name(spec.name)
    if imports.is_path(spec.name):
        return _imported(spec.name, spec.num_classes)
    if spec.name == MOBILENET:
        return MobileNetV2(spec.width, spec.in_channels, spec.num_classes)
    family = spec.name.rstrip("0123456789")
    depth = int(spec.name.removeprefix(family))
    if family == "densenet":
        layers, growth, stem = (depth - 4) // BLOCKS, scaled(GROWTH, spec.width), scaled(STEM, spec.width)
        return DenseNet(layers, growth, stem, spec.in_channels, spec.num_classes)
    if family == "vgg":
        if spec.image_size < 32:
            raise InputError(f"network.name: {spec.name} needs images of at least 32 pixels, found {spec.image_size}")
        return VGG(depth, spec.width, spec.in_channels, spec.image_size, spec.num_classes)
    widths = (64, 128, 256, 512) if depth in RESNET_BLOCKS else (16, 32, 64)
    blocks = RESNET_BLOCKS.get(depth, ((depth - 2) // 6,) * 3)
    return ResNet(tuple(scaled(w, spec.width) for w in widths), blocks, spec.in_channels, spec.num_classes)


def _imported(path: str, num_classes: int) -> nn.Module:
    """Build a network by import path. All of it is the user's code: anything can be raised there."""
    try:
        imports.check_call(path, (), ("num_classes",))
        return module_of(imports.call(path, num_classes=num_classes), path)
    except InputError as error:
        raise InputError(f"network.name: {error}") from error


def module_of(built: object, function: str) -> nn.Module:
    """What a function that builds a network returned; `InputError` if it is none."""
    if not isinstance(built, nn.Module):
        hint = ": does it end with `return`?" if built is None else ""
        raise InputError(f"'{function}' returned a {type(built).__name__}, expected a torch.nn.Module{hint}")
    return built
