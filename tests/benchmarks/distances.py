"""What `search.distance` costs and brings: the m best of an exact search that differ in so many groups at least.

.venv/bin/python tests/benchmarks/distances.py
.venv/bin/python tests/benchmarks/distances.py --tune DATA BASE... --csv tuned.csv

First on the paper's networks, untrained: scores, time, and how unlike the candidates are. Then, on bases as the
pipeline writes them, the candidates are tuned for an epoch, and the best by one half of the held-out images is looked
at on the other half. Rows are appended to the CSV file; a row that is there is not measured again.
"""

import argparse
import time
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sacp.artefacts.tensors import load_torch
from sacp.compute.arithmetic import Engine
from sacp.errors import InputError
from sacp.images import parquet
from sacp.images.splits import Splits, channel_statistics, digest
from sacp.network.architectures import build
from sacp.network.cost import Budget, cost_of_graph
from sacp.network.graph import Graph
from sacp.network.spec import NetworkSpec
from sacp.network.surgery import prune
from sacp.network.weights import load_base
from sacp.pruning.criteria import kept_of, l1_order
from sacp.pruning.space import Space, Steps
from sacp.search import log_mass
from sacp.seeds import derive
from sacp.solver import exact
from sacp.tracing.trace import trace
from sacp.training.evaluation import Calibration, accuracy_percent
from sacp.training.loop import train
from sacp.training.recipe import Recipe
from torch import nn

THRESHOLDS = {"vgg16": 0.6, "resnet18": 0.7, "resnet56": 0.3}  # the paper's
LEVELS = 10
DISTANCES = (1, 2, 3, 4, 6)
M = 1000
SHARES = (0.35, 0.2)  # of the FLOPs, of which the candidates take up to a hundredth less
TUNED = 8  # candidates of each distance
HELD_OUT, IMAGES, CALIBRATION = 5000, 6000, 2000
COLUMNS = ("network", "share", "distance", "rank", "score", "first_half", "second_half")


def unlike(steps: Steps) -> float:
    """Groups in which two of the configurations differ, on average."""
    return float(np.mean([(a != b).sum() for a, b in combinations(steps, 2)]))


def found(
    network: nn.Module, graph: Graph, budget: dict[str, object], threshold: float, number: int, distance: int
) -> tuple[Steps, exact.Values]:
    """Steps and scores of the best by `log-mass`."""
    values = log_mass.values(network, graph, LEVELS)
    inside = Space.of(graph, LEVELS, threshold)
    return exact.best(values, graph, inside, Budget.of(budget, cost_of_graph(graph)), number, distance)


def print_scores() -> None:
    """A row for each network, budget and distance."""
    print(f"| network | budget | distance | best score | of the {M}th | groups, that two differ in | seconds |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, threshold in THRESHOLDS.items():
        torch.manual_seed(0)
        spec = NetworkSpec(name, 1.0, 3, 32, 10)
        network = build(spec).eval()
        graph = trace(network, spec.input_shape)
        budgets = {f"R >= {threshold}": {}, "FLOPs .495 to .5": {"flops": [0.495, 0.5]}}
        for words, budget in budgets.items():
            for distance in DISTANCES:
                started = time.perf_counter()
                try:
                    steps, sums = found(network, graph, budget, 0 if budget else threshold, M, distance)
                    cells = [f"{sums[0]:.2f}", f"{sums[-1]:.2f}" if len(sums) == M else f"only {len(sums)}"]
                    cells += [f"{unlike(steps):.1f} of {len(graph.groups)}"]
                except InputError as error:
                    cells = ["", str(error).split(";")[0], ""]
                print(
                    "|", " | ".join([name, words, str(distance), *cells, f"{time.perf_counter() - started:.1f}"]), "|"
                )


def splits_of(data: str) -> tuple[Splits, Splits]:
    """CIFAR-10 with few training images, validated by one half of the held-out images, and by the other."""
    full, test = parquet.read({"path": data})
    order = torch.from_numpy(np.random.default_rng(0).permutation(len(full.labels)))
    training = full.part(order[HELD_OUT:][:IMAGES].sort().values)
    halves = [full.part(order[:HELD_OUT].view(2, -1)[half].sort().values) for half in range(2)]
    first, second = (
        Splits(training, half, test, *channel_statistics(training.images), digest(training, half)) for half in halves
    )
    return first, second


def tunings(base: Path, halves: tuple[Splits, Splits], known: set[tuple[object, ...]]) -> Iterator[tuple[object, ...]]:
    """Rows that are not known yet: the candidates of each distance, tuned alike."""
    spec = NetworkSpec(**load_torch(base, ["network"])["network"])
    network = load_base(base, spec)
    graph = trace(network, spec.input_shape)
    order, calibration = l1_order(network, graph), Calibration(halves[0], CALIBRATION, 0)
    recipe = Recipe(1, 0.02, batch_size=128, momentum=0.9, weight_decay=5e-4, nesterov=True, crop_padding=4, flip=True)
    done: dict[bytes, tuple[float, float]] = {}
    for share in SHARES:
        for distance in DISTANCES:
            steps, sums = found(network, graph, {"flops": [share - 0.01, share]}, 0, TUNED, distance)
            for rank, (row, score) in enumerate(zip(steps, sums, strict=True)):
                if (spec.name, share, distance, rank) in known:
                    continue
                if row.tobytes() not in done:
                    pruned = prune(network, graph, kept_of(row, order, graph, LEVELS))
                    train(pruned, halves[0], recipe, derive(rank, "tune"), "tune", Engine("float32"))
                    calibration(pruned)
                    done[row.tobytes()] = tuple(accuracy_percent(pruned, half.validation, half) for half in halves)
                yield spec.name, share, distance, rank, score, *done[row.tobytes()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tune", nargs="+", metavar=("DATA", "BASE"), help="CIFAR-10 as parquet, and bases")
    parser.add_argument("--csv", type=Path, default=Path("distances.csv"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    if not options.tune:
        print_scores()
        return
    data, *bases = options.tune
    if not options.csv.exists():
        pd.DataFrame(columns=COLUMNS).to_csv(options.csv, index=False)
    halves = splits_of(data)
    for base in bases:
        known = set(pd.read_csv(options.csv)[list(COLUMNS[:4])].itertuples(index=False, name=None))
        for row in tunings(Path(base), halves, known):
            pd.DataFrame([row]).to_csv(options.csv, mode="a", header=False, index=False)
    frame = pd.read_csv(options.csv)
    ranked = frame.sort_values(["first_half", "rank"], ascending=[True, False])  # of equals the better-scored is chosen
    by = ranked.groupby(["network", "share", "distance"])
    shown = {"mean": ("second_half", "mean"), "spread": ("second_half", "std"), "chosen": ("second_half", "last")}
    print(by.agg(**shown).round(2).to_markdown())


if __name__ == "__main__":
    main()
