"""What successive halving of the tuned candidates saves and costs: `make bench-halving DATA=...`, hours of one core.

A VGG-11 of a quarter of the width is trained on few images of CIFAR-10. Its best configurations by `log-mass` within
35 % of the FLOPs are tuned for each seed, in the parts in which halving tunes them. As a candidate in parts has the
bits of one that is tuned at once, this gives the winners of both ways for every m, among the first m by score. A winner
is the best by the validation images of those that are tuned wholly; its accuracy is that on the test images.

Rows are appended to a CSV file as they are measured; a row that is there is not measured again. Printed are, for each
m, CPU seconds of one thread for tuning and validating, and accuracies of the winners, means over seeds; the figure
shows each seed.
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from benchmarks.distances import CALIBRATION, HELD_OUT, LEVELS, found
from matplotlib import pyplot as plt
from sacp.compute.arithmetic import EXACT
from sacp.compute.resume import Sidecar
from sacp.errors import InputError
from sacp.images import parquet
from sacp.images.splits import Splits, channel_statistics, digest
from sacp.network.architectures import build
from sacp.network.graph import Graph, Kept
from sacp.network.spec import NetworkSpec
from sacp.network.surgery import prune
from sacp.network.weights import load_base, save_base
from sacp.pruning.criteria import kept_of, l1_order
from sacp.report.drawing import grid, save, style
from sacp.seeds import derive
from sacp.tracing.trace import trace
from sacp.training.evaluation import Calibration, accuracy_percent
from sacp.training.halving import HALVINGS, halved, steps_until
from sacp.training.loop import batches_of, train
from sacp.training.parts import train_part
from sacp.training.ranking import ACCURACY, best
from sacp.training.recipe import Recipe
from torch import nn

SPEC = NetworkSpec("vgg11", 0.25, 3, 32, 10)
BUDGET = {"flops": [0.34, 0.35]}
FARTHEST = 4  # groups in which any two candidates differ, or as many as leave enough of them
SETTING = ("images", "base_epochs", "tune_epochs")
KEY = (*SETTING, "seed", "rank", "rung")
TEST = "test_accuracy_percent"
COLUMNS = (*KEY, ACCURACY, TEST, "tune_seconds", "evaluate_seconds")
HEADINGS = ("m", "at once (CPU s)", "halved (CPU s)", "at once (%)", "halved (%)", "same winner")
AT_ONCE, HALVED = "at once", "halved"


def splits_of(data: str, images: int) -> Splits:
    """CIFAR-10 with few training images."""
    full, test = parquet.read({"path": data})
    order = torch.from_numpy(np.random.default_rng(0).permutation(len(full.labels)))
    validation, training = (full.part(rows.sort().values) for rows in (order[:HELD_OUT], order[HELD_OUT:][:images]))
    return Splits(training, validation, test, *channel_statistics(training.images), digest(training, validation))


def recipe(epochs: int, lr: float) -> Recipe:
    return Recipe(epochs, lr, batch_size=64, momentum=0.9, weight_decay=5e-4, nesterov=True, crop_padding=4, flip=True)


def base_of(path: Path, splits: Splits, epochs: int) -> nn.Module:
    """The base that all tunings start from, trained where its file is not there."""
    if not path.exists():
        torch.manual_seed(derive(0, "initial weights"))
        network = build(SPEC)
        train(network, splits, recipe(epochs, 0.05), derive(0, "base"), "base")
        save_base(path, network, SPEC)
    return load_base(path, SPEC)


def candidates(base: nn.Module, graph: Graph, number: int) -> list[Kept]:
    """Kept channels of the best by score, as unlike as leave so many."""
    order = l1_order(base, graph)
    for distance in range(FARTHEST, 0, -1):
        steps, _ = found(base, graph, BUDGET, 0, number, distance)
        if len(steps) == number:
            return [kept_of(row, order, graph, LEVELS) for row in steps]
    raise InputError(f"--m: found {number}, but only {len(steps)} configurations are within the budget")


def parts(network: nn.Module, splits: Splits, tune: Recipe, seed: int) -> Iterator[tuple[object, ...]]:
    """Tune a network in parts: for each its number, accuracies, and CPU seconds of tuning and of validating."""
    source, calibration = batches_of(splits, tune, torch.device("cpu")), Calibration(splits, CALIBRATION, 0)
    sidecar = Sidecar()
    for rung in range(HALVINGS + 1):
        last, started = steps_until(rung, tune.epochs * len(source)), time.process_time()
        _, state = train_part(last, network, splits, tune, seed, "tune", EXACT, sidecar, source)
        tuned = time.process_time()
        calibration(network)
        validation, spent = accuracy_percent(network, splits.validation, splits), time.process_time() - tuned
        test = accuracy_percent(network, splits.test, splits) if rung == HALVINGS else None
        yield rung, validation, test, tuned - started, spent
        sidecar.state["training"] = state


def measure(options: argparse.Namespace) -> None:
    """Append the rows that are not there yet."""
    splits = splits_of(options.data, options.images)
    base = base_of(options.csv.with_suffix(f".{options.images}-{options.base_epochs}.pt"), splits, options.base_epochs)
    graph = trace(base, SPEC.input_shape)
    kept, tune = candidates(base, graph, max(options.m)), recipe(options.tune_epochs, 0.02)
    for seed in range(options.seeds):
        for rank, channels in enumerate(kept):
            key = (options.images, options.base_epochs, options.tune_epochs, seed, rank)
            done = pd.read_csv(options.csv)[list(KEY[:-1])].itertuples(index=False, name=None)
            if key in set(done):
                continue
            network = prune(base, graph, channels)
            rows = [(*key, *row) for row in parts(network, splits, tune, derive(seed, "tune"))]
            pd.DataFrame(rows).to_csv(options.csv, mode="a", header=False, index=False)
            print(f"seed {seed}, candidate {rank}: {rows[-1][len(KEY)]:.2f} %", flush=True)


def ways(rows: pd.DataFrame, m: int) -> Iterator[dict[str, object]]:
    """The winner among the first m of a seed by both ways: its accuracy, and what it took."""
    rungs = [rows[(rows["rung"] == rung) & (rows["rank"] < m)].set_index("rank") for rung in range(HALVINGS + 1)]
    left, seconds = list(range(m)), 0.0
    for rung, table in enumerate(rungs):
        here = table.loc[left]
        seconds += float(here["tune_seconds"].sum() + here["evaluate_seconds"].sum())
        if rung < HALVINGS:
            left = [row["candidate"] for row in halved(judged(here))[0]]
    once = float(sum(table["tune_seconds"].sum() for table in rungs) + rungs[-1]["evaluate_seconds"].sum())
    for way, chosen, spent in ((AT_ONCE, rungs[-1], once), (HALVED, rungs[-1].loc[left], seconds)):
        winner = best(judged(chosen), ACCURACY, 1)[0]["candidate"]
        yield {"m": m, "way": way, "seconds": spent, "winner": winner, "accuracy": chosen.loc[winner, TEST]}


def judged(table: pd.DataFrame) -> list[dict[str, object]]:
    """Candidates as the library ranks them."""
    return [{"candidate": rank, ACCURACY: value, "failure": None} for rank, value in table[ACCURACY].items()]


def curves(rows: pd.DataFrame, sizes: Sequence[int]) -> pd.DataFrame:
    """Rows of `ways` for every m and seed whose candidates are all there."""
    return pd.DataFrame(
        {"seed": seed, **way}
        for seed, own in rows.groupby("seed")
        for m in sizes
        if len(own[own["rank"] < m]) == m * (HALVINGS + 1)
        for way in ways(own, m)
    )


def table(found: pd.DataFrame) -> str:
    """Means over seeds, as Markdown."""
    wide = found.pivot(index=["m", "seed"], columns="way", values=["seconds", "accuracy", "winner"])
    same = (wide["winner", AT_ONCE] == wide["winner", HALVED]).groupby("m").agg(["sum", "size"])
    means = wide[["seconds", "accuracy"]].astype(float).groupby("m").mean()
    lines = [f"| {' | '.join(HEADINGS)} |", "| --- |" + " --- |" * (len(HEADINGS) - 1)]
    for m, row in means.iterrows():
        cells = [f"{row['seconds', way]:.0f}" for way in (AT_ONCE, HALVED)]
        cells += [f"{row['accuracy', way]:.2f}" for way in (AT_ONCE, HALVED)]
        lines.append(f"| {m} | {' | '.join(cells)} | {same.loc[m, 'sum']} of {same.loc[m, 'size']} |")
    return "\n".join(lines)


def draw(found: pd.DataFrame, path: Path) -> None:
    """Accuracy of the winner against the seconds it took: means over seeds, and each seed."""
    figure, axes = plt.subplots(figsize=(6.4, 4.4), layout="constrained")
    for number, (way, rows) in enumerate(found.groupby("way")):
        colour, marker, line = style(number)
        axes.scatter(rows["seconds"], rows["accuracy"], 14, colour, marker=marker, alpha=0.4, lw=0)
        means = rows.groupby("m")[["seconds", "accuracy"]].mean()
        axes.plot(means["seconds"], means["accuracy"], color=colour, marker=marker, ls=line, label=way)
        for m, row in means.iterrows():
            axes.annotate(f"{m}", tuple(row), xytext=(3, 5), textcoords="offset points", fontsize=8, color=colour)
    axes.set(xscale="log", xlabel="CPU seconds of one thread", ylabel="winner's top-1 accuracy (%, test)")
    axes.legend(fontsize=9, frameon=False)
    axes.set_title("by m, the number of tuned candidates", fontsize=10)
    grid(axes)
    save(figure, [path])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", default="data/cifar10", help="folder with train.parquet and test.parquet")
    parser.add_argument("--images", type=int, default=6000, help="training images")
    parser.add_argument("--base-epochs", type=int, default=20)
    parser.add_argument("--tune-epochs", type=int, default=1)
    parser.add_argument("--m", type=int, nargs="+", default=[4, 8, 16, 32, 64])
    parser.add_argument("--seeds", type=int, default=3, help="tunings of each candidate")
    parser.add_argument("--csv", type=Path, default=Path("docs/results/halving.csv"))
    parser.add_argument("--figure", type=Path, default=Path("docs/images/halving.png"))
    parser.add_argument("--print", action="store_true", help="measure nothing, show what is there")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if not options.csv.exists():
        pd.DataFrame(columns=list(COLUMNS)).to_csv(options.csv, index=False)
    if not options.print:
        measure(options)
    rows = pd.read_csv(options.csv)
    setting = [options.images, options.base_epochs, options.tune_epochs]
    here = curves(rows[(rows[list(SETTING)] == setting).all(axis=1)], sorted(options.m))
    if here.empty:
        parser.error("no seed has all of its candidates yet; run it without --print")
    print(table(here))
    draw(here, options.figure)


if __name__ == "__main__":
    main()
