"""How much the output of a network depends on the channels of each group: by gradients, without labels.

Channel c of group g is multiplied by a gate of 1 where the group enters a dense convolution or linear layer. All that
read it share the gate. The sensitivity of a channel is

    s_gc = E[ (d (v . z) / d gate_gc)^2 ],

with the logits z of one image in evaluation mode and v standard normal, centred over the classes: the squared norm of
the logits' derivative, up to what all classes share, which a softmax does not see. It is the Fisher information of the
gate for a Gaussian of unit variance around the logits, as in Theis et al. 2018 (arXiv:1801.05787), whose gates learn
from labels. That of a group is the sum over its channels.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sacp.artefacts.files import read_json
from sacp.errors import INTERRUPTS, InputError, told
from sacp.network.graph import LINEAR, Graph, Node, places
from sacp.seeds import derive

DRAWS, IMAGES = 2, 500  # of v for each image, and images
BATCH = 50  # images at a time
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Sensitivity:
    """Of every group [G], with its standard error, and of every channel, per group [C_g]."""

    groups: Values
    errors: Values
    channels: list[Values]
    images: int


def to_json(found: Sensitivity, graph: Graph) -> dict[str, Any]:
    """As `sensitivity.json` has it: by the groups' names."""
    names = [group.name for group in graph.groups]
    return {
        "groups": dict(zip(names, found.groups.tolist(), strict=True)),
        "errors": dict(zip(names, found.errors.tolist(), strict=True)),
        "channels": {name: each.tolist() for name, each in zip(names, found.channels, strict=True)},
        "images": found.images,
    }


def load(path: str | Path | None, graph: Graph) -> Values | None:
    """The groups' sensitivities of a file, [G], None without one; `InputError` if it is of another network."""
    if path is None:
        return None
    groups = read_json(path).get("groups", {})
    if list(groups) != [group.name for group in graph.groups]:
        raise InputError(f"{path}: sensitivities of the groups {list(groups)}, expected those of this network")
    return np.array(list(groups.values()), np.float64)


class Measurement:
    """Sums over images, which can be added to batch by batch and kept in between."""

    def __init__(self, graph: Graph, state: Mapping[str, Any] | None = None) -> None:
        """Start with nothing, or go on from a `state`."""
        self.first = np.cumsum([0, *graph.channels])  # number of each group's first channel among those of all
        self.channels = np.zeros(self.first[-1])  # sums of squares, of all channels
        self.sums, self.squares = np.zeros(len(graph.groups)), np.zeros(len(graph.groups))  # of the groups' samples
        self.samples = self.images = self.batches = 0
        for name, value in (state or {}).items():
            setattr(self, name, value.numpy() if isinstance(value, Tensor) else value)

    def state(self) -> dict[str, Any]:
        """What has to be kept to go on."""
        sums = {name: torch.from_numpy(getattr(self, name).copy()) for name in ("channels", "sums", "squares")}
        return sums | {name: getattr(self, name) for name in ("samples", "images", "batches")}

    def add(self, gradients: Tensor) -> None:
        """Take in the gates' gradients of some images for one draw, [B, channels]."""
        squares = gradients.double().square().cpu().numpy()
        self.channels += squares.sum(axis=0)
        of_groups = np.add.reduceat(squares, self.first[:-1], axis=1)  # [B, G]
        self.sums += of_groups.sum(axis=0)
        self.squares += (of_groups**2).sum(axis=0)
        self.samples += len(squares)

    def result(self) -> Sensitivity:
        """Means, and standard errors of the groups' over images and draws."""
        mean, number = self.sums / self.samples, max(self.samples - 1, 1)
        variance = np.maximum(self.squares / self.samples - mean**2, 0) * self.samples / number
        channels = np.split(self.channels / self.samples, self.first[1:-1])
        return Sensitivity(mean, np.sqrt(variance / self.samples), channels, self.images)


def measure(
    network: nn.Module, graph: Graph, batches: Iterable[Tensor], seed: int, draws: int = DRAWS,
    measured: Measurement | None = None, after: Callable[[], None] = lambda: None,
) -> Sensitivity:  # fmt: skip
    """The sensitivity of a network's groups and channels.

    Args:
        network: the base, with the weights that count; it stays as it is, in the mode that it is in.
        graph: its graph.
        batches: normalised training images [B, C, H, W] on the network's device; no labels.
        seed: of v.
        draws: of v for each image.
        measured: what was measured already of these batches, which is gone on with.
        after: called when a batch is taken in.

    Raises:
        InputError: there is no image, the network fails on them or gives no logits, or the gradients are not finite.
    """
    total = measured or Measurement(graph)
    with _evaluated(network):
        for batch in islice(batches, total.batches, None):
            generator = torch.Generator().manual_seed(derive(seed, total.batches))
            for gradients in _gradients(network, graph, batch, generator, draws):
                total.add(gradients)
            total.images, total.batches = total.images + len(batch), total.batches + 1
            after()
    if not total.samples:
        raise InputError("images: found no batch of training images to measure the sensitivity with")
    found = total.result()
    for group, value in zip(graph.groups, found.groups, strict=True):
        if not np.isfinite(value):
            raise InputError(f"network: the logits' gradients for group '{group.name}' are not finite")
    return found


@contextmanager
def _evaluated(network: nn.Module) -> Iterator[None]:
    """In evaluation mode in the block, with gradients of nothing but the gates."""
    modes = {module: module.training for module in network.modules()}
    wanted = [parameter for parameter in network.parameters() if parameter.requires_grad]
    network.eval()
    for parameter in wanted:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in wanted:
            parameter.requires_grad_(True)
        for module, mode in modes.items():
            module.training = mode


def _gradients(
    network: nn.Module, graph: Graph, batch: Tensor, generator: torch.Generator, draws: int
) -> Iterator[Tensor]:
    """Gradients of v . z for the gates, image by image, for each draw of v: [B, channels]."""
    gates = torch.ones(len(batch), sum(graph.channels), device=batch.device, dtype=batch.dtype, requires_grad=True)
    with torch.enable_grad(), _gated(network, graph, gates):
        try:
            logits = network(batch)
        except INTERRUPTS:
            raise
        except BaseException as error:  # a forward is the user's code: anything can be raised there
            raise InputError(f"network: fails on images of shape {list(batch.shape)} ({told(error)})") from error
        if not isinstance(logits, Tensor) or logits.dim() != 2 or len(logits) != len(batch):
            shape = list(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise InputError(f"network: gives {shape} for {len(batch)} images, expected logits [{len(batch)}, classes]")
        for draw in range(draws):
            v = torch.randn(logits.shape, generator=generator).to(logits)
            product = (logits * (v - v.mean(dim=1, keepdim=True))).sum()
            (found,) = torch.autograd.grad(product, gates, retain_graph=draw + 1 < draws)
            yield found


@contextmanager
def _gated(network: nn.Module, graph: Graph, gates: Tensor) -> Iterator[None]:
    """Multiply what dense layers read of the groups by the gates [B, channels] in the block."""
    first, handles = np.cumsum([0, *graph.channels]), []
    for node in graph.nodes:
        if node.mixes and node.in_groups:
            elements, numbers = _of_groups(node, first)
            hook = partial(_multiplied, node, gates, elements.to(gates.device), numbers.to(gates.device))
            handles.append(network.get_submodule(node.name).register_forward_pre_hook(hook))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _of_groups(node: Node, first: Sequence[int] | NDArray[np.int64]) -> tuple[Tensor, Tensor]:
    """Elements that a layer reads of groups, and the numbers of their gates. [n] and [n]."""
    found = [(elements, channels + first[group]) for group in node.in_groups
             for elements, channels in [places(node.inputs, group)]]  # fmt: skip
    elements, numbers = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return torch.as_tensor(elements), torch.as_tensor(numbers)


def _multiplied(
    node: Node, gates: Tensor, elements: Tensor, numbers: Tensor, layer: nn.Module, inputs: tuple[Any, ...]
) -> tuple[Any, ...]:
    x = inputs[0]
    if len(x) != len(gates):
        raise ValueError(f"layer '{node.name}' reads {len(x)} rows for {len(gates)} images")
    factors = torch.ones(len(gates), node.in_channels, device=gates.device, dtype=gates.dtype)
    factors = factors.index_copy(1, elements, gates.index_select(1, numbers))
    # [B, C, ...], or [B, ..., C] of a linear layer
    between = [1] * (x.dim() - 2)
    shape = [len(gates), *between, -1] if node.kind == LINEAR else [len(gates), -1, *between]
    return (x * factors.to(x.dtype).view(shape), *inputs[1:])
