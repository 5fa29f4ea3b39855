"""Products of kernels: whether a channel that a layer reads tells the same images apart as all that the layer gives."""

from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sacp.errors import InputError
from sacp.network.graph import Graph, Node, places
from sacp.network.surgery import copied

PART = 1 << 24  # values that are taken to float64 at once: 128 MiB
Look = Callable[[Node, Tensor, Tensor], None]  # at a layer, what it reads and what it gives


@dataclass(frozen=True)
class Products:
    """Of the kernels K of a group's channels and those L of what its readers give: over all b^2 pairs of images."""

    gram: NDArray[np.float64]  # <K_i, K_j> / b^2, summed over the readers, [C, C]
    target: NDArray[np.float64]  # <K_i, L> / b^2, summed over the readers, [C]

    @property
    def sizes(self) -> NDArray[np.float64]:
        """Size of each channel's kernel, its norm / b, [C]."""
        return np.sqrt(np.diag(self.gram))


def products(
    network: nn.Module, graph: Graph, groups: Collection[int], images: Tensor, seed: int
) -> dict[int, Products]:
    """Products of these groups, by their numbers.

    The losses of all layers that read a group are summed, with one coefficient for a channel: so are their products.

    Args:
        network: the network; it stays as it is.
        graph: its graph.
        groups: numbers of groups.
        images: one batch [b, C, H, W], normalised, on the network's device.
        seed: of what a network draws in training, as dropout.

    Raises:
        InputError: a layer does not give a row for each image, or gives values that are not finite.
    """
    sizes = {group: graph.groups[group].channels for group in groups}
    found = {group: Products(np.zeros((size, size)), np.zeros(size)) for group, size in sizes.items()}

    def look(node: Node, inputs: Tensor, outputs: Tensor) -> None:
        _check(node, inputs, outputs, len(images))
        whole = centred(kernels(outputs.flatten(1)[None])).flatten()  # [b^2]
        is_linear = isinstance(network.get_submodule(node.name), nn.Linear)
        maps = inputs.movedim(-1, 1) if is_linear else inputs
        maps = maps.reshape(*maps.shape[:2], -1)  # [b, elements, positions]
        for group in found.keys() & set(node.in_groups):
            elements, channels = places(node.inputs, group)
            numbers, copies = np.unique(channels, return_counts=True)
            rows = torch.as_tensor(elements[np.argsort(channels, kind="stable")], device=maps.device)
            if len(set(copies.tolist())) > 1:
                raise InputError(f"apib: layer '{node.name}' reads unequal numbers of values of channels of a group")
            of_channels = maps[:, rows].unflatten(1, (len(numbers), -1)).flatten(2).transpose(0, 1)
            own = centred(kernels(of_channels)).flatten(1)  # [C, b^2]
            found[group].gram[np.ix_(numbers, numbers)] += (own @ own.T).cpu().numpy() / len(whole)
            found[group].target[numbers] += (own @ whole).cpu().numpy() / len(whole)

    readers = [node for node in graph.nodes if node.mixes and found.keys() & set(node.in_groups)]
    _show_layers(network, readers, images, seed, look)
    return found


def kernels(values: Tensor) -> Tensor:
    """Gaussian kernels exp(-|x_i - x_j|^2 / d) of d values of each image, [C, b, d] -> [C, b, b] in float64."""
    channels, images, width = values.shape
    products = torch.zeros(channels, images, images, dtype=torch.float64, device=values.device)
    size = max(1, PART // (images * max(1, min(width, PART // images))))  # channels at a time
    for own, into in zip(values.split(size), products.split(size), strict=True):
        for part in own.split(max(1, PART // images), dim=2):
            part = part.double()
            part = part - part.mean(dim=1, keepdim=True)  # distances are the same, and lose fewer digits
            into += part @ part.transpose(1, 2)
    squares = products.diagonal(dim1=1, dim2=2)  # [C, b]
    distances = (squares[:, :, None] + squares[:, None] - 2 * products).clamp(min=0)
    return torch.exp(-distances / width)


def centred(kernel: Tensor) -> Tensor:
    """H K H with H = I - 1/b: means of rows and columns are zero; [..., b, b] -> [..., b, b]."""
    kernel = kernel - kernel.mean(dim=-1, keepdim=True)
    return kernel - kernel.mean(dim=-2, keepdim=True)


def _show_layers(network: nn.Module, nodes: Collection[Node], images: Tensor, seed: int, look: Look) -> None:
    """Show what layers read and give, of a copy of the network in training, as in the authors' code."""
    seen = copied(network).train()  # a copy has its own running statistics, which training moves
    for node in nodes:
        seen.get_submodule(node.name).register_forward_hook(
            lambda _, inputs, outputs, node=node: look(node, inputs[0], outputs)
        )
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(seed)
        seen(images)


def _check(node: Node, inputs: Tensor, outputs: Tensor, images: int) -> None:
    """Raise `InputError` where a layer's values are no images' or no numbers."""
    if not len(inputs) == len(outputs) == images:
        found = f"layer '{node.name}' gives {len(outputs)} rows for {images} images"
        raise InputError(f"apib: {found}; only layers that keep images apart can be read by this method")
    if not (inputs.isfinite().all() and outputs.isfinite().all()):
        raise InputError(f"apib: layer '{node.name}' reads or gives NaN or infinite values; expected a trained network")
