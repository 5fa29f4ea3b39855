"""One network, by us: is it accepted, and is what is made of it right?"""

import copy
import time
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import sacp
import torch
from benchmarks.networks import peer
from benchmarks.networks.counting import counted
from benchmarks.networks.masks import difference
from sacp.errors import InputError, out_of_memory, told
from sacp.network.cost import Cost, cost_of_graph, costs_of_counts
from sacp.network.graph import Graph, Kept
from sacp.network.surgery import prune
from sacp.pruning.criteria import kept_of, random_order
from sacp.pruning.within import narrowest
from sacp.tracing.trace import trace
from torch import nn

EXACT, REFUSED, WRONG, UNFINISHED = "exact", "refused", "wrong", "unfinished"
LARGE = 100_000_000  # parameters, above which pruned and masked are compared in float32
TOLERANCES = {"float64": 1e-8, "float32": 1e-2}  # differences, relative to those of two images
SHARE = 0.5  # of the FLOPs
LEVELS, FINE_LEVELS = 10, 256  # of widths; the narrowest have one channel of 256

Shape = tuple[int, int, int, int]
Part = Mapping[str, object]  # columns of a row


def measure(network: nn.Module, shape: Shape) -> Iterator[Part]:
    """Columns of a row as they become known; `stage` names what comes next. The outcome is the last."""
    yield {"stage": "trace", "parameters": sum(each.numel() for each in network.parameters())}
    try:
        graph = trace(network, shape)
    except InputError as error:
        if out_of_memory(error):
            raise
        yield {"outcome": REFUSED, "why": str(error)}
        return
    channels = sum(group.channels * len(group.layers) for group in graph.groups)
    yield {"stage": "groups", "groups": len(graph.groups), "channels": channels, **_against_peer(network, graph, shape)}
    faults: list[str] = []
    for stage, check in CHECKS.items():
        yield {"stage": stage}
        try:
            columns, fault = check(network, graph, shape)
        except InputError as error:
            yield {"outcome": WRONG if faults else REFUSED, "why": "; ".join([*faults, f"{stage}: {error}"])}
            return
        yield columns
        faults += [f"{stage}: {fault}"] if fault else []
    yield {"outcome": WRONG if faults else EXACT, "why": "; ".join(faults)}


def _against_peer(network: nn.Module, graph: Graph, shape: Shape) -> Part:
    """How our groups and those of Torch-Pruning lie to each other."""
    try:
        found = peer.against([group.layers for group in graph.groups], peer.groups(network, shape))
    except Exception as error:  # whatever it fails with
        found = f"fails: {type(error).__name__}"
    return {"torch_pruning_groups": found}


def random_widths(graph: Graph) -> list[Kept]:
    """Two configurations of random widths, of channels chosen at random."""
    generators = map(np.random.default_rng, (0, 1))
    return [
        kept_of(rng.integers(0, LEVELS, len(graph.groups)), random_order(graph, rng), graph, LEVELS)
        for rng in generators
    ]


def extreme_widths(graph: Graph) -> list[Kept]:
    """The narrowest network; and every second group whole, the others at their narrowest, and the other way round."""
    last, second, rng = FINE_LEVELS - 1, np.arange(len(graph.groups)) % 2, np.random.default_rng(2)
    every = (np.full_like(second, last), last * second, last * (1 - second))
    return [kept_of(steps, random_order(graph, rng), graph, FINE_LEVELS) for steps in every]


Checked = tuple[Part, str]  # columns, and what is wrong


def _differences(name: str, network: nn.Module, graph: Graph, shape: Shape, widths: list[Kept]) -> Checked:
    precision = "float32" if sum(each.numel() for each in network.parameters()) > LARGE else "float64"
    images = torch.randn(2, *shape[1:], generator=torch.Generator().manual_seed(1))
    dtype: torch.dtype = getattr(torch, precision)
    network, images = copy.deepcopy(network).to(dtype), images.to(dtype)
    try:
        found = [difference(network, graph, kept, images) for kept in widths]
    except (RuntimeError, ValueError) as error:
        if out_of_memory(error):
            raise
        return {"precision": precision, name: "fails"}, told(error)
    seen = [each for each in found if each is not None]
    worst = float(np.max(seen)) if seen else None
    columns = {"precision": precision, name: "no signal" if worst is None else f"{worst:.0e}"}
    is_right = worst is None or worst <= TOLERANCES[precision]
    return columns, "" if is_right else f"pruned and masked differ by {worst:.0e} of what two images differ by"


def check_random(network: nn.Module, graph: Graph, shape: Shape) -> Checked:
    """Pruned = masked at random widths."""
    return _differences("random_widths", network, graph, shape, random_widths(graph))


def check_extreme(network: nn.Module, graph: Graph, shape: Shape) -> Checked:
    """Pruned = masked at extreme widths."""
    return _differences("extreme_widths", network, graph, shape, extreme_widths(graph))


def check_costs(network: nn.Module, graph: Graph, shape: Shape) -> Checked:
    """FLOPs and parameters by formula, of the whole and of pruned networks, are those counted while they run."""
    pairs = [(cost_of_graph(graph), counted(network, shape))]
    for kept in [*random_widths(graph)[:1], *extreme_widths(graph)[:1]]:
        flops, parameters = costs_of_counts(graph, np.array([[len(channels) for channels in kept]]))
        pairs.append((Cost(int(flops[0]), int(parameters[0])), counted(prune(network, graph, kept), shape)))
    unequal = [f"{ours} by formula, {found} counted" for ours, found in pairs if ours != found]
    return {"costs": "unequal" if unequal else "equal"}, "; ".join(unequal[:1])


def check_search(network: nn.Module, graph: Graph, shape: Shape) -> Checked:
    """`sacp.prune` gives a network of half of the FLOPs that runs.

    Where the narrowest one has more than half, it is asked for what lies in the middle between that and the whole.
    """
    least, base = narrowest(graph, LEVELS).flops, counted(network, shape).flops
    share = SHARE if least <= SHARE * base else (least / base + 1) / 2
    started = time.process_time()
    smaller = sacp.prune(network, shape, flops=share)
    seconds = time.process_time() - started
    flops = counted(smaller, shape).flops
    fault = f"{flops} of {base} FLOPs are left" if flops > share * base else ""
    return {"cpu_seconds": f"{seconds:.1f}", "flops_percent": f"{100 * flops / base:.1f}"}, fault


CHECKS: Mapping[str, Callable[[nn.Module, Graph, Shape], Checked]] = {
    "costs": check_costs, "random widths": check_random, "extreme widths": check_extreme, "sacp.prune": check_search,
}  # fmt: skip
