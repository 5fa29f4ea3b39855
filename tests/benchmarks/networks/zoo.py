"""The networks of the sweep: torchvision's, and one small network of each of thirty of timm's families."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torchvision
from torch import nn
from torchvision import models

try:
    import timm
except ModuleNotFoundError:
    timm = None

CLASSIFIERS, SEGMENTATION = "torchvision classifiers", "torchvision segmentation"
BACKBONES, TIMM = "torchvision detection backbones", "timm"
FAMILIES = (CLASSIFIERS, SEGMENTATION, BACKBONES, TIMM)
IMAGE_SIZE = 64
# Networks that take no smaller images, by the beginning of their names.
IMAGE_SIZES = {"vit_": 224, "maxvit_": 224, "inception_v3": 299, "ssd300": 300, "ssdlite320": 320}
TIMM_NETWORKS = (
    "resnet26d", "legacy_seresnet18", "ecaresnet26t", "res2net50_26w_4s", "resnest14d", "skresnet18", "dla34",
    "dpn48b", "ese_vovnet19b_dw", "hrnet_w18_small", "cspresnet50", "repvgg_a0", "mobileone_s0", "ghostnet_100",
    "efficientnet_lite0", "mixnet_s", "mobilenetv4_conv_small", "lcnet_050", "rexnet_100", "nf_regnet_b0",
    "selecsls42b", "xception41", "hgnetv2_b0", "convnextv2_atto", "fastvit_t8", "mobilevit_xxs", "edgenext_xx_small",
    "efficientvit_b0", "poolformer_s12", "vit_tiny_patch16_224",
)  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """A network of the sweep."""

    family: str
    name: str

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape of one image, [1, 3, H, W]."""
        size = next((size for start, size in IMAGE_SIZES.items() if self.name.startswith(start)), IMAGE_SIZE)
        return (1, 3, size, size)

    def build(self) -> nn.Module:
        """The network with the untrained weights of seed 0, in evaluation mode."""
        torch.manual_seed(0)
        if self.family == TIMM:
            network: nn.Module = timm.create_model(self.name)
        elif self.family == CLASSIFIERS:
            network = torchvision.models.get_model(self.name, weights=None)
        else:
            network = torchvision.models.get_model(self.name, weights=None, weights_backbone=None)
        return (network.backbone if self.family == BACKBONES else network).eval()


def entries() -> Iterator[Entry]:
    """All networks, those of a family by name."""
    named = {
        CLASSIFIERS: models.list_models(module=models),
        SEGMENTATION: models.list_models(module=models.segmentation),
        BACKBONES: models.list_models(module=models.detection),
        TIMM: TIMM_NETWORKS,
    }
    return (Entry(family, name) for family in FAMILIES for name in sorted(named[family]))
