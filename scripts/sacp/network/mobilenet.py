"""MobileNetV2 for small images."""

from torch import Tensor, nn

from sacp.network.widths import scaled

# Sandler et al. 2018, table 2: expansion, channels, blocks, stride. The strides of the stem and of the second row are 1
# instead of 2, as is usual for images of 32 pixels.
ROWS = (
    (1, 16, 1, 1), (6, 24, 2, 1), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
)  # fmt: skip
STEM, LAST = 32, 1280


def normed(in_channels: int, channels: int, size: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    """A convolution of this kernel size and its batch norm."""
    conv = nn.Conv2d(in_channels, channels, size, stride, padding=size // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(channels)]


class InvertedResidual(nn.Module):
    """A 1x1 expansion, a depthwise 3x3 convolution and a linear 1x1 one; a shortcut where the shape stays."""

    def __init__(self, in_channels: int, channels: int, expansion: int, stride: int) -> None:
        super().__init__()
        hidden = in_channels * expansion
        parts: list[nn.Module] = [*normed(in_channels, hidden, 1), nn.ReLU6()] if expansion > 1 else []
        parts += [*normed(hidden, hidden, 3, stride, groups=hidden), nn.ReLU6(), *normed(hidden, channels, 1)]
        self.branch = nn.Sequential(*parts)
        self.has_shortcut = stride == 1 and in_channels == channels

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C_in, H, W] to [B, C, H / stride, W / stride]."""
        y: Tensor = self.branch(x)
        return x + y if self.has_shortcut else y


class MobileNetV2(nn.Module):
    """MobileNetV2 for 32x32 images."""

    def __init__(self, width: float, in_channels: int, num_classes: int) -> None:
        super().__init__()
        channels, last = scaled(STEM, width), scaled(LAST, width)
        parts: list[nn.Module] = [*normed(in_channels, channels, 3), nn.ReLU6()]
        for expansion, wide, blocks, stride in ROWS:
            for block in range(blocks):
                out = scaled(wide, width)
                parts.append(InvertedResidual(channels, out, expansion, stride if block == 0 else 1))
                channels = out
        self.features = nn.Sequential(*parts, *normed(channels, last, 1), nn.ReLU6())
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(last, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Map images [B, C, H, W] to logits [B, classes]."""
        logits: Tensor = self.classifier(self.pool(self.features(images)).flatten(1))
        return logits
