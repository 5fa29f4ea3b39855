"""What it takes to build a network, and where its weights may come from; read while jobs are planned, without torch."""

import re
from dataclasses import dataclass
from pathlib import Path

WEIGHTS_SUFFIXES = (".safetensors", ".pth", ".pt", ".pth.tar", ".ckpt", ".bin")  # usual; others are files too
PUBLISHED = re.compile(r"\w+|\w+_Weights?\.\w+")  # torchvision's names, right or misspelt


@dataclass(frozen=True)
class NetworkSpec:
    """What it takes to build a network: its name, the width factor and the shape of its problem."""

    name: str
    width: float
    in_channels: int
    image_size: int
    num_classes: int

    @property
    def input_shape(self) -> tuple[int, int, int, int]:
        """Shape of a batch of one image, [1, C, H, W]."""
        return (1, self.in_channels, self.image_size, self.image_size)


def is_weights_file(weights: str | Path) -> bool:
    """Whether `weights` means a file, which need not exist; otherwise it is a name of torchvision's."""
    return str(weights).lower().endswith(WEIGHTS_SUFFIXES) or not PUBLISHED.fullmatch(str(weights))
