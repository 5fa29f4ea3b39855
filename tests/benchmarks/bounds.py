"""How near the search comes to the best within half of the FLOPs, and what it takes: gaps between found and bound.

.venv/bin/python tests/benchmarks/bounds.py --csv docs/results/bounds.csv

Torchvision's networks, untrained, with kept channels as they come and rounded to multiples of 8 and of 16. The last
lines are small networks of CIFAR-10 under two budgets. The gap is 0 where the search proves that what it found is the
best. CPU seconds are those of `sacp.prune` without its proof: tracing, the score, the search. A table goes to stdout.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import torch
import torchvision
from sacp.network.architectures import build
from sacp.network.constraints import Constraints
from sacp.network.cost import Budget, cost_of_graph
from sacp.network.spec import NetworkSpec
from sacp.pruning.space import Space
from sacp.search import log_mass
from sacp.solver import bounded
from sacp.tracing.trace import traced
from torch import nn

LEVELS = 10
LARGE = ("resnet50", "resnet101", "resnet152", "densenet121", "efficientnet_b0", "mobilenet_v2", "googlenet")
MULTIPLES = (1, 8, 16)
TWO = (("resnet20", 0.5, 0.5), ("resnet56", 0.5, 0.5), ("resnet56", 0.5, 0.4))
Row = dict[str, object]


def row(name: str, make: Callable[[], nn.Module], size: int, limits: dict[str, float], multiple: int) -> Row:
    """The gap of one network and budget."""
    torch.manual_seed(0)
    network = make().eval()
    started = time.process_time()
    graph = traced(network, (1, 3, size, size), Constraints(round_to=multiple)).graph
    budget = Budget.of(limits, cost_of_graph(graph))
    values = log_mass.values(network, graph, LEVELS)
    found = bounded.best(values, graph, Space.of(graph, LEVELS, 0), budget)
    seconds = time.process_time() - started
    gap = 100 * (found.bound - found.value) / abs(found.value)
    return {
        "network": name, "budget": ", ".join(f"{share} of the {kind}" for kind, share in limits.items()),
        "round_to": multiple, "groups": len(graph.groups), "found": round(found.value, 4),
        "bound": round(found.bound, 4), "gap_percent": round(gap, 4), "cpu_seconds": round(seconds, 1),
    }  # fmt: skip


def rows() -> Iterator[Row]:
    """A row for each network, budget and multiple."""
    for name in LARGE:
        make = getattr(torchvision.models, name)
        for multiple in MULTIPLES:
            options = {"init_weights": False} if name == "googlenet" else {}
            yield row(name, lambda make=make, options=options: make(**options), 224, {"flops": 0.5}, multiple)
    for name, flops, parameters in TWO:
        spec = NetworkSpec(name, 1.0, 3, 32, 10)
        yield row(name, lambda spec=spec: build(spec), 32, {"flops": flops, "parameters": parameters}, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--csv", type=Path, help="file for the table")
    options = parser.parse_args()
    torch.set_num_threads(1)
    frame = pd.DataFrame(rows())
    print(frame.to_markdown(index=False))
    if options.csv:
        frame.to_csv(options.csv, index=False)


if __name__ == "__main__":
    main()
