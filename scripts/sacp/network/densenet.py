"""DenseNet for small images."""

import torch
from torch import Tensor, nn

BLOCKS = 3
GROWTH = 12  # channels that each layer adds: k of Huang et al. 2017, table 2
STEM = 16


class DenseLayer(nn.Module):
    """Batch norm, ReLU and a 3x3 convolution, whose output is put beside the input."""

    def __init__(self, in_channels: int, growth: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(in_channels)
        self.conv = nn.Conv2d(in_channels, growth, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C, H, W] to [B, C + growth, H, W]."""
        return torch.cat([x, self.conv(torch.relu(self.bn(x)))], 1)


class DenseNet(nn.Module):
    """DenseNet without bottlenecks: three blocks of dense layers, 1x1 convolutions and average pools between them.

    Huang et al. 2017, section 4.2: `densenet40`, of 12 layers a block, has 1.0 M parameters.
    """

    def __init__(self, layers: int, growth: int, stem: int, in_channels: int, num_classes: int) -> None:
        super().__init__()
        channels = stem
        parts: list[nn.Module] = [nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)]
        for block in range(BLOCKS):
            parts += [DenseLayer(channels + number * growth, growth) for number in range(layers)]
            channels += layers * growth
            parts += [nn.BatchNorm2d(channels), nn.ReLU()]
            if block < BLOCKS - 1:
                parts += [nn.Conv2d(channels, channels, 1, bias=False), nn.AvgPool2d(2)]
        self.features = nn.Sequential(*parts)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(channels, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Map images [B, C, H, W] to logits [B, classes]."""
        logits: Tensor = self.classifier(self.pool(self.features(images)).flatten(1))
        return logits
