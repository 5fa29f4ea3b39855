"""Zero-cost predictors: numbers that a network has before any training, and that should rise with its later accuracy.

Each is a function `(network, images, seed) -> number`, of a network in evaluation mode that it leaves as it was and of
training images [B, C, H, W], normalised, on its device. DEVIATION: all but `zen` look at the weights as they are, which
a pruned network has inherited; their papers draw weights. What each predictor is in one line: `catalogue.predictors`.
"""

import copy
import math
from collections.abc import Callable
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from sacp.errors import InputError
from sacp.network.calibration import running_norms

LAYERS = {
    F.conv1d, F.conv2d, F.conv3d, F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d, F.linear,
}  # fmt: skip
ACTIVATIONS = {
    F.relu, F.relu_, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_, F.relu6, F.hardtanh, F.leaky_relu, F.prelu,
    F.elu, F.silu, F.gelu, F.hardswish,
}  # fmt: skip
MIXUP, ZEN_IMAGES, ZEN_DRAWS = 1e-2, 16, 8  # ASSUME: the authors draw 32 times


class _Looking(TorchFunctionMode):
    """Calls a function with some operations, their inputs and their outputs, while networks run."""

    def __init__(self, operations: set[Any], look: Callable[[Any, Tensor, Tensor], None]) -> None:
        super().__init__()
        self.operations, self.look = operations, look

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func not in self.operations:
            return func(*args, **(kwargs or {}))
        given = args[0].clone()  # what is done in place changes its input
        found = func(*args, **(kwargs or {}))
        self.look(func, given, found)
        return found


def synflow(network: nn.Module, images: Tensor, seed: int) -> float:
    """ln of the sum over the weights of convolutions and linear layers of |w dR/dw|, R the sum of the outputs.

    All parameters are replaced by their magnitudes, batch norms left out, and the input is one image of ones (Tanaka et
    al. 2020, eq. 1 and algorithm 1; without batch norms, Abdelfattah et al. 2021). The logarithm, as a deep network's
    sum may have hundreds of digits.
    """
    changed = copy.deepcopy(network).double()
    with torch.no_grad():
        for parameter in changed.parameters():
            parameter.abs_()
    for norm in running_norms(changed):
        norm.register_forward_hook(lambda _, given, output: given[0])
    layers = [each for each in changed.modules() if isinstance(each, (nn.modules.conv._ConvNd, nn.Linear))]
    weights = [layer.weight.requires_grad_() for layer in layers]
    with torch.enable_grad():
        flow = changed(torch.ones_like(images[:1], dtype=torch.float64)).sum()
        slopes = torch.autograd.grad(flow, weights, allow_unused=True)
    total = sum(
        float((w.detach() * slope).abs().sum()) for w, slope in zip(weights, slopes, strict=True) if slope is not None
    )
    return math.log(total) if total > 0 else -math.inf


@torch.no_grad()
def naswot(network: nn.Module, images: Tensor, seed: int) -> float:
    """ln |det K|, K[a, b] how many units of activations are both on or both off for the images a and b.

    A unit is on where its input is above 0 (Mellor et al. 2021, section 3, with the kernel of their code, the sum over
    all activations). -inf where the network cannot tell two images apart.
    """
    kernel = torch.zeros(len(images), len(images), dtype=torch.float64, device=images.device)

    def look(_: Any, given: Tensor, __: Tensor) -> None:
        on = (given.reshape(len(images), -1) > 0).float()  # exact below 2 ** 24 units
        kernel.add_(on @ on.T + (1 - on) @ (1 - on).T)

    with _Looking(ACTIVATIONS, look):
        network(images)
    if not kernel.any():
        raise InputError("predictor 'naswot': the network has no activation with units that are on or off, as ReLU")
    if len(torch.unique(kernel, dim=0)) < len(kernel):
        return -math.inf
    return float(torch.linalg.slogdet(kernel).logabsdet)


@torch.no_grad()
def near(network: nn.Module, images: Tensor, seed: int) -> float:
    """Sum of the effective ranks of what layers give, before and behind their activations (Husistein et al. 2024).

    A layer's matrix has a column for each channel and as many rows, each a position of an image (their section 3).
    DEVIATION: the rows are spread over all images evenly; the authors take neighbouring ones.
    """
    ranks, axes = list[float](), [1]  # that of the channels behind each layer

    def look(operation: Any, _: Tensor, output: Tensor) -> None:
        if operation in LAYERS:
            axes.append(-1 if operation is F.linear else 1)
        ranks.append(_effective_rank(_square(output.movedim(axes[-1], -1).flatten(0, -2))))

    with _Looking(LAYERS | ACTIVATIONS, look):
        network(images)
    return sum(ranks)


def _square(rows: Tensor) -> Tensor:
    """As many rows as there are columns, spread evenly; all rows if there are fewer, [n, C] -> [min(n, C), C]."""
    spread = torch.linspace(0, len(rows) - 1, min(rows.shape), dtype=torch.float64)
    return rows[spread.round().long().to(rows.device)]


def _effective_rank(matrix: Tensor) -> float:
    """exp of the entropy of the singular values' shares (Roy and Vetterli 2007); 0 of zeros."""
    values = torch.linalg.svdvals(matrix.double())
    shares = values[values > 0] / values.sum()
    return float(torch.exp(-(shares * shares.log()).sum())) if len(shares) else 0.0


@torch.no_grad()
def zen(network: nn.Module, images: Tensor, seed: int) -> float:
    """ln of how much the last maps change with the input, plus ln of the deviations that batch norms divide by.

    Weights and inputs are drawn from normal distributions, the second input is the first plus 0.01 of another, and
    batch norms take their statistics from the batch (Lin et al. 2021, algorithm 1). The mean of several draws.
    DEVIATION: shortcuts stay, which the authors take out.
    """
    changed = copy.deepcopy(network).eval()
    norms = running_norms(changed)
    for norm in norms:
        norm.momentum = 1.0  # the running variance is that of the last batch
        norm.train()
    found = []
    with torch.random.fork_rng([images.device] if images.device.type == "cuda" else []):
        torch.manual_seed(seed)
        for _ in range(ZEN_DRAWS):
            _draw_weights(changed)
            first, second = (torch.randn(ZEN_IMAGES, *images.shape[1:], device=images.device) for _ in range(2))
            moved = _last_maps(changed, first + MIXUP * second)
            change = (moved - _last_maps(changed, first)).flatten(1).abs().sum(1).mean()
            variances = [float(cast(Tensor, norm.running_var).mean()) for norm in norms]
            found.append(math.log(change) + sum(map(math.log, variances)) / 2)
    return sum(found) / len(found)


def _draw_weights(network: nn.Module) -> None:
    """Weights of convolutions and linear layers from a normal distribution; factors of norms 1, all biases 0."""
    for module in network.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.dim() > 1:
                parameter.copy_(torch.randn(parameter.shape, device=parameter.device))
            else:
                parameter.fill_(float(name == "weight"))


def _last_maps(network: nn.Module, images: Tensor) -> Tensor:
    """The last output of a layer, a batch norm or an activation with positions; without any, a layer's last input."""
    maps, inputs = list[Tensor](), list[Tensor]()

    def look(operation: Any, given: Tensor, output: Tensor) -> None:
        maps[:] = [output] if output.dim() > 2 else maps
        inputs[:] = [given] if operation in LAYERS else inputs

    with _Looking(LAYERS | ACTIVATIONS | {F.batch_norm}, look):
        network(images)
    return (maps or inputs)[0]
