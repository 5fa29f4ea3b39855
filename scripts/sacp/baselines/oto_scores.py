"""OTO: which channels are redundant, and how an optimiser drives them to zero, step by step; pure functions.

Chen et al., OTOv2: Automatic, Generic, User-Friendly, ICLR 2023, section 3.2 (DHSPG), and Chen et al., HESSO, 2024,
section 3; what these leave open is as in the authors' code (only_train_once, ad35adc and 5d0963d). Of every channel
with the parameters x, which a step of the learning rate lr moves against the direction d, the functions are given the
inner products <x, x>, <x, d> and <d, d>, float64 [Z].
"""

from dataclasses import dataclass

import torch
from torch import Tensor

TINY = 1e-8
LEAST_MEAN = 1e-6  # of a norm per parameter, before its inverse is taken
AMPLIFIED, LARGEST = 2.0, 10.0  # of DHSPG's penalty: times its lower bound, times its default at most


@dataclass(frozen=True)
class Products:
    """Inner products of the parameters x of each channel and the direction d of a step, float64 [Z]."""

    xx: Tensor
    xd: Tensor
    dd: Tensor

    @property
    def cosine(self) -> Tensor:
        """Cosine of x and d: positive where a step shrinks x."""
        return self.xd / ((self.xx.sqrt() + TINY) * (self.dd.sqrt() + TINY))


def redundancy(products: Products, sizes: Tensor) -> Tensor:
    """How redundant DHSPG takes each channel to be, [Z]: the direction shrinks it, or its parameters are small.

    Args:
        products: of the step.
        sizes: parameters of each channel, [Z].
    """
    mean = products.xx.sqrt() / sizes
    return 0.5 * _normalised(products.cosine) + 0.5 * _normalised(1 / (mean + LEAST_MEAN))


def importance(products: Products, sizes: Tensor) -> Tensor:
    """How important HESSO takes each channel to be, [Z]: the mean of five scores, each over the norm of all channels'.

    They are the norm, the norm per parameter, the cosine plus one, and the first and second terms of Taylor's series.
    """
    norm, first = products.xx.sqrt(), products.xd.abs()
    scores = (norm, norm / sizes, products.cosine + 1, first, 0.5 * first**2)
    return torch.stack([_normalised(score) for score in scores]).mean(dim=0)


def penalty(products: Products, default: float) -> Tensor:
    """DHSPG's penalty lambda of each channel, [Z]: the default, or more where a step would let the channel grow.

    There it lies above the bound from which on the step shrinks it, but for its cap, and below that at which the step
    would no longer lower the loss.
    """
    norm = products.xx.sqrt() + TINY
    grows = products.xd < 0
    lower = -products.xd / norm
    upper = torch.where(grows, -products.dd * norm / torch.where(grows, products.xd, -1), torch.inf)
    wanted = (AMPLIFIED * lower).clamp(default, LARGEST * default)
    wanted = torch.where(wanted >= upper, (upper + lower) / 2, wanted)
    found: Tensor = torch.where(grows, wanted, default)
    return found


def leaves_half_space(products: Products, lambdas: Tensor, lr: float, share: float) -> Tensor:
    """Whether the penalised step x' = x - lr (d + lambda x / |x|) has <x', x> < share <x, x>, bool [Z]."""
    moved: Tensor = products.xx - lr * products.xd - lr * lambdas * products.xx.sqrt()
    found: Tensor = moved < share * products.xx
    return found


def fading(step: int, steps: int) -> float:
    """HESSO's factor of chosen channels at a step of a period of so many steps: after the last one they are zero."""
    return (steps - step - 1) / (steps - step)


def _normalised(values: Tensor) -> Tensor:
    length: Tensor = values.norm() + TINY
    return values / length
