"""What a traced forward gives: the shapes of all tensors, by running it on no images at all, or on one."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.overrides import TorchFunctionMode

from sacp.errors import INTERRUPTS, InputError, told
from sacp.tracing.operations import CONCATENATIONS, PERMUTATIONS, is_elementwise
from sacp.tracing.symbolic import mode, place
from sacp.tracing.values import argument

JOINED = (*CONCATENATIONS, torch.stack)


class _Shapes(fx.Interpreter):
    """Notes the shapes of all tensors, as torch's `ShapeProp` does, but loads no symbolic algebra, half a second.

    Of a function that is not torch's, it counts the multiply-accumulates of its linear layers and convolutions.
    """

    def run_node(self, n: fx.Node) -> Any:
        """Run a node; note the shape of the tensor that it gives, or how many it gives."""
        self.node = n
        for note in ("shape", "length", "macs"):
            n.meta.pop(note, None)
        if n.op == "call_function" and not _is_torchs(n.target) and not is_elementwise(n):
            with _Macs() as macs:
                result = super().run_node(n)
            n.meta["macs"] = macs.total
        else:
            result = super().run_node(n)
        if isinstance(result, Tensor):
            n.meta["shape"] = tuple(result.shape)
        elif isinstance(result, (tuple, list)) and any(isinstance(part, Tensor) for part in result):
            n.meta["length"] = len(result)
        return result

    def call_method(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a method; a view of no images is a flattening."""
        sizes = args[1] if len(args) == 2 and isinstance(args[1], (tuple, list)) else args[1:]
        if target in ("view", "reshape") and tuple(sizes) == (0, -1) and not kwargs:
            return args[0].flatten(1)  # torch cannot tell what -1 means then
        return super().call_method(target, args, kwargs)


class _Macs(TorchFunctionMode):
    """Counts the multiply-accumulates of linear layers and convolutions."""

    total = 0

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Call a function of torch."""
        result = func(*args, **(kwargs or {}))
        if func in (F.linear, F.conv1d, F.conv2d, F.conv3d):
            weight = args[1] if len(args) > 1 else (kwargs or {})["weight"]
            self.total += result.numel() * math.prod(weight.shape[1:])
        return result


def _is_torchs(function: Any) -> bool:
    """Whether a function is torch's or Python's own."""
    return str(getattr(function, "__module__", "")).partition(".")[0] in (
        "torch",
        "_operator",
        "builtins",
        "math",
        "None",
    )


def note_shapes(shadow: nn.Module, operations: fx.Graph, input_shape: tuple[int, ...]) -> None:
    """Note the shapes of all tensors, by no images, which takes no time, or by some where the forward wants them."""
    batches = (0, 1, 2) if shadow.training else (0, 1)  # a batch norm in training wants 2
    for batch in batches:
        run = _Shapes(shadow, graph=operations)
        run.extra_traceback = False
        try:
            with torch.no_grad(), _restored(shadow):
                run.run(images_like(shadow, (batch, *input_shape[1:])))
            if batch or not _mixes_images(operations):
                return
        except INTERRUPTS:
            raise
        except BaseException as error:
            if batch == batches[-1]:
                found = f"fails on an input of shape {list(input_shape)}{mode(shadow)}, at {place(run.node)}"
                raise InputError(f"network: {type(shadow).__name__} {found} ({told(error)})") from error


@contextmanager
def _restored(network: nn.Module) -> Iterator[None]:
    """Give a network its buffers back behind the block: in training batch norms note what they see."""
    before = [
        (module, name, buffer, buffer.clone())
        for module in (network.modules() if network.training else ())
        for name, buffer in module._buffers.items()
        if buffer is not None
    ]
    try:
        yield
    finally:
        for module, name, buffer, values in before:
            module._buffers[name] = buffer.copy_(values)


def _mixes_images(operations: fx.Graph) -> bool:
    """Whether no images tell too little: a function is counted, or more than images lie along a tensor's first axis."""
    if any("macs" in node.meta for node in operations.nodes):
        return True
    for node in operations.nodes:
        reads = [arg.meta["shape"] for arg in node.all_input_nodes if "shape" in arg.meta]
        if "shape" not in node.meta or not reads or node.op == "call_module":
            continue
        before, after = reads[0], node.meta["shape"]
        if node.target in JOINED and argument(node, 1, "dim", 0) == 0:
            return True
        is_moved = node.target in (*PERMUTATIONS, "view", "reshape", torch.reshape, "flatten", torch.flatten)
        if is_moved and (before[:1] != after[:1] or math.prod(before[1:]) != math.prod(after[1:])):
            return True
    return False


def images_like(network: nn.Module, shape: tuple[int, ...]) -> Tensor:
    """Zeros of a shape, of the type and on the device that a network's parameters have."""
    like = next((each for each in network.parameters() if each.is_floating_point()), torch.zeros(()))
    return torch.zeros(shape, device=like.device, dtype=like.dtype)
