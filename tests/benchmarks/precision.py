"""Do trainings in bfloat16 end where those in float32 do? `make bench-precision` runs it, and goes on where it stopped.

Each network is trained in both precisions with several seeds. Then random pruned networks are tuned in both precisions
with two seeds, all from the same base of float32. Rows are appended to a CSV file as they are measured; a row that is
there is not measured again, and `--print` shows what is there. All accuracies are of float32 evaluations of the same
held-out images of CIFAR-10.

Printed are the accuracies side by side; the differences between precisions at the same seed, beside those between
seeds at the same precision; Kendall's tau of the pruned networks between precisions, beside that between seeds; and how
alike gradients of a network are in both precisions, beside those of two batches.
"""

import argparse
import csv
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations, islice
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sacp.compute.arithmetic import Engine
from sacp.images import parquet
from sacp.images.batches import Batch
from sacp.images.splits import Splits, channel_statistics, digest
from sacp.network.architectures import build
from sacp.network.spec import NetworkSpec
from sacp.network.surgery import prune
from sacp.network.weights import load_base, save_base
from sacp.pruning.criteria import kept_of, l1_order
from sacp.pruning.space import Space
from sacp.seeds import derive
from sacp.tracing.trace import count, trace
from sacp.training.evaluation import Calibration, accuracy_percent
from sacp.training.loop import batches_of, train
from sacp.training.recipe import Recipe
from scipy.stats import kendalltau
from torch import nn

NETWORKS = (NetworkSpec("resnet20", 0.5, 3, 32, 10), NetworkSpec("vgg11", 0.25, 3, 32, 10))
PRECISIONS = ("float32", "bfloat16")
BASE_SEEDS, TUNE_SEEDS = tuple(range(12)), (0, 1)
HELD_OUT, CALIBRATION = 5000, 2000  # images
BASE_LR, TUNE_LR = 0.1, 0.02  # of a base at batch 128, to which smaller batches are scaled; of a tuning
GRADIENTS = 8  # batches
LEVELS, THRESHOLD = 10, 0.4  # of the space that the pruned networks are drawn from
BASE, TUNE = "base", "tuned"
KEY = ("network", "stage", "candidate", "seed", "precision")
COLUMNS = (*KEY, "flops_share", "accuracy_percent", "cpu_seconds")


@dataclass(frozen=True)
class Setting:
    """What all trainings share."""

    splits: Splits
    base: Recipe
    tune: Recipe
    calibration: Calibration


class Rows:
    """The rows of a CSV file, each written as soon as it is measured; `key` are the columns that tell them apart."""

    def __init__(self, path: Path, key: Sequence[str], columns: Sequence[str]) -> None:
        self.path, self.key = path, list(key)
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._append(columns)

    def frame(self) -> pd.DataFrame:
        return pd.read_csv(self.path)

    def has(self, *key: object) -> bool:
        found = self.frame()
        return bool((found[self.key].astype(str) == [str(part) for part in key]).all(axis=1).any())

    def add(self, *values: object) -> None:
        self._append(values)
        logging.info("%s", ", ".join(map(str, values)))

    def _append(self, values: Sequence[object]) -> None:
        with self.path.open("a", newline="") as handle:
            csv.writer(handle).writerow(values)


def setting(options: argparse.Namespace) -> Setting:
    """CIFAR-10 with few training images, and the recipes."""
    full, test = parquet.read({"path": options.data})
    order = torch.from_numpy(np.random.default_rng(0).permutation(len(full.labels)))
    validation, training = (
        full.part(rows.sort().values) for rows in (order[:HELD_OUT], order[HELD_OUT:][: options.images])
    )
    splits = Splits(training, validation, test, *channel_statistics(training.images), digest(training, validation))
    recipe = partial(
        Recipe, batch_size=options.batch_size, momentum=0.9, weight_decay=5e-4, nesterov=True, crop_padding=4, flip=True
    )
    base = recipe(options.epochs, BASE_LR * options.batch_size / 128)
    return Setting(splits, base, recipe(1, TUNE_LR), Calibration(splits, CALIBRATION, 0))


def trained(network: nn.Module, recipe: Recipe, seed: int, precision: str, label: str, splits: Splits) -> float:
    """Train a network in place; the CPU seconds that it took."""
    started = time.process_time()
    train(network, splits, recipe, derive(seed, label), label, Engine(precision))
    return time.process_time() - started


def measure_bases(spec: NetworkSpec, shared: Setting, rows: Rows, base: Path) -> None:
    """Train the network from scratch; the one of the first seed in float32 is kept in the file `base`."""
    for seed in BASE_SEEDS:
        for precision in PRECISIONS:
            kept = (seed, precision) == (BASE_SEEDS[0], PRECISIONS[0])
            known = rows.has(spec.name, BASE, -1, seed, precision)
            if known and (not kept or base.exists()):
                continue
            torch.manual_seed(derive(seed, "initial weights"))
            network = build(spec)
            seconds = trained(network, shared.base, seed, precision, BASE, shared.splits)
            if kept:
                save_base(base, network, spec)
            if not known:
                accuracy = accuracy_percent(network, shared.splits.validation, shared.splits)
                rows.add(spec.name, BASE, -1, seed, precision, 1, accuracy, round(seconds, 2))


def measure_tunings(spec: NetworkSpec, shared: Setting, rows: Rows, base: nn.Module, number: int) -> None:
    """Tune random pruned networks, all from `base`."""
    graph = trace(base, spec.input_shape)
    steps, order = Space.of(graph, LEVELS, THRESHOLD).sample(number, 0, 1), l1_order(base, graph)
    for candidate, row in enumerate(steps):
        for seed in TUNE_SEEDS:
            for precision in PRECISIONS:
                if rows.has(spec.name, TUNE, candidate, seed, precision):
                    continue
                network = prune(base, graph, kept_of(row, order, graph, LEVELS))
                seconds = trained(network, shared.tune, seed, precision, TUNE, shared.splits)
                shared.calibration(network)
                accuracy = accuracy_percent(network, shared.splits.validation, shared.splits)
                share = count(network, spec.input_shape).flops / count(base, spec.input_shape).flops
                rows.add(spec.name, TUNE, candidate, seed, precision, round(share, 4), accuracy, round(seconds, 2))


def line(*cells: object) -> None:
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def head(*cells: str) -> None:
    print()
    line(*cells)
    line(*["---"] * len(cells))


def spread(values: np.ndarray) -> str:
    """Mean and standard deviation, in percentage points."""
    return f"{values.mean():+.2f} ± {values.std(ddof=1):.2f}"


def size(values: np.ndarray) -> str:
    """Root mean square, in percentage points: of differences whose sign means nothing."""
    return f"{np.sqrt(np.square(values).mean()):.2f}"


def pivots(frame: pd.DataFrame, stage: str) -> Iterator[tuple[str, pd.DataFrame]]:
    """By network, its accuracies: a row for each candidate, columns (precision, seed)."""
    for name, part in frame[frame["stage"] == stage].groupby("network", sort=False):
        yield str(name), part.pivot(index="candidate", columns=["precision", "seed"], values="accuracy_percent")


def seeds_of(table: pd.DataFrame) -> list[int]:
    """The seeds that were measured in both precisions, for all candidates."""
    whole = table.dropna(axis="columns")
    return [seed for seed in table["float32"] if all((precision, seed) in whole for precision in PRECISIONS)]


def print_accuracies(frame: pd.DataFrame, stage: str) -> None:
    """The accuracies side by side, percent: a row for each network and seed."""
    head("network", stage, "seed", *PRECISIONS)
    for name, table in pivots(frame, stage):
        for candidate, row in table.iterrows():
            for seed in seeds_of(table):
                line(name, candidate, seed, *(f"{row[precision, seed]:.2f}" for precision in PRECISIONS))


def print_differences(frame: pd.DataFrame, stage: str) -> None:
    """Differences between precisions at the same seed, and between seeds at the same precision."""
    head(
        "network", "stage", "pairs", "bfloat16 - float32", "bfloat16 is worse", "root mean square of it",
        *(f"of two seeds in {precision}" for precision in PRECISIONS),
    )  # fmt: skip
    for name, table in pivots(frame, stage):
        seeds = seeds_of(table)
        both = np.concatenate([table["bfloat16", seed] - table["float32", seed] for seed in seeds])
        between = (
            np.concatenate([table[precision, a] - table[precision, b] for a, b in combinations(seeds, 2)])
            for precision in PRECISIONS
        )
        line(name, stage, len(both), spread(both), int((both < 0).sum()), size(both), *map(size, between))


def print_order(frame: pd.DataFrame) -> None:
    """Kendall's tau of the tuned networks."""
    first, second = TUNE_SEEDS
    pairs = {
        f"float32 and bfloat16, seed {first}": (("float32", first), ("bfloat16", first)),
        f"the same, seed {second}": (("float32", second), ("bfloat16", second)),
        "float32, both seeds": (("float32", first), ("float32", second)),
        "bfloat16, both seeds": (("bfloat16", first), ("bfloat16", second)),
    }
    head("network", *pairs)
    for name, table in pivots(frame, TUNE):
        line(name, *(f"{kendalltau(table[a], table[b]).statistic:.2f}" for a, b in pairs.values()))


def gradient(network: nn.Module, batch: Batch, precision: str) -> torch.Tensor:
    """The gradient of all parameters at a batch, [parameters]; the network keeps its weights."""
    network.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
        logits = network(batch.images).float()
    nn.functional.cross_entropy(logits, batch.labels).backward()
    return torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None])


def print_gradients(shared: Setting, networks: Mapping[str, nn.Module]) -> None:
    """Mean cosines of a network's gradients."""
    head("network", "the same batch in both precisions", "two batches in float32")
    cosine = partial(nn.functional.cosine_similarity, dim=0)
    for name, given in networks.items():
        network = given.train().to(memory_format=torch.channels_last)
        batches = list(islice(batches_of(shared.splits, shared.base, torch.device("cpu")).epoch(0, 0), GRADIENTS))
        exact, half = ([gradient(network, batch, precision) for batch in batches] for precision in PRECISIONS)
        same = [float(cosine(a, b)) for a, b in zip(exact, half, strict=True)]
        other = [float(cosine(a, b)) for a, b in combinations(exact, 2)]
        line(name, f"{np.mean(same):.4f}", f"{np.mean(other):.4f}")


def print_seconds(frame: pd.DataFrame) -> None:
    """CPU seconds of the trainings that have run in both precisions."""
    head("network", "stage", "float32 (CPU s)", "bfloat16 (CPU s)", "times as fast")
    for (name, stage), part in frame.groupby(["network", "stage"], sort=False):
        table = part.pivot(index=["candidate", "seed"], columns="precision", values="cpu_seconds").dropna()
        slow, fast = (table[precision].sum() for precision in PRECISIONS)
        line(name, stage, f"{slow:.0f}", f"{fast:.0f}", f"{slow / fast:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?", default="data/cifar10", help="train.parquet and test.parquet")
    parser.add_argument("--out", type=Path, default="results/bench-precision")
    parser.add_argument("--images", type=int, default=6000, help="training images")
    parser.add_argument("--epochs", type=int, default=8, help="of a base; a tuning has one")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--networks", type=int, default=10, help="pruned ones of each network")
    parser.add_argument("--print", action="store_true", help="measure nothing, show what is there")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("sacp").setLevel(logging.WARNING)
    torch.set_num_threads(1)
    folder = options.out / f"{options.images}-images-{options.epochs}-epochs-batch-{options.batch_size}"
    shared, rows = setting(options), Rows(folder / "accuracies.csv", KEY, COLUMNS)
    networks = {}
    for spec in NETWORKS:
        base = folder / f"{spec.name}.pt"
        if not options.print:
            measure_bases(spec, shared, rows, base)
            measure_tunings(spec, shared, rows, load_base(base, spec), options.networks)
        torch.manual_seed(derive(BASE_SEEDS[0], "initial weights"))
        networks |= {f"{spec.name}, untrained": build(spec), f"{spec.name}, trained": load_base(base, spec)}
    print_gradients(shared, networks)
    frame = rows.frame()
    for stage in (BASE, TUNE):
        print_accuracies(frame, stage)
        print_differences(frame, stage)
    print_order(frame)
    print_seconds(frame)


if __name__ == "__main__":
    main()
