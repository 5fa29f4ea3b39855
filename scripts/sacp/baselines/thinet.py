"""ThiNet: the channels to remove are those that the next layer misses least.

Luo et al., ThiNet: A Filter Level Pruning Method for Deep Neural Network Compression, ICCV 2017, section 3.2. What is
left of the next layer's weights is rescaled, channel by channel, to make up for what is removed.
"""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sacp.errors import InputError
from sacp.network.graph import Graph, Kept, Node, Scales, places
from sacp.pruning.criteria import Rescaled

POSITIONS = 10  # of each image and consumer; section 4.1 samples ten instances of an image
LEAST_PRODUCT = 1e-10  # singular values of the products, as a share of the largest, that are no more than rounding


def removal_order(gram: NDArray[np.float64]) -> NDArray[np.int64]:
    """Channels in the order in which they are removed, by the greedy algorithm 1.

    Args:
        gram: products of the channels' contributions, summed over the samples, [C, C].

    Returns:
        [C]; each next channel is the one with which the removed contributions, summed, stay smallest (eq. 6).
    """
    left = np.ones(len(gram), bool)
    cost = np.diag(gram).copy()  # square of the removed ones' sum, with this channel added; less a constant
    order = np.empty(len(gram), np.int64)
    for position in range(len(gram)):
        order[position] = chosen = np.flatnonzero(left)[np.argmin(cost[left])]
        left[chosen] = False
        cost += 2 * gram[chosen]
    return order


def rescaling(gram: NDArray[np.float64], kept: NDArray[np.int64]) -> NDArray[np.float64]:
    """Factors with which the kept channels' contributions come nearest to the sum of all, by least squares (eq. 7).

    That is w = (X^T X)^-1 X^T y of the kept contributions X [samples, C_kept] and the sums y of all. Where many w are
    equally near, the one nearest to ones is taken: a channel that contributes nothing keeps the factor 1.

    Args:
        gram: products of the channels' contributions, summed over the samples, [C, C].
        kept: channel numbers, [C_kept].

    Returns:
        [C_kept].
    """
    removed = np.setdiff1d(np.arange(len(gram)), kept)
    missing = gram[np.ix_(kept, removed)].sum(axis=1)  # X^T (y - X 1)
    step: NDArray[np.float64] = np.linalg.lstsq(gram[np.ix_(kept, kept)], missing, rcond=LEAST_PRODUCT)[0]
    return 1 + step


def rescalings(grams: Sequence[NDArray[np.float64]], kept: Kept) -> Scales:
    """Factors of each group's kept channels, per group [C_kept]."""
    return [rescaling(gram, channels) for gram, channels in zip(grams, kept, strict=True)]


def orders(network: nn.Module, graph: Graph, batches: Sequence[Tensor], seed: int) -> Rescaled:
    """Channels of each group, the last to be removed first, per group [C_g], and the factors of those that are kept.

    Args:
        network: the network, in evaluation mode.
        graph: its graph.
        batches: normalised images [B, C, H, W] on the network's device.
        seed: of the sampled positions and output channels.
    """
    grams = [torch.zeros(group.channels, group.channels, dtype=torch.float64) for group in graph.groups]
    generator = torch.Generator().manual_seed(seed)

    def watch(node: Node) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def look(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            parts = _contributions(module, inputs[0], node, generator).double().cpu()  # [samples, inputs]
            for group in node.in_groups:
                elements, channels = (torch.as_tensor(each) for each in places(node.inputs, group))
                here = elements < parts.shape[1]  # of channels in step, the first
                of_channels = torch.zeros(len(parts), len(grams[group]), dtype=torch.float64)
                of_channels.index_add_(1, channels[here], parts[:, elements[here]])
                grams[group] += of_channels.T @ of_channels

        return look

    # DEVIATION: in the paper one layer reads a channel; here all that read it count, and share its factor.
    # A depthwise convolution gives each channel by itself: it misses nothing that its group does not lose itself.
    consumers = [node for node in graph.nodes if node.in_groups and node.mixes]
    handles = [network.get_submodule(node.name).register_forward_pre_hook(watch(node)) for node in consumers]
    try:
        with torch.no_grad():
            for batch in batches:
                network(batch)
    finally:
        for handle in handles:
            handle.remove()
    products = [gram.numpy() for gram in grams]
    return Rescaled([removal_order(gram)[::-1].copy() for gram in products], partial(rescalings, products))


def _contributions(module: nn.Module, x: Tensor, node: Node, generator: torch.Generator) -> Tensor:
    """What each input adds to sampled outputs (eq. 4), [B, ...] -> [B * POSITIONS, inputs that one output has]."""
    weight = module.get_parameter("weight")
    if isinstance(module, nn.Linear):
        x = x.flatten(0, -2)
    images = torch.arange(len(x)).repeat_interleave(POSITIONS)
    outputs = torch.randint(len(weight), (len(images),), generator=generator)
    if isinstance(module, nn.Linear):
        products: Tensor = x[images] * weight[outputs]
        return products
    if not isinstance(module, nn.Conv2d):
        found = f"thinet: layer '{node.name}' is a {type(module).__name__}"
        raise InputError(f"{found}; only Conv2d and Linear can be read by this method")
    windows = nn.functional.unfold(
        x,
        module.kernel_size,
        module.dilation,
        padding=_padding(module),
        stride=module.stride,
    )  # [B, C * k * k, L]
    spots = torch.randint(windows.shape[2], (len(images),), generator=generator)
    seen = windows[images, :, spots].unflatten(1, (module.groups, -1))  # [samples, groups, C / groups * k * k]
    mine = seen[torch.arange(len(images)), outputs // (len(weight) // module.groups)]
    products = mine * weight.flatten(1)[outputs]
    return products.reshape(len(images), weight.shape[1], -1).sum(dim=2)


def _padding(module: nn.Conv2d) -> tuple[int, ...]:
    """Zeros on each side, [2], also where the padding is given as a word."""
    if module.padding == "same":
        return tuple(d * (k - 1) // 2 for d, k in zip(module.dilation, module.kernel_size, strict=True))
    return (0, 0) if isinstance(module.padding, str) else module.padding
