"""How fast the search is: ratios against named peers, measured in one run. `make bench-search` runs it.

Sampling against rejection (whole arrays drawn, those below the threshold dropped), scoring by tables against dense
batches and against a torch-geometric `Batch` loop, encoder training against a torch-geometric loader, and how time and
memory grow with the number of candidates. Every size is measured in a process of its own, for its memory peak.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

import numpy as np
import torch
from sacp.encoder.dense import DenseScorer
from sacp.encoder.features import NodeFeatures
from sacp.encoder.lookup_tables import TableScorer
from sacp.encoder.model import Encoder, EncoderSettings, edge_index
from sacp.encoder.training import objective_loss, train_encoder
from sacp.network.architectures import build
from sacp.network.spec import NetworkSpec
from sacp.pruning import criteria, space
from sacp.search import ranked
from sacp.search.scorers import score_all
from sacp.tracing.trace import trace
from torch_geometric.data import Batch, Data
from torch_geometric.loader import DataLoader
from torch_geometric.nn import global_mean_pool

THRESHOLDS = {"vgg16": 0.6, "resnet18": 0.7, "resnet56": 0.3}
LEVELS, HIDDEN, LAYERS = 10, 64, 3
BLOCK = 1 << 20
TURNS = 5


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


class Problem:
    """A network of the paper with an untrained encoder."""

    def __init__(self, name: str) -> None:
        torch.manual_seed(0)
        spec = NetworkSpec(name, 1.0, 3, 32, 10)
        network = build(spec).eval()
        self.graph = trace(network, spec.input_shape)
        self.norms = criteria.l1_norms(network, self.graph)
        self.order = criteria.highest_first(self.norms)
        self.space = space.Space.of(self.graph, LEVELS, THRESHOLDS[name])
        self.encoder = Encoder(self.graph.max_channels, HIDDEN, LAYERS)
        self.dense = DenseScorer(self.encoder, self.graph, self.order, LEVELS, "directed")

    def rejection(self, draws: int) -> int:
        """Draw from the whole space, drop what is below the threshold; return how many are left."""
        steps = np.random.default_rng(0).integers(0, LEVELS, (draws, len(self.graph.groups)), dtype=np.uint8)
        return int((steps @ np.array(self.space.weights) >= len(self.space.ways[0]) - 1).sum())

    def torch_geometric(self, steps: np.ndarray) -> None:
        """The obvious way: one graph per candidate, batched by torch-geometric, 256 at a time."""
        features, index = NodeFeatures(self.graph, LEVELS), edge_index(self.graph, "directed")
        table = features.table(self.order)
        with torch.no_grad():
            for start in range(0, len(steps), 256):
                nodes = table[features.index(steps[start : start + 256])][:, features.rows]
                batch = Batch.from_data_list([Data(x=x, edge_index=index) for x in nodes])
                x = batch.x
                for number, conv in enumerate(self.encoder.convs):
                    x = conv(x if number == 0 else x.relu(), batch.edge_index)
                torch.nn.functional.normalize(global_mean_pool(x, batch.batch), dim=1) @ self.dense.original


def measure_size(name: str, size: int, threads: int) -> dict[str, float]:
    """Sampling and scoring of `size` candidates, and the memory peak of this process."""
    torch.set_num_threads(1)
    problem = Problem(name)
    scorer = TableScorer(problem.dense)
    result: dict[str, float] = {"size": size}
    started = time.perf_counter()
    steps = problem.space.sample(size, 0, threads)
    result["sampling_seconds"] = time.perf_counter() - started
    parts = ((start, steps[start : start + BLOCK]) for start in range(0, size, BLOCK))
    keep = min(size, 1_000_000)
    work = lambda: ranked.best(parts, size, scorer, problem.graph, LEVELS, keep, threads=threads)  # noqa: E731
    result["search_seconds"] = seconds(work)
    result["peak_gb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return result


def measure_peers(name: str, graphs: int, threads: int) -> dict[str, float]:
    """Candidates per second of each way to score, and of sampling against rejection."""
    problem = Problem(name)
    steps = problem.space.draw(1_000_000, 1, threads)
    scorer = TableScorer(problem.dense)
    torch.set_num_threads(threads)
    peer = graphs / seconds(lambda: problem.torch_geometric(steps[:graphs]))
    chunk = problem.dense.chunk
    batches = [steps[start : start + chunk] for start in range(0, 50 * chunk, chunk)]
    dense = 50 * chunk / seconds(lambda: [problem.dense.score_chunk(batch) for batch in batches])
    tables = len(steps) / seconds(lambda: score_all(scorer, steps))
    rejected = 2_000_000
    kept: list[int] = []
    rejection_seconds = seconds(lambda: kept.append(problem.rejection(rejected)))
    sampling = len(steps) / seconds(lambda: problem.space.sample(len(steps), 0, threads))
    return {
        "torch_geometric_per_second": peer,
        "dense_per_second": dense,
        "tables_per_second": tables,
        "rejection_per_second": kept[0] / rejection_seconds,
        "sampling_per_second": sampling,
    }


def measure_training(name: str, configurations: int) -> dict[str, float]:
    """Seconds of one epoch of the encoder's training: a torch-geometric loader loop and ours, in turns."""
    problem = Problem(name)
    steps = space.draw_training(configurations, problem.graph, LEVELS, np.random.default_rng(0))
    settings = EncoderSettings(HIDDEN, LAYERS, "directed", "contrastive", "original", 0.1, 1, 32, 1e-3)
    ours, loader = [], []
    for _ in range(TURNS):  # other work on the machine slows single turns; the best of each counts
        ours.append(seconds(lambda: train_encoder(problem.graph, problem.norms, steps, LEVELS, settings, 0)))
        loader.append(seconds(lambda: _loader_epoch(problem, steps)))
    return {"loader_seconds": min(loader), "ours_seconds": min(ours)}


def _loader_epoch(problem: Problem, steps: np.ndarray) -> None:
    features, index = NodeFeatures(problem.graph, LEVELS), edge_index(problem.graph, "directed")
    table, generator = features.table(problem.order), torch.Generator().manual_seed(0)
    encoder = Encoder(problem.graph.max_channels, HIDDEN, LAYERS)
    optimizer = torch.optim.Adam(encoder.parameters(), 1e-3)

    def embed(nodes: torch.Tensor) -> torch.Tensor:
        batch = Batch.from_data_list([Data(x=x, edge_index=index) for x in nodes])
        x = batch.x
        for number, conv in enumerate(encoder.convs):
            x = conv(x if number == 0 else x.relu(), batch.edge_index)
        return torch.nn.functional.normalize(global_mean_pool(x, batch.batch), dim=1)

    for rows in DataLoader(range(len(steps)), batch_size=32, shuffle=True):
        batch = steps[rows.numpy()]
        random = features.random_rows(features.counts(batch), generator)
        negative = torch.cat([random, features.constants.expand(len(rows), -1, -1)], dim=1)
        positive, negative = (embed(x[:, features.rows]) for x in (table[features.index(batch)], negative))
        anchor = embed(table[features.unpruned()][:, features.rows]).expand(len(rows), -1)
        loss = objective_loss(anchor, positive, negative, "contrastive", 0.1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def in_process(*arguments: str) -> dict[str, float]:
    """Run one measurement of this file in a process of its own."""
    done = subprocess.run([sys.executable, __file__, *arguments], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--one", nargs="+", help="one measurement: KIND NETWORK NUMBER")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--graphs", type=int, default=5000, help="graphs given to the torch-geometric loop")
    parser.add_argument("--sizes", type=int, nargs="+", default=[10**4, 10**5, 10**6, 5 * 10**6, 10**7])
    parser.add_argument("--figure", type=Path, help="file for the picture of the growth")
    options = parser.parse_args()
    if options.one:
        kind, name, number = options.one[0], options.one[1], int(options.one[2])
        measures = {
            "size": lambda: measure_size(name, number, options.threads),
            "peers": lambda: measure_peers(name, number, options.threads),
            "training": lambda: measure_training(name, number),
        }
        print(json.dumps(measures[kind]()))
        return
    threads = ["--threads", str(options.threads)]
    print(f"{options.threads} threads; rates in candidates per second\n")
    print("| network | torch-geometric | dense | tables | tables : torch-geometric | rejection | sampling | ratio |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name in THRESHOLDS:
        row = in_process("--one", "peers", name, str(options.graphs), *threads)
        peer, dense, tables = (row[f"{key}_per_second"] for key in ("torch_geometric", "dense", "tables"))
        rejection, sampling = row["rejection_per_second"], row["sampling_per_second"]
        ratios = f"{tables / peer:,.0f}", f"{sampling / rejection:.1f}"
        cells = [f"{peer:,.0f}", f"{dense:,.0f}", f"{tables:,.0f}", ratios[0], f"{rejection:,.0f}", f"{sampling:,.0f}"]
        print("| " + " | ".join([name, *cells, ratios[1]]) + " |", flush=True)
    print("\n| encoder training | torch-geometric loader (s) | ours (s) | ratio |\n| --- | --- | --- | --- |")
    for name in THRESHOLDS:
        row = in_process("--one", "training", name, "2000")
        loader, ours = row["loader_seconds"], row["ours_seconds"]
        print(f"| {name} | {loader:.2f} | {ours:.2f} | {loader / ours:.1f} |", flush=True)
    print("\n| candidates of resnet56 | sampling (s) | search (s) | peak memory (GB) |\n| --- | --- | --- | --- |")
    rows = []
    for size in options.sizes:
        rows.append(in_process("--one", "size", "resnet56", str(size), *threads))
        sampling, search, peak = (rows[-1][key] for key in ("sampling_seconds", "search_seconds", "peak_gb"))
        print(f"| {size:,} | {sampling:.2f} | {search:.2f} | {peak:.2f} |", flush=True)
    if options.figure:
        draw(rows, options.figure)


def draw(rows: list[dict[str, float]], path: Path) -> None:
    """Draw seconds and memory against the number of candidates."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    sizes = [row["size"] for row in rows]
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
    left.loglog(sizes, [row["sampling_seconds"] for row in rows], "o-", color="#0072B2", label="sampling")
    left.loglog(sizes, [row["search_seconds"] for row in rows], "s-", color="#D55E00", label="scoring, costs, ranking")
    left.set(xlabel="candidates of ResNet-56", ylabel="seconds")
    left.legend(frameon=False)
    right.semilogx(sizes, [row["peak_gb"] for row in rows], "o-", color="#009E73")
    right.set(xlabel="candidates of ResNet-56", ylabel="peak memory (GB)", ylim=0)
    for axes in (left, right):
        axes.grid(color="0.92")
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
