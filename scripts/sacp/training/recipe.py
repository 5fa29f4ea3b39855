"""How a network is trained: the settings of a training, and its learning rate step by step. Needs no torch."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """How a network is trained (section 4.2). The learning rate falls to zero along a half cosine, step by step."""

    epochs: int
    lr: float
    batch_size: int
    momentum: float
    weight_decay: float
    nesterov: bool
    crop_padding: int  # pixels; image files are cropped as ImageNet's are, without it
    flip: bool
    warmup_epochs: float = 0  # of a linear rise to lr, before the cosine
    label_smoothing: float = 0
    ema_decay: float = 0  # of the average of weights that is evaluated and kept; 0: the weights themselves
    validate_every: int = 0  # epochs; 0: never
    bn_l1: float = 0  # L1 penalty on the scales of batch norms (Network Slimming, section 3)
    distill_weight: float = 0  # share of what the unpruned network says in the loss; 0: it is not asked
    distill_temperature: float = 4  # by which the logits of both are divided there


def learning_rate(recipe: Recipe, step: int, steps_per_epoch: int) -> float:
    """Learning rate at `step`, counted from 0 over all epochs: a linear rise, then half a cosine to zero."""
    warmup = round(recipe.warmup_epochs * steps_per_epoch)
    if step < warmup:
        return recipe.lr * (step + 1) / warmup
    return cosine(recipe.lr, step - warmup, recipe.epochs * steps_per_epoch - warmup)


def cosine(lr: float, step: int, steps: int) -> float:
    """Learning rate at `step` of `steps`: half a cosine from `lr` to zero."""
    return lr * 0.5 * (1 + math.cos(math.pi * step / steps))
