"""Distances from tables against dense batches and cosines, and the exact search against the best of a sample.

.venv/bin/python tests/benchmarks/beyond_sample.py --candidates 5000000
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from sacp.encoder.dense import DenseScorer
from sacp.encoder.model import Encoder, EncoderSettings
from sacp.encoder.scorer import fastest
from sacp.network.architectures import build
from sacp.network.cost import Budget, cost_of_graph, costs_of_counts
from sacp.network.spec import NetworkSpec
from sacp.pruning import criteria, space
from sacp.search import log_mass
from sacp.search.scorers import AdditiveScorer, score_all
from sacp.solver import exact
from sacp.tracing.trace import trace

THRESHOLDS = {"vgg16": 0.6, "resnet18": 0.7, "resnet56": 0.3}
LEVELS = 10
DENSE = 20_000  # candidates scored in dense batches
COSINE = EncoderSettings(64, 3, "directed", "contrastive", "original", 0.1, 1, 32, 1e-3)
DISTANCE = EncoderSettings(
    64, 3, "directed", "contrastive", "original", 1.0, 1, 32, 1e-3, features="deficit", negatives="own",
    score="distance",
)  # fmt: skip


def timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--candidates", type=int, default=1_000_000, help="of the sample that the optimum is set against"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("one thread, candidates per second\n")
    print("| network | distance, dense | distance, tables | tables : dense | cosine, tables | distance : cosine |")
    print("| --- | --- | --- | --- | --- | --- |")
    problems = {}
    for name, threshold in THRESHOLDS.items():
        torch.manual_seed(0)
        spec = NetworkSpec(name, 1.0, 3, 32, 10)
        network = build(spec).eval()
        graph = trace(network, spec.input_shape)
        norms, inside = criteria.l1_norms(network, graph), space.Space.of(graph, LEVELS, threshold)
        problems[name] = network, graph, inside
        steps, rates = inside.draw(200_000, 0), {}
        for kind, settings in (("cosine", COSINE), ("distance", DISTANCE)):
            encoder = Encoder.build(graph.max_channels, settings)
            dense = DenseScorer.of(encoder, graph, norms, LEVELS, settings)
            tables = fastest(dense)
            rates[kind] = len(steps) / timed(lambda tables=tables, steps=steps: score_all(tables, steps))
        part = steps[:DENSE]
        slow = DENSE / timed(lambda dense=dense, part=part: score_all(dense, part))
        distance, cosine = rates["distance"], rates["cosine"]
        cells = f"{slow:,.0f} | {distance:,.0f} | {distance / slow:.1f} | {cosine:,.0f} | {distance / cosine:.2f}"
        print(f"| {name} | {cells} |", flush=True)
    print(f"\n| network | budget | exact, 1,000 best (s) | best | 1,000th | best of {options.candidates:,} drawn |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, (network, graph, inside) in problems.items():
        values = log_mass.values(network, graph, LEVELS)
        scorer = AdditiveScorer(values)
        drawn = inside.sample(options.candidates, 1, 2)
        scores = np.concatenate([scorer.score_chunk(part) for part in np.array_split(drawn, 100)])
        flops, parameters = costs_of_counts(graph, space.kept_counts(drawn, graph, LEVELS))
        for limit in (None, 0.3):
            budget = Budget.of({"flops": limit} if limit else {}, cost_of_graph(graph))
            started = time.perf_counter()
            _, best = exact.best(values, graph, inside, budget, 1000)
            seconds = time.perf_counter() - started
            allowed = budget.holds(flops, parameters)
            sampled = f"{scores[allowed].max():.2f}" if allowed.any() else f"none of {options.candidates:,} within"
            shown = f"FLOPs {limit}" if limit else "none"
            print(f"| {name} | {shown} | {seconds:.1f} | {best[0]:.2f} | {best[-1]:.2f} | {sampled} |", flush=True)


if __name__ == "__main__":
    main()
