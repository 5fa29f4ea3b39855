"""The layers of a traced network with what follows them, cut to any widths, to be timed alone."""

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from sacp.network.graph import CONV, LINEAR, Node
from sacp.network.surgery import resized, weight_axes
from sacp.timing.runtimes import Pair
from sacp.tracing.layers import ELEMENTWISE, NORMS, POOLS
from sacp.tracing.operations import is_elementwise
from sacp.tracing.trace import Traced

FOLLOWERS = (*NORMS, nn.GroupNorm, nn.PReLU, *POOLS, *ELEMENTWISE)


class Call(nn.Module):
    """A function, or a method of a tensor, with all but its first argument given."""

    def __init__(self, function: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        super().__init__()
        self.function, self.args, self.kwargs = function, args, dict(kwargs)

    def forward(self, x: Tensor) -> Any:
        """Call it."""
        if isinstance(self.function, str):
            return getattr(x, self.function)(*self.args, **self.kwargs)
        return self.function(x, *self.args, **self.kwargs)

    def extra_repr(self) -> str:
        """What is called, and how."""
        name = getattr(self.function, "__name__", self.function)
        return ", ".join(
            [str(name), *map(repr, self.args), *(f"{key}={value!r}" for key, value in self.kwargs.items())]
        )


@dataclass(frozen=True)
class Layer:
    """One call of a convolution or linear layer, with the norms, activations and pools that follow it."""

    node: Node
    chain: nn.Sequential  # the layer first
    shape: tuple[int, ...]  # of what it reads; first, how many of these there are for each input
    axis: int  # of the channels that it reads

    def cut(self, inputs: int, outputs: int, size: int) -> "Cut":
        """The layer with its first so many input and output channels, for a batch of `size`."""
        out_axis, in_axis = weight_axes(self.chain[0])
        state = dict(self.chain.state_dict())
        for name, tensor in state.items():
            if name == "0.weight":
                tensor = tensor.narrow(out_axis, 0, outputs)
                state[name] = tensor.narrow(in_axis, 0, inputs // self.node.divisor) if self.node.mixes else tensor
            elif tensor.dim() and len(tensor) == self.node.channels:
                state[name] = tensor.narrow(0, 0, outputs)
        shape = [size * self.shape[0], *self.shape[1:]]
        shape[self.axis] = inputs
        return Cut(resized(self.chain, state), tuple(shape))


@dataclass(frozen=True)
class Cut:
    """A layer at some widths, whose weights are views, and the shape of what it reads."""

    chain: nn.Module
    shape: tuple[int, ...]

    @property
    def key(self) -> str:
        """All that its time depends on: equal for equal layers, whatever their names and weights."""
        parts = " > ".join(" ".join(repr(part).split()) for part in self.chain.children())
        return f"{parts} on {list(self.shape)}"

    @property
    def elements(self) -> int:
        """Of its tensors, and of what it reads."""
        return math.prod(self.shape) + sum(tensor.numel() for tensor in self.chain.parameters())

    def pair(self, device: torch.device) -> Pair:
        """The layer with weights of its own on a device, and random values that it reads."""
        chain = copy.deepcopy(self.chain).eval()
        for tensor in (*chain.parameters(), *chain.buffers()):
            tensor.data = tensor.detach().contiguous().to(device)
        like = next(chain.parameters())
        return chain, torch.randn(self.shape, generator=torch.Generator().manual_seed(0)).to(like)


def layers_of(original: Traced) -> list[Layer]:
    """The layers of a network in the order of their calls; one that is called again is in it again.

    What is taken as a whole, as an attention, is not among them.
    """
    nodes = {node.name: node for node in original.graph.nodes if node.kind in (CONV, LINEAR)}
    of_none = next(iter(original.operations.nodes)).meta["shape"][0] == 0  # shapes are of no images, or of one
    found = []
    for call in original.operations.nodes:
        if call.op == "call_module" and str(call.target) in nodes:
            node, read = nodes[str(call.target)], call.all_input_nodes[0].meta["shape"]
            chain = nn.Sequential(*_chain(original.network, call))
            axis = len(read) - 1 if node.kind == LINEAR else 1
            found.append(Layer(node, chain, (1 if of_none else read[0], *read[1:]), axis))
    return found


def _chain(network: nn.Module, call: fx.Node) -> list[nn.Module]:
    """A layer, and what alone reads what it gives, one operation after the other."""
    parts = [network.get_submodule(str(call.target))]
    while len(call.users) == 1:
        last, call = call, next(iter(call.users))
        if call.op == "call_module" and isinstance(part := network.get_submodule(str(call.target)), FOLLOWERS):
            parts.append(part)
        elif call.op in ("call_function", "call_method") and is_elementwise(call) and _reads_alone(call, last):
            parts.append(Call(call.target, call.args[1:], call.kwargs))
        else:
            break
    return parts


def _reads_alone(call: fx.Node, last: fx.Node) -> bool:
    """Whether the first argument of a call is what an operation gives, and the others are constants."""
    return call.args[:1] == (last,) and call.all_input_nodes == [last]
