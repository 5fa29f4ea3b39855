"""Running statistics of batch norms that fit the weights as they are."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from sacp.errors import InputError


def running_norms(network: nn.Module) -> list[_BatchNorm]:
    """The batch norms that keep running statistics."""
    return [module for module in network.modules() if isinstance(module, _BatchNorm) and module.track_running_stats]


@torch.no_grad()
def calibrate(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Replace the running statistics of all batch norms by plain means over batches of images.

    After pruning, and after few steps of training, a running average still describes another network. Weights, momenta
    and modes stay as they are, and so do the statistics if an error is raised.

    Args:
        network: changed in place.
        batches: images [B, C, H, W] as the network is given them, on its device; of about equal size.

    Raises:
        InputError: there is no batch.

    Source: adaptive batch normalization of EagleEye (Li et al. 2020, section 3.3).
    """
    norms = running_norms(network)
    modes = {module: module.training for module in network.modules()}
    before = [{name: value.clone() for name, value in norm.state_dict().items()} for norm in norms]
    momenta, seen = [norm.momentum for norm in norms], 0
    network.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over the batches
        norm.train()
    try:
        for batch in batches if norms else ():
            network(batch)
            seen += 1
        if norms and not seen:
            raise InputError("calibrate: found no batch of images, expected at least one")
    except BaseException:
        for norm, state in zip(norms, before, strict=True):
            norm.load_state_dict(state)
        raise
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        for module, mode in modes.items():
            module.training = mode
