"""A way round a fault of the kernels that torch calls."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

FEWER = 16  # input channels than these, as AVX-512 takes them at once
FROM = 48  # pixels of a side; it was seen from 56


@contextmanager
def strided_safely(network: nn.Module) -> Iterator[None]:
    """Let strided 1x1 convolutions of few channels see their images channel by channel in the block, on a CPU.

    Where images lie with their channels last, oneDNN's gradient of such a convolution's weights writes past its memory
    if there are fewer than 16 input channels and images have some 56 pixels a side or more: with torch 2.14.1 on a
    processor with AVX-512 the process dies. Pruned shortcuts of ResNets are such convolutions. The values are the same
    but for rounding. Copies that are made of the network in the block keep this.
    """
    hooks = [
        module.register_forward_pre_hook(_channels_first)
        for module in network.modules()
        if isinstance(module, nn.Conv2d) and _is_at_risk(module)
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _is_at_risk(layer: nn.Conv2d) -> bool:
    return layer.kernel_size == (1, 1) and max(layer.stride) > 1 and layer.groups == 1 and layer.in_channels < FEWER


def _channels_first(layer: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """Input [B, C, H, W] and weights [O, C, 1, 1] in the layout for which torch takes another kernel."""
    images: Tensor = inputs[0]
    if images.device.type != "cpu" or max(images.shape[-2:]) < FROM:
        return None
    weight = layer.get_parameter("weight")
    # Both layouts are one in memory; it is by the strides of the axes of size 1 that torch tells them apart.
    weight.data = weight.data.as_strided(weight.shape, (weight.shape[1], 1, 1, 1))
    return (images.contiguous(memory_format=torch.contiguous_format), *inputs[1:])
