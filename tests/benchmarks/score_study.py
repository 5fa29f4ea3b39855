"""Which score picks good networks, from half to a tenth of the FLOPs, on five kinds of networks, with three seeds.

.venv/bin/python tests/benchmarks/score_study.py run DATA --out FOLDER [--networks ...] [--methods ...] [--longer]
.venv/bin/python tests/benchmarks/score_study.py show FOLDER/*.csv --csv rows.csv

`run` trains a base for each network and seed on CIFAR-10 from parquet files, lets every method pick three networks of
equal FLOPs, and trains each for one epoch (`--longer`: four). A baseline has one network, which is trained three times.
All networks are within 2 % of one another in FLOPs, their batch norms calibrated before they are evaluated. Rows are
appended to FOLDER/<network>.csv; what is there is not measured again, so that it can be killed and started again, and
two networks can run side by side. `show` prints means over seeds.
"""

import argparse
import logging
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import torch
from matplotlib import pyplot as plt
from sacp.baselines import uniform
from sacp.baselines.task import Task
from sacp.catalogue import criteria, scores
from sacp.compute.resume import Sidecar
from sacp.encoder.model import EncoderSettings, save
from sacp.encoder.training import train_encoder
from sacp.errors import InputError
from sacp.images import parquet
from sacp.images.batches import Normalizer, drawn_batches
from sacp.images.splits import Splits, channel_statistics, digest
from sacp.network.architectures import build
from sacp.network.cost import Budget, cost_of_graph, costs_of_counts
from sacp.network.graph import Graph, Kept, Scales
from sacp.network.spec import NetworkSpec
from sacp.network.surgery import prune
from sacp.network.weights import load_base, save_base
from sacp.plan.stages import score_settings
from sacp.pruning.criteria import kept_of, l1_norms
from sacp.pruning.sensitivity import BATCH, measure
from sacp.pruning.space import Space, Steps
from sacp.report.drawing import Style, grid, style
from sacp.report.drawing import save as save_figure
from sacp.search import ranked
from sacp.search.find import Found, find
from sacp.search.scorers import Scorer, of_score
from sacp.seeds import derive
from sacp.tracing.trace import trace
from sacp.training.evaluation import Calibration, accuracy_percent
from sacp.training.loop import train
from sacp.training.recipe import Recipe
from torch import nn

NETWORKS = {"vgg11": 0.25, "resnet20": 0.5, "resnet56": 0.25, "densenet16": 0.5, "mobilenetv2": 0.25}  # and widths
SEEDS = (0, 1, 2)
SHARES = (0.1, 0.2, 0.35, 0.5)  # of the FLOPs
BAND = 0.98  # candidates take so much of the budget at least
LEVELS, PICKS, SAMPLE, LEARNED = 10, 3, 200_000, 1000
HELD_OUT, IMAGES, CALIBRATION, SENSITIVITY = 5000, 10_000, 2000, 500
SGD = {"batch_size": 128, "momentum": 0.9, "weight_decay": 5e-4, "nesterov": True, "crop_padding": 4, "flip": True}
BASE, SHORT, LONG = Recipe(16, 0.1, **SGD), Recipe(1, 0.02, **SGD), Recipe(4, 0.05, **SGD)
ENCODER = EncoderSettings(64, 3, "directed", "contrastive", "original", 0.1, 10, 32, 0.001)  # config/schema.yaml's
CLOSED = {"sensitivity": {}, "log-mass": {}, "nsc": {}}  # by exact search, with settings of their own
UNIFORM = "uniform"
WAYS = (*CLOSED, "sacp", "random", UNIFORM)  # to choose how many channels are kept; which, is by L1 norm if not said:
BY_SENSITIVITY = [f"{way}/sensitivity" for way in (UNIFORM, *CLOSED)]
METHODS = (*WAYS, "uniform/thinet", "sensitivity/thinet", *BY_SENSITIVITY)
RECOMMENDED = "sensitivity/sensitivity"
DRAWN = {
    "sensitivity/sensitivity": "sensitivity: widths and channels",
    "uniform/sensitivity": "uniform widths, channels by sensitivity",
    "sensitivity": "widths by sensitivity, channels by L1",
    "uniform": "uniform widths, channels by L1",
    "log-mass": "log-mass, L1",
    "nsc": "NSC-DP, L1",
    "sacp": "the paper's encoder, L1",
    "random": "random, L1",
}
KEYS = ["network", "seed", "share", "method", "epochs", "pick"]
COLUMNS = [*KEYS, "score", "flops_share", "validation", "test", "kept", "seconds"]
log = logging.getLogger("score_study")
Pick = tuple[float, Kept, Scales | None]  # with its score


def splits_of(full: tuple, seed: int) -> Splits:
    """CIFAR-10 with few training images, drawn with this seed."""
    images, test = full
    order = torch.from_numpy(np.random.default_rng(seed).permutation(len(images.labels)))
    training, held_out = (images.part(part.sort().values) for part in (order[HELD_OUT:][:IMAGES], order[:HELD_OUT]))
    return Splits(training, held_out, test, *channel_statistics(training.images), digest(training, held_out))


@dataclass(frozen=True)
class Sample:
    """Configurations drawn from the whole space, [M, G]."""

    steps: Steps
    total: int = SAMPLE

    def __iter__(self) -> Iterator[tuple[int, Steps]]:
        for first in range(0, self.total, 1 << 16):
            yield first, self.steps[first : first + (1 << 16)]

    def rows(self, numbers: np.ndarray) -> Steps:
        return self.steps[numbers]


@dataclass(frozen=True)
class Study:
    """A base and what all methods see of it."""

    spec: NetworkSpec
    base: nn.Module
    graph: Graph
    splits: Splits
    seed: int

    @cached_property
    def space(self) -> Space:
        return Space.of(self.graph, LEVELS, 0)

    @cached_property
    def sample(self) -> Sample:
        return Sample(self.space.draw(SAMPLE, derive(self.seed, "search set")))

    @cached_property
    def sensitivity(self) -> np.ndarray:
        normalizer, seed = (
            Normalizer(self.splits.mean, self.splits.std, torch.device("cpu")),
            derive(self.seed, "images"),
        )
        batches = drawn_batches(self.splits.train, normalizer, SENSITIVITY, BATCH, seed)
        return measure(self.base, self.graph, batches, seed).groups

    @cached_property
    def encoder(self) -> Scorer:
        """The paper's, trained as in the workflow."""
        training = self.space.draw(LEARNED, derive(self.seed, "training set"))
        norms = l1_norms(self.base, self.graph)
        encoder, _ = train_encoder(self.graph, norms, training, LEVELS, ENCODER, derive(self.seed, "encoder"))
        with TemporaryDirectory() as folder:
            path = Path(folder) / "encoder.pt"
            save(path, encoder, self.graph, LEVELS, ENCODER)
            return of_score(
                score_settings({"score": "encoder", "encoder": vars(ENCODER)}), self.base, self.graph, LEVELS, path
            )

    def band(self, share: float) -> dict[str, list[float]]:
        return {"flops": [BAND * share, share]}

    def picks(self, method: str, share: float) -> list[Pick]:
        """Three networks of a method, or one three times; `InputError` if it has none of these FLOPs."""
        way, _, criterion = method.partition("/")
        task = self.task(criterion or "l1", share)
        if way == UNIFORM:
            kept = uniform.select(task)
            return [(0.0, kept, task.scales(kept))] * PICKS
        picked = ((value, kept_of(row, task.order, self.graph, LEVELS)) for value, row in self.steps(way, share))
        return [(value, kept, task.scales(kept)) for value, kept in picked]

    def steps(self, way: str, share: float) -> list[tuple[float, np.ndarray]]:
        """The three best configurations [G] of a search, with their scores."""
        if way in CLOSED:
            found = self.exact(way, share)
            return list(zip(found.sums.tolist(), found.steps, strict=True))[:PICKS]
        scorer = self.encoder if way == "sacp" else self.closed("random", {})
        budget = Budget.of(self.band(share), cost_of_graph(self.graph))
        best = ranked.best(iter(self.sample), SAMPLE, scorer, self.graph, LEVELS, PICKS, budget)
        return list(zip(best["score"].tolist(), self.sample.rows(best["candidate"]), strict=True))

    def exact(self, method: str, share: float) -> Found:
        settings = {"budget": self.band(share), "found": PICKS, "distance": None}
        scorer = self.closed(method, CLOSED[method])
        return find("exact", settings, PICKS, scorer, self.graph, self.space, self.sample)

    def closed(self, name: str, settings: dict) -> Scorer:
        known = scores.score(name)
        given = {known.settings: settings} if known.settings else {}
        return of_score(score_settings({"score": name, **given}), self.base, self.graph, LEVELS, None, self.sensitivity)

    def task(self, name: str, share: float) -> Task:
        """A baseline's, at the FLOPs of the middle of the band; its criterion orders the channels of searches too."""
        criterion = criteria.criterion(name)
        given = {"function": criterion.function, "images": criterion.images}
        target = round((1 + BAND) / 2 * share * cost_of_graph(self.graph).flops)
        return Task(self.base, self.graph, target, derive(self.seed, "baseline"), self.space, given, self.splits)


def base_of(spec: NetworkSpec, splits: Splits, seed: int, folder: Path) -> nn.Module:
    """The trained base, from its file if there is one."""
    path = folder / f"{spec.name}-{seed}.pt"
    if not path.exists():
        torch.manual_seed(derive(seed, "initial weights"))
        network = build(spec)
        sidecar = Sidecar(path.with_suffix(".state"), f"{spec} {splits.digest}")
        train(network, splits, BASE, derive(seed, "base"), path.stem, sidecar=sidecar)
        log.info("%s: test accuracy %.2f %%", path.stem, accuracy_percent(network, splits.test, splits))
        save_base(path, network, spec)
        path.with_suffix(".state").unlink(missing_ok=True)
    return load_base(path, spec).eval()


def rows(study: Study, method: str, share: float, recipe: Recipe, done: set[int]) -> Iterator[list[object]]:
    """The picks of a method, trained, that are not done yet."""
    graph, splits = study.graph, study.splits
    calibration, whole = Calibration(splits, CALIBRATION, study.seed), cost_of_graph(graph).flops
    for number, (value, kept, scales) in enumerate(study.picks(method, share)):
        if number in done:
            continue
        started = time.perf_counter()
        network = prune(study.base, graph, kept, scales)
        # Candidates differ by their channels and share a seed; trainings of one network differ by their seeds.
        seed = derive(study.seed, "full", *([number] if method.startswith(UNIFORM) else []))
        train(network, splits, recipe, seed, f"{method} {share} {number}")
        calibration(network)
        counts = np.array([[len(channels) for channels in kept]])
        flops = int(costs_of_counts(graph, counts)[0][0]) / whole
        accuracies = [accuracy_percent(network, part, splits) for part in (splits.validation, splits.test)]
        seconds = round(time.perf_counter() - started, 1)
        text = "-".join(map(str, counts[0]))
        yield [number, value, round(flops, 5), *accuracies, text, seconds]


def run(options: argparse.Namespace) -> None:
    full = parquet.read({"path": str(options.data)})
    options.out.mkdir(parents=True, exist_ok=True)
    recipe = LONG if options.longer else SHORT
    for seed in options.seeds:
        splits = splits_of(full, seed)
        for name in options.networks:
            spec = NetworkSpec(name, NETWORKS[name], 3, 32, 10)
            base = base_of(spec, splits, seed, options.out)
            study = Study(spec, base, trace(base, spec.input_shape), splits, seed)
            cells = [(share, method) for share in options.shares for method in options.methods]
            for share, method in cells:
                measure_cell(study, method, share, recipe, options.out / f"{name}.csv")


def measure_cell(study: Study, method: str, share: float, recipe: Recipe, path: Path) -> None:
    """Append the rows of a method at a budget that are missing."""
    if not path.exists():
        pd.DataFrame(columns=COLUMNS).to_csv(path, index=False)
    known = pd.read_csv(path)
    key = [study.spec.name, study.seed, share, method, recipe.epochs]
    here = known[(known[KEYS[:-1]] == key).all(axis=1)]
    if len(here) >= PICKS:
        return
    try:
        for row in rows(study, method, share, recipe, set(here["pick"])):
            pd.DataFrame([[*key, *row]]).to_csv(path, mode="a", header=False, index=False)
            log.info("%s %s", key, row)
    except InputError as error:
        log.warning("%s: none (%s)", key, error)


def cells_of(frame: pd.DataFrame) -> pd.DataFrame:
    """Of each cell and seed whose picks are all there: the mean test accuracy, and that of the best by validation."""
    by = frame.sort_values(KEYS, kind="stable").groupby(KEYS[:-1])
    best = frame.sort_values("validation", kind="stable").groupby(KEYS[:-1])["test"].last()
    found = by["test"].agg(["mean", "count"]).assign(best=best).reset_index()
    return found[found["count"] == PICKS].drop(columns="count")


def lead(cells: pd.DataFrame, value: str) -> pd.DataFrame:
    """Points by which the recommended method is ahead of each other one, of the same seed."""
    keys = ["network", "seed", "share", "epochs"]
    recommended = cells[cells["method"] == RECOMMENDED].set_index(keys)[value]
    others = cells[cells["method"] != RECOMMENDED]
    ahead = recommended.reindex(pd.MultiIndex.from_frame(others[keys])).to_numpy() - others[value]
    return others.assign(ahead=ahead).dropna(subset="ahead")


def table(frame: pd.DataFrame, column: str, told: Callable[[pd.Series], str]) -> str:
    """Networks and methods by budgets."""
    order = {name: number for number, name in enumerate(METHODS)}
    by = frame.groupby(["network", "method", "share"])[column].apply(told).unstack().fillna("")
    by = by.sort_index(
        key=lambda index: index.map(order) if index.name == "method" else index.map(list(NETWORKS).index)
    )
    by.columns = [f"{share:.0%}" for share in by.columns]
    return by.reset_index().to_markdown(index=False, disable_numparse=True)


def spread(values: pd.Series) -> str:
    text = f"{values.mean():.1f}"
    return f"{text} ± {values.std():.1f}" if len(values) > 1 else text


def bounds(values: pd.Series) -> str:
    text = f"{values.mean():+.1f}"
    return f"{text} [{values.min():+.1f}, {values.max():+.1f}]" if len(values) > 1 else text


def show(options: argparse.Namespace) -> None:
    """Accuracies, and how far the recommended method is ahead, with means and ranges over seeds."""
    frame = pd.concat([pd.read_csv(path) for path in options.files])
    if options.csv:
        frame.sort_values(KEYS, kind="stable").to_csv(options.csv, index=False)
    cells = cells_of(frame)
    for epochs, part in cells.groupby("epochs"):
        seeds = part.groupby("network", sort=False)["seed"].nunique().to_dict()
        print(f"\n{epochs} epochs; seeds: {seeds}\n\nMean of three, test accuracy (%), ± deviation over seeds:\n")
        print(table(part, "mean", spread))
        print(f"\nPoints by which {RECOMMENDED} is ahead, mean of three, [least, most] of the seeds:\n")
        print(table(lead(part, "mean"), "ahead", bounds))
        print(f"\nThe same of the best of three by validation:\n\n{table(lead(part, 'best'), 'ahead', bounds)}")
    if options.figure:
        draw(cells[cells["epochs"] == SHORT.epochs], options.figure)


def draw(cells: pd.DataFrame, path: Path) -> None:
    """Accuracy against the share of the FLOPs, a panel for each network; the methods of `DRAWN`."""
    networks = [name for name in NETWORKS if name in set(cells["network"])]
    figure, panels = plt.subplots(1, len(networks), figsize=(3.1 * len(networks), 3.9), squeeze=False)
    for axes, name in zip(panels[0], networks, strict=True):
        for number, (method, label) in enumerate(DRAWN.items()):
            of_method = cells[(cells["network"] == name) & (cells["method"] == method)]
            mean = of_method.groupby("share")["mean"].mean()
            colour, marker, _ = style(number) if method != "random" else Style("0.6", "X", "--")
            line = "-" if "/" in method else "--"
            axes.plot(100 * mean.index, mean, color=colour, marker=marker, linestyle=line, markersize=5, label=label)
        axes.set(title=f"{name}, width {NETWORKS[name]}", xlabel="FLOPs kept (%)", xticks=[10, 20, 35, 50])
        grid(axes)
    panels[0, 0].set_ylabel("test accuracy after one epoch (%)")
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.tight_layout(rect=(0, 0.14, 1, 1))
    figure.legend(handles, labels, loc="lower center", ncols=4, frameon=False)
    save_figure(figure, [path])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    running = commands.add_parser("run")
    running.add_argument("data", type=Path, help="folder of train.parquet and test.parquet")
    running.add_argument("--out", type=Path, default=Path("results/score_study"))
    running.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    running.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    running.add_argument("--shares", nargs="+", type=float, default=list(SHARES))
    running.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    running.add_argument("--longer", action="store_true", help="four epochs instead of one")
    running.set_defaults(do=run)
    showing = commands.add_parser("show")
    showing.add_argument("files", nargs="+", type=Path)
    showing.add_argument("--csv", type=Path, help="all rows, sorted")
    showing.add_argument("--figure", type=Path)
    showing.set_defaults(do=show)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stderr)
    torch.set_num_threads(1)
    do: Callable[[argparse.Namespace], None] = options.do
    do(options)


if __name__ == "__main__":
    main()
