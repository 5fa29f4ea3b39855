"""A network in memory -> a smaller one, without a workflow: the best of the whole space by the score `log-mass`."""

from torch import nn

from sacp.errors import InputError
from sacp.network.cost import Budget, cost_of_graph
from sacp.network.surgery import prune
from sacp.network.tracing import trace
from sacp.pruning.criteria import kept_channels, l1_order
from sacp.pruning.space import Space, kept_counts
from sacp.search import exact, log_mass


def shrink(
    network: nn.Module, input_shape: tuple[int, int, int, int], *, flops: float | None = None,
    parameters: float | None = None, levels: int = 10,
) -> nn.Module:  # fmt: skip
    """Prune a trained network to a budget; the result inherits its weights and still has to be trained.

    Of all ways to remove tenths of the channels of each group within the budget, the one that keeps most of the layers'
    L1 mass: the highest sum over layers of sqrt(C) ln(kept share). The channels of the largest L1 norm stay.

    Args:
        network: any that `tracing.trace` understands; it stays as it is.
        input_shape: of one input with its batch axis, [1, C, H, W].
        flops: most multiply-accumulates; below 1, a share of the network's.
        parameters: most parameters; below 1, a share of the network's.
        levels: into how many parts the channels of a group are divided.

    Raises:
        InputError: the network is not understood, no bound is given, nothing is within it, or the search is too large.
    """
    limits = {name: limit for name, limit in (("flops", flops), ("parameters", parameters)) if limit is not None}
    if not limits or min(limits.values()) <= 0:
        found = limits or "none"
        raise InputError(f"budget: found {found}, expected flops or parameters above 0; below 1, a share")
    graph = trace(network, input_shape)
    values = log_mass.values(network, graph, levels)
    budget = Budget.of(limits, cost_of_graph(graph))
    steps, _ = exact.best(values, graph, Space.build(graph.weights, levels, 0), budget, found=1)
    counts = kept_counts(steps[0], graph.channels, levels)
    return prune(network, graph, kept_channels(l1_order(network, graph), counts))
