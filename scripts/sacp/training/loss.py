"""The loss of a step: the cross-entropy with the labels, and how far a network is from its teacher.

Hinton, Vinyals and Dean, Distilling the Knowledge in a Neural Network, 2015, section 2.
"""

import copy

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, kl_div, log_softmax

from sacp.training.recipe import Recipe


class Teacher:
    """A network as it is, asked about the images that another one learns from; a copy, on that one's device."""

    def __init__(self, network: nn.Module, device: torch.device) -> None:
        own = copy.deepcopy(network).to(device).to(memory_format=torch.channels_last)
        self.network = own.eval().requires_grad_(False)

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Logits [B, classes] in float32, in the precision that is set around the call."""
        logits: Tensor = self.network(images)
        return logits.float()


def loss_sum(logits: Tensor, labels: Tensor, recipe: Recipe, taught: Tensor | None = None) -> Tensor:
    """The loss of a batch, summed over its images.

    Args:
        logits: [B, classes].
        labels: [B].
        recipe: the smoothing of the labels; weight and temperature of the teacher.
        taught: logits of the teacher [B, classes], if there is one.

    Returns:
        (1 - w) CE + w T^2 KL, a scalar. With T^2 the gradients of both parts keep their sizes when T is changed.
    """
    hard = cross_entropy(logits, labels, reduction="sum", label_smoothing=recipe.label_smoothing)
    if taught is None:
        return hard
    weight, temperature = recipe.distill_weight, recipe.distill_temperature
    return (1 - weight) * hard + weight * temperature**2 * divergence(logits, taught, temperature)


def divergence(logits: Tensor, taught: Tensor, temperature: float) -> Tensor:
    """KL(softmax(taught / T) || softmax(logits / T)), [B, classes] each, summed over the images."""
    own, wanted = (log_softmax(each / temperature, dim=1) for each in (logits, taught))
    return kl_div(own, wanted, reduction="sum", log_target=True)
