"""Is a teacher worth what it costs? Pruned networks trained with and without one, in equal seconds; goes on by rows.

    PYTHONPATH=scripts:tests .venv/bin/python -m benchmarks.distillation data/cifar10

A step with a teacher takes longer, by the forward of the unpruned network. How much longer is measured first, in turns,
and the distilled network is trained for so many fewer epochs that both take the same seconds of the device, within 5 %.
Base, seed, images of each epoch and schedule are the same. Networks are pruned by one ratio for every group. Rows are
appended to CSV files as they are measured; a row that is there is not measured again, and `--print` shows what is
there. All accuracies are of the same held-out images of CIFAR-10. Seconds are those of the processor on a CPU, which
other work hardly lengthens, and those of the clock on a GPU.
"""

import argparse
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from benchmarks.precision import NETWORKS, Rows, Setting, head, line, setting, spread
from sacp.baselines import uniform
from sacp.compute.arithmetic import Engine
from sacp.images.splits import ImageSet, Splits
from sacp.network.architectures import build
from sacp.network.cost import cost_of_graph
from sacp.network.spec import NetworkSpec
from sacp.network.surgery import prune
from sacp.network.weights import load_base, save_base
from sacp.pruning.criteria import kept_channels, l1_order
from sacp.seeds import derive
from sacp.tracing.trace import count, trace
from sacp.training.evaluation import accuracy_percent
from sacp.training.loop import train
from sacp.training.recipe import Recipe
from torch import nn

SHARES = (0.35, 0.2)  # of the FLOPs
LR = 0.05  # of a pruned network at batch 128, to which other batches are scaled
WITHIN = 0.05  # of each other: seconds that count as equal
TURNS, STEPS = 7, 12  # of a measurement of seconds, and steps of a turn
BASE = 1.0  # share of the unpruned network's own rows
COSTS = ("network", "share", "ratio", "epochs", "epochs_taught")
KEY = ("network", "share", "seed", "weight")
COLUMNS = (*KEY, "epochs", "flops_share", "accuracy_percent", "seconds")


@dataclass(frozen=True)
class Plan:
    """What all trainings of pruned networks share."""

    shared: Setting
    full: Recipe  # without a teacher
    temperature: float
    weights: Sequence[float]  # of the teacher
    device: torch.device
    folder: Path

    def taught(self, weight: float, epochs: int) -> Recipe:
        return replace(self.full, epochs=epochs, distill_weight=weight, distill_temperature=self.temperature)


def epochs_alike(ratio: float, wanted: int) -> tuple[int, int]:
    """Epochs without and with a teacher that take the same seconds within 5 %, the teacher's not more.

    Args:
        ratio: seconds of an epoch with a teacher by those of one without.
        wanted: the fewest epochs without a teacher.
    """
    plain = wanted
    while (taught := int(plain / ratio)) * ratio < (1 - WITHIN) * plain:
        plain += 1
    return plain, taught


def clock(device: torch.device) -> float:
    """Seconds of the device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        return time.perf_counter()
    return time.process_time()


def ratio_of(plan: Plan, network: nn.Module, base: nn.Module) -> float:
    """Seconds of a step with a teacher by those of one without; the median of turns."""
    splits = _few(plan.shared.splits, STEPS * plan.full.batch_size)
    recipes = [replace(plan.taught(weight, 1), lr=1e-6) for weight in (0, 0.5)]
    seconds = np.empty((TURNS + 1, 2))
    for turn in range(TURNS + 1):  # the first warms up
        for way, recipe in enumerate(recipes):
            started = clock(plan.device)
            train(network, splits, recipe, turn, "measured", Engine(), teacher=base)
            seconds[turn, way] = clock(plan.device) - started
    return float(np.median(seconds[1:, 1] / seconds[1:, 0]))


def _few(splits: Splits, images: int) -> Splits:
    assert isinstance(splits.train, ImageSet)
    return replace(splits, train=splits.train.part(torch.arange(min(images, len(splits.train.labels)))))


def pruned(spec: NetworkSpec, base: nn.Module, share: float) -> nn.Module:
    """The network of one ratio for every group at this share of the FLOPs, with inherited weights."""
    graph = trace(base, spec.input_shape)
    counts = uniform.counts(graph, round(share * cost_of_graph(graph).flops))
    return prune(base, graph, kept_channels(l1_order(base, graph), counts))


def base_of(spec: NetworkSpec, plan: Plan, rows: Rows, seed: int) -> nn.Module:
    """The trained network of a seed, trained if it is not there."""
    path = plan.folder / f"{spec.name}-{seed}.pt"
    if not path.exists():
        torch.manual_seed(derive(seed, "initial weights"))
        network, started = build(spec).to(plan.device), clock(plan.device)
        train(network, plan.shared.splits, plan.shared.base, derive(seed, "base"), "base", Engine())
        seconds = clock(plan.device) - started
        save_base(path, network, spec)
        accuracy = accuracy_percent(network, plan.shared.splits.validation, plan.shared.splits)
        if not rows.has(spec.name, BASE, seed, 0.0):
            rows.add(spec.name, BASE, seed, 0.0, plan.shared.base.epochs, 1.0, accuracy, round(seconds, 2))
    return load_base(path, spec)


def epochs_of(spec: NetworkSpec, plan: Plan, costs: Rows, base: nn.Module, share: float) -> tuple[int, int]:
    """Epochs without and with a teacher; measured once, for all seeds."""
    if not costs.has(spec.name, share):
        ratio = ratio_of(plan, pruned(spec, base, share).to(plan.device), base)
        costs.add(spec.name, share, round(ratio, 4), *epochs_alike(ratio, plan.full.epochs))
    frame = costs.frame()
    (found,) = frame[(frame["network"] == spec.name) & (frame["share"] == share)].itertuples()
    return found.epochs, found.epochs_taught


def measure(spec: NetworkSpec, plan: Plan, rows: Rows, costs: Rows, seed: int) -> None:
    """Append the rows of a network and a seed that are not there yet."""
    base, splits = base_of(spec, plan, rows, seed), plan.shared.splits
    whole = count(base, spec.input_shape).flops
    for share in SHARES:
        plain, taught = epochs_of(spec, plan, costs, base, share)
        for weight in (0.0, *plan.weights):
            if rows.has(spec.name, share, seed, weight):
                continue
            network = pruned(spec, base, share).to(plan.device)
            recipe, started = plan.taught(weight, taught if weight else plain), clock(plan.device)
            train(network, splits, recipe, derive(seed, "full"), "full", Engine(), teacher=base)
            seconds = clock(plan.device) - started
            plan.shared.calibration(network)
            accuracy = accuracy_percent(network, splits.validation, splits)
            left = count(network, spec.input_shape).flops / whole
            rows.add(spec.name, share, seed, weight, recipe.epochs, round(left, 4), accuracy, round(seconds, 2))


def print_table(frame: pd.DataFrame) -> None:
    """Accuracies in percent, a line for each network, share and weight; differences are those at the same seed."""
    head("network", "FLOPs", "weight", "seeds", "epochs", "seconds as a share", "without", "taught", "difference")
    for (name, share), part in frame[frame["share"] != BASE].groupby(["network", "share"], sort=False):
        tables = {column: part.pivot(index="seed", columns="weight", values=column) for column in COLUMNS[4:]}
        accuracy, seconds, epochs = (tables[column] for column in ("accuracy_percent", "seconds", "epochs"))
        for weight in accuracy.columns.drop(0.0):
            both = accuracy[[0.0, weight]].dropna()
            gains = (both[weight] - both[0.0]).to_numpy()
            difference = spread(gains) if len(gains) > 1 else f"{gains.mean():+.2f}"
            times, spent = (seconds.loc[both.index, way] for way in (weight, 0.0))
            line(
                name, f"{share:.0%}", weight, len(both), f"{epochs[0.0].iloc[0]:.0f}, {epochs[weight].iloc[0]:.0f}",
                f"{(times / spent).min():.3f} to {(times / spent).max():.3f}", f"{both[0.0].mean():.2f}",
                f"{both[weight].mean():.2f}", difference,
            )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?", default="data/cifar10", help="train.parquet and test.parquet")
    parser.add_argument("--out", type=Path, default="results/bench-distillation")
    parser.add_argument("--images", type=int, default=10000, help="training images")
    parser.add_argument("--epochs", type=int, default=20, help="of a base")
    parser.add_argument("--full-epochs", type=int, default=20, help="of a pruned network without a teacher, at least")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--weights", type=float, nargs="+", default=[0.5, 0.9], help="of the teacher")
    parser.add_argument("--temperature", type=float, default=4.0)
    parser.add_argument("--seeds", type=int, default=3, help="number of bases")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--print", action="store_true", help="measure nothing, show what is there")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("sacp").setLevel(logging.WARNING)
    torch.set_num_threads(1)
    name = f"{options.images}-images-{options.epochs}-{options.full_epochs}-epochs-batch-{options.batch_size}"
    folder = options.out / f"{name}-temperature-{options.temperature:g}-{options.device}"
    rows, costs = Rows(folder / "accuracies.csv", KEY, COLUMNS), Rows(folder / "costs.csv", COSTS[:2], COSTS)
    if not options.print:
        shared = setting(options)
        full = replace(shared.base, epochs=options.full_epochs, lr=LR * options.batch_size / 128)
        device = torch.device(options.device)
        plan = Plan(shared, full, options.temperature, options.weights, device, folder)
        for seed in range(options.seeds):
            for spec in NETWORKS:
                measure(spec, plan, rows, costs, seed)
    print_table(rows.frame())


if __name__ == "__main__":
    main()
