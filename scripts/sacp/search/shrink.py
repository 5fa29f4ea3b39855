"""A network in memory -> a smaller one, without a workflow: the best of the whole space by the score `log-mass`."""

import logging
import math
from collections.abc import Iterable, Mapping
from numbers import Integral, Real
from typing import Any

from torch import Tensor, nn

from sacp.errors import InputError
from sacp.network.calibration import calibrate as fit_norms
from sacp.network.cost import Budget, cost_of_graph
from sacp.network.graph import Graph
from sacp.network.surgery import prune
from sacp.pruning import proof as proofs
from sacp.pruning.criteria import highest_first, kept_channels
from sacp.pruning.space import Space, kept_counts
from sacp.pruning.within import narrowest
from sacp.search import bounded, log_mass
from sacp.tracing.trace import SHAPE, Shape, is_shape, traced

log = logging.getLogger(__name__)
MOST_LEVELS = 256  # steps are bytes


def shrink(
    network: nn.Module, input_shape: Shape | Tensor, *, flops: float | None = None,
    parameters: float | None = None, levels: int = 10, calibrate: Iterable[Tensor] | None = None, proof: str = "auto",
) -> nn.Module:  # fmt: skip
    """Prune a trained network to a budget; the result inherits its weights and still has to be trained.

    Of all ways to remove tenths of the channels of each group within the budget, the one that keeps most of the layers'
    L1 mass: the highest sum over layers of sqrt(C) ln(kept share). The channels of the largest L1 norm stay.

    Channels that cannot be pruned, as those that a layer norm or an attention mixes, stay; each reason is a warning of
    the log.

    Args:
        network: any that `tracing.trace` understands; it stays as it is.
        input_shape: of one input with its batch axis, [1, C, H, W] or [1, ...]; or a batch of inputs.
        flops: most multiply-accumulates; a fraction up to 1.0 is a share of the network's, an integer a number.
        parameters: most parameters, in the same way.
        levels: into how many parts the channels of a group are divided.
        calibrate: batches of training images [B, C, H, W], normalised as for training: the result's batch norms are
            fitted to them, and it can be evaluated before it is trained.
        proof: the precision in which the result is compared with the original whose channels are masked: `auto`, which
            takes float32 for large networks, or `float64`.

    Raises:
        InputError: an argument has another form, the network is not understood, no bound is given, nothing is within
            it, or the result is not what was planned.
    """
    if isinstance(input_shape, Tensor):
        input_shape = (1, *input_shape.shape[1:])
    _check_forms(network, input_shape, levels, proof)
    limits = _limits(flops=flops, parameters=parameters)
    original = traced(network, input_shape)
    for why in original.stays:
        log.warning("not pruned: %s", why)
    graph, norms = original.graph, log_mass.masses(network, original.graph)
    values = log_mass.values_of(norms, graph, levels)
    budget = _budget(limits, graph, levels)
    found = bounded.best(values, graph, Space.of(graph, levels, 0), budget)
    if found.value < found.bound:
        log.warning("score %.6g found, at most %.6g possible: too large to be solved exactly", found.value, found.bound)
    counts = kept_counts(found.steps[0], graph, levels)
    kept = kept_channels(highest_first(norms), counts)
    smaller = prune(network, graph, kept)
    proofs.check(original, kept, smaller, input_shape, proof)
    if calibrate is not None:
        fit_norms(smaller, calibrate)
    return smaller


def _check_forms(network: Any, input_shape: Any, levels: Any, proof: Any) -> None:
    for name, found, is_right, expected in (
        ("network", network, isinstance(network, nn.Module), "a torch.nn.Module"),
        ("input_shape", input_shape, is_shape(input_shape), SHAPE),
        ("levels", levels, type(levels) is int and 2 <= levels <= MOST_LEVELS, f"an integer from 2 to {MOST_LEVELS}"),
        ("proof", proof, isinstance(proof, str) and proof in proofs.PRECISIONS, " or ".join(proofs.PRECISIONS)),
    ):
        if not is_right:
            raise InputError(f"{name}: found {_on_one_line(found)}, expected {expected}")


def _limits(**given: Any) -> dict[str, float]:
    """The bounds that are given; `InputError` if there is none, or one is no finite number above 0."""
    limits = {name: limit for name, limit in given.items() if limit is not None}
    if not limits or not all(map(_is_limit, limits.values())):
        found = _on_one_line(limits) if limits else "none"
        raise InputError(f"budget: found {found}, expected flops or parameters above 0; up to 1.0, a share")
    return {name: int(limit) if isinstance(limit, Integral) else float(limit) for name, limit in limits.items()}


def _budget(limits: Mapping[str, float], graph: Graph, levels: int) -> Budget:
    """Bounds as numbers; `InputError` if not even the narrowest network is within them."""
    base = cost_of_graph(graph)
    numbers = {
        name: int(limit * getattr(base, name)) if isinstance(limit, float) and limit <= 1 else int(limit)
        for name, limit in limits.items()
    }
    budget = Budget(**numbers)
    least = narrowest(graph, levels)
    if any(getattr(least, name) > number for name, number in numbers.items()):
        told = f"the narrowest network has {least.flops} FLOPs and {least.parameters} parameters"
        raise InputError(f"budget: no configuration of the space is within {budget}; {told}")
    return budget


def _on_one_line(value: Any) -> str:
    return " ".join(repr(value).split())[:160]


def _is_limit(limit: Any) -> bool:
    is_number = isinstance(limit, Real) and not isinstance(limit, bool)
    return is_number and bool(0 < limit < math.inf)
