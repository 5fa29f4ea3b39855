"""FLOPs as they are executed: a second road to the numbers of `sacp.network.cost`, by the same conventions.

Nothing is traced. Each call of a function of torch is seen while the network runs, and counted by the shapes that it is
given and gives.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from sacp.network.cost import Cost
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode


def _mixed(result: Tensor, inputs: Tensor, weight: Tensor, *others: Any, **more: Any) -> int:
    """Multiply-accumulates of a convolution or linear layer: outputs times the weights that each takes."""
    return result.numel() * math.prod(weight.shape[1:])


def _normed(
    result: Tensor, inputs: Tensor, mean: Any, var: Any, weight: Tensor | None = None, *others: Any, **more: Any
) -> int:
    return (2 if weight is None else 4) * result.numel()


def _transposed(result: Tensor, inputs: Tensor, weight: Tensor, *others: Any, **more: Any) -> int:
    """A transposed convolution, by its outputs, as thop counts it."""
    return result.numel() * weight.shape[0] * math.prod(weight.shape[2:])


def _normed_alike(result: Tensor, inputs: Tensor, *others: Any, **more: Any) -> int:
    """A layer, group or instance norm, affine if it is given a weight."""
    given = [each for each in (*others, *more.values()) if isinstance(each, Tensor)]
    return (4 if given else 2) * result.numel()


def _attended(result: Any, query: Tensor, key: Tensor, value: Tensor, width: int, *others: Any, **more: Any) -> int:
    """The four linear maps of an attention."""
    return 4 * query.numel() * width


def _averaged(result: Tensor, inputs: Tensor, *others: Any, **more: Any) -> int:
    return inputs.numel() + result.numel()


def _pooled(result: Tensor, *others: Any, **more: Any) -> int:
    return result.numel()


def _resized(
    result: Tensor,
    inputs: Tensor,
    size: Any = None,
    scale: Any = None,
    mode: str = "nearest",
    *others: Any,
    **more: Any,
) -> int:
    return {"nearest": 1, "bilinear": 11, "bicubic": 259}.get(mode, 0) * result.numel()


RULES: Mapping[str, Callable[..., int]] = {
    "conv1d": _mixed, "conv2d": _mixed, "conv3d": _mixed, "conv_transpose2d": _transposed,
    "layer_norm": _normed_alike, "group_norm": _normed_alike, "instance_norm": _normed_alike,
    "multi_head_attention_forward": _attended, "linear": _mixed,
    "batch_norm": _normed, "interpolate": _resized, "prelu": _pooled,
    "adaptive_avg_pool2d": _averaged, "mean": _averaged, "avg_pool2d": _pooled,
}  # fmt: skip


class _Counter(TorchFunctionMode):
    flops = 0

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Call a function of torch, whose own calls are not seen, and count it."""
        result = func(*args, **(kwargs or {}))
        if rule := RULES.get(func.__name__):
            self.flops += rule(result, *args, **(kwargs or {}))
        return result


def counted(network: nn.Module, shape: tuple[int, int, int, int]) -> Cost:
    """Cost of a network on one image of `shape`, [1, C, H, W]."""
    images = torch.zeros(shape, dtype=next(network.parameters()).dtype)
    with torch.no_grad(), _Counter() as counter:
        network(images)
    return Cost(counter.flops, sum(parameter.numel() for parameter in network.parameters()))
