"""How well a network does, and what it costs."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn

from sacp.compute.parallel import ALONE, Team
from sacp.images.batches import Normalizer, evaluation_batches
from sacp.images.splits import Images, Splits
from sacp.network import cost
from sacp.network.spec import NetworkSpec

PROBE_COLUMNS = ("candidate", "untuned_accuracy_percent", "recalibrated_accuracy_percent")


@torch.no_grad()
def accuracy_percent(network: nn.Module, data: Images, splits: Splits, team: Team = ALONE) -> float:
    """Top-1 accuracy of `network` in evaluation mode on `data`, in percent; always in float32."""
    device = next(network.parameters()).device
    was_training = network.training
    network.eval()
    try:
        correct = torch.zeros((), dtype=torch.int64, device=device)
        for images, labels in evaluation_batches(data, Normalizer(splits.mean, splits.std, device), team):
            correct += (network(images).argmax(1) == labels).sum()
    finally:
        network.train(was_training)
    return 100 * int(team.total(correct)) / len(data.labels)


def measure(network: nn.Module, splits: Splits, spec: NetworkSpec, team: Team = ALONE) -> dict[str, Any]:
    """Validation and test accuracy of a finished network, and its cost as counted on the network itself."""
    counted = cost.count(network, spec.input_shape)
    team.share_buffers(network)
    return {
        "validation_accuracy_percent": accuracy_percent(network, splits.validation, splits, team),
        "test_accuracy_percent": accuracy_percent(network, splits.test, splits, team),
        **asdict(counted),
    }


@torch.no_grad()
def recalibrate(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Replace the statistics of all batch norms by means over the batches [B, C, H, W], at the weights as they are."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over the batches
        norm.train()
    for batch in batches:
        network(batch)
    network.eval()
