"""Least squares: weights that read what is left so that a layer gives what it gave (He et al. 2017, as AMC uses it)."""

from collections.abc import Iterable
from functools import partial

import torch
from torch import Tensor, nn

from sacp.network.graph import Graph, Kept, Node, kept_elements

POSITIONS = 10  # of each image, at which a layer's inputs are looked at
RIDGE = 1e-6  # of the mean of a product's diagonal: inputs that are alike share their weight


class Refit:
    """Fits the layers of a pruned network to what they gave in the base, by what the base reads on some images.

    Layers that read a group are fitted one by one, each by what it reads in the base. Convolutions in groups, and those
    that are transposed or not of two dimensions, keep their weights.
    """

    def __init__(self, network: nn.Module, graph: Graph, batches: Iterable[Tensor], seed: int) -> None:
        """Sum the products of all inputs of each layer.

        Args:
            network: the base, in evaluation mode; it stays as it is.
            graph: its graph.
            batches: normalised images [B, C, H, W] on the network's device.
            seed: of the positions that are drawn.
        """
        self.network, self.graph = network, graph
        self.nodes = [node for node in graph.nodes if node.in_groups and _is_plain(network, node)]
        self.products: dict[str, Tensor] = {}  # of a layer's inputs, channel by channel [C * k * k, C * k * k]
        self.generator = torch.Generator().manual_seed(seed)
        self._look(batches)

    def _look(self, batches: Iterable[Tensor]) -> None:
        handles = [
            self.network.get_submodule(node.name).register_forward_pre_hook(partial(self._add, node))
            for node in self.nodes
        ]
        try:
            with torch.no_grad():
                for batch in batches:
                    self.network(batch)
        finally:
            for handle in handles:
                handle.remove()

    def _add(self, node: Node, layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        rows = _rows(layer, inputs[0], self.generator).double()
        self.products[node.name] = self.products.get(node.name, 0) + rows.T @ rows

    def __call__(self, pruned: nn.Module, kept: Kept) -> None:
        """Set the weights of a pruned network's layers; it has its own."""
        for node in self.nodes:
            whole = self.network.get_submodule(node.name).get_parameter("weight")
            layer = pruned.get_submodule(node.name)
            inputs, outputs = (kept_elements(axis, kept) for axis in (node.inputs, node.outputs))
            weight = whole if outputs is None else whole[torch.as_tensor(outputs, device=whole.device)]
            assert inputs is not None
            fitted = refitted(weight.flatten(1), self.products[node.name], torch.as_tensor(inputs), whole[0, 0].numel())
            layer.weight = nn.Parameter(fitted.to(whole).view_as(layer.get_parameter("weight")))


def refitted(weight: Tensor, products: Tensor, inputs: Tensor, size: int) -> Tensor:
    """Weights of the inputs that are left, which give what all gave as nearly as they can.

    That is W P[:, S] P[S, S]^-1 of the products P and the inputs S that are left, with a small ridge.

    Args:
        weight: of all inputs, [C_out, C_in * size].
        products: of all inputs, summed over the samples, [C_in * size, C_in * size] in float64.
        inputs: numbers of those that are left, [C].
        size: weights of an input, as of a kernel.

    Returns:
        [C_out, C * size] in float64.
    """
    left = (inputs[:, None] * size + torch.arange(size)).flatten().to(products.device)
    own = products[left][:, left]
    ridge = RIDGE * own.diagonal().mean().clamp(min=torch.finfo(own.dtype).tiny)
    own = own + ridge * torch.eye(len(own), dtype=own.dtype, device=own.device)
    # What is wanted is the change: the ridge holds weights that nothing decides where they are.
    before = weight.double()[:, left]
    missing = weight.double() @ products[:, left] - before @ products[left][:, left]
    change: Tensor = torch.linalg.solve(own, missing.T).T
    return before + change


def _is_plain(network: nn.Module, node: Node) -> bool:
    """Whether all outputs of a layer read all of its inputs."""
    if not node.mixes or node.divisor > 1:
        return False
    return isinstance(network.get_submodule(node.name), nn.Linear | nn.Conv2d)


def _rows(layer: nn.Module, x: Tensor, generator: torch.Generator) -> Tensor:
    """What a layer reads at some positions of each image, [B, ...] -> [samples, C_in * k * k]."""
    if isinstance(layer, nn.Linear):
        return x.flatten(0, -2)
    assert isinstance(layer, nn.Conv2d)
    windows = _windows(layer, x)  # [B, C, k, k, H, W], a view
    height, width = windows.shape[-2:]
    images = torch.arange(len(x)).repeat_interleave(POSITIONS)
    spots = torch.randint(height * width, (len(images),), generator=generator)
    return windows[images, :, :, :, spots // width, spots % width].flatten(1)


def _windows(layer: nn.Conv2d, x: Tensor) -> Tensor:
    """All windows of a convolution as a view of its padded input, [B, C, H, W] -> [B, C, k, k, H', W']."""
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    x = nn.functional.pad(x, layer._reversed_padding_repeated_twice, mode)
    for axis in (0, 1):
        spread = layer.dilation[axis] * (layer.kernel_size[axis] - 1) + 1
        x = x.unfold(2 + axis, spread, layer.stride[axis])
    return x[..., :: layer.dilation[0], :: layer.dilation[1]].permute(0, 1, 4, 5, 2, 3)
