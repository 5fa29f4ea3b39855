"""Ways to build further on the score `sensitivity`, on the bases and by the protocol of `score_study.py`.

.venv/bin/python tests/benchmarks/score_ideas.py DATA --out FOLDER [--networks ...] [--seeds ...] [--ideas ...]

iterated-N          sensitivities measured again N - 1 times, each time on the network that was pruned a part of the
                    way, in equal ratios of FLOPs, with its batch norms calibrated
fisher              minus E[(sum of the gradients of removed channels)^2]: what the gates say of the logits' change, to
                    the second order, group by group
fisher-pairs        the same of all groups together: products of two groups' sums as terms of pairs
fisher-inverse      `fisher` over the kept share of the L1 mass
mass                `sensitivity` with the kept share of the channels' sensitivities in place of the L1 mass
mass-plain          the same with all groups' exponents 0: minus the sum of I (1/m - 1)
encoder             the graph encoder on the groups' losses -ln m times the root of I, trained by its contrastive task
                    with the distance to the original as its score; from the best of the sample by single moves
encoder-untrained   the same, as it is drawn
NAME/CRITERION      channels are kept by another criterion than the L1 norm

Rows are appended to FOLDER/ideas-<network>.csv; bases are FOLDER/<network>-<seed>.pt.
"""

import argparse
import logging
import sys
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from unittest.mock import patch

import numpy as np
import score_study as study
import torch
from sacp.encoder.dense import DenseScorer
from sacp.encoder.features import DeficitFeatures
from sacp.encoder.scorer import fastest
from sacp.encoder.training import train_encoder
from sacp.images import parquet
from sacp.images.batches import Normalizer, drawn_batches
from sacp.network.graph import Graph, Kept
from sacp.network.spec import NetworkSpec
from sacp.network.surgery import prune
from sacp.pruning.criteria import Norms, Order, kept_of, l1_norms
from sacp.pruning.sensitivity import BATCH, Measurement, Sensitivity, measure
from sacp.pruning.space import kept_counts
from sacp.search import log_mass, sensitivity
from sacp.search.find import find
from sacp.search.scorers import AdditiveScorer, Scorer
from sacp.seeds import derive
from sacp.solver.tables import Tables
from sacp.tracing.trace import trace
from sacp.training.evaluation import Calibration
from torch import Tensor, nn

ROUNDS = (2, 4)
ENCODERS = ("encoder", "encoder-untrained")
ON_LOSSES = replace(study.ENCODER, features="deficit", negatives="own", score="distance", temperature=1.0)
IDEAS = (
    *(f"iterated-{rounds}" for rounds in ROUNDS), "fisher", "fisher-pairs", "fisher-inverse",
    *(f"{name}/sensitivity" for name in ("mass", "mass-plain", "fisher-inverse", "iterated-2", *ENCODERS)),
)  # fmt: skip


class Recorded(Measurement):
    """Keeps the gradients of all images, beside their sums."""

    def add(self, gradients: Tensor) -> None:
        super().add(gradients)
        self.rows = [*getattr(self, "rows", []), gradients.double().cpu().numpy()]


class Weighed(DeficitFeatures):
    """The loss of each group times a factor of its own."""

    def __init__(self, factors: np.ndarray, graph: Graph, levels: int, _: str, norms: Norms) -> None:
        super().__init__(graph, levels, norms)
        self.factors = torch.from_numpy(factors).float()[:, None]

    def _values(self, kept: Tensor) -> Tensor:
        return super()._values(kept) * self.factors


class Ideas(study.Study):
    """A base, and scores that are built on its sensitivities."""

    def measured(self, network: nn.Module, graph: object) -> tuple[Sensitivity, np.ndarray]:
        """Sensitivities, and the gradients of the gates, [images x draws, channels]."""
        normalizer, seed = (
            Normalizer(self.splits.mean, self.splits.std, torch.device("cpu")),
            derive(self.seed, "images"),
        )
        batches = drawn_batches(self.splits.train, normalizer, study.SENSITIVITY, BATCH, seed)
        record = Recorded(graph)
        found = measure(network, graph, batches, seed, measured=record)
        return found, np.concatenate(record.rows)

    @cached_property
    def whole(self) -> tuple[Sensitivity, np.ndarray]:
        return self.measured(self.base, self.graph)

    def picks(self, method: str, share: float) -> list[study.Pick]:
        name, _, criterion = method.partition("/")
        task = self.task(criterion or "l1", share)
        settings = {"budget": self.band(share), "found": study.PICKS, "distance": None}
        way, scorer = "local", self.encoded(name) if name in ENCODERS else None
        if scorer is None:
            way, scorer = "exact", AdditiveScorer(self.table(name, share, task.order))
        found = find(way, settings, study.PICKS, scorer, self.graph, self.space, self.sample)
        kept = [kept_of(row, task.order, self.graph, study.LEVELS) for row in found.steps[: study.PICKS]]
        return [(value, each, task.scales(each)) for value, each in zip(found.sums.tolist(), kept, strict=False)]

    def encoded(self, name: str) -> Scorer:
        """An encoder that sees losses weighed by sensitivities."""
        settings = replace(ON_LOSSES, epochs=0) if name == "encoder-untrained" else ON_LOSSES
        training = self.space.draw(study.LEARNED, derive(self.seed, "training set"))
        norms, groups = l1_norms(self.base, self.graph), self.whole[0].groups
        features = partial(Weighed, np.sqrt(groups / groups.mean()))
        with (
            patch("sacp.encoder.training.node_features", features),
            patch("sacp.encoder.dense.node_features", features),
        ):
            seed = derive(self.seed, "encoder")
            encoder, _ = train_encoder(self.graph, norms, training, study.LEVELS, settings, seed)
            return fastest(DenseScorer.of(encoder, self.graph, norms, study.LEVELS, settings))

    def table(self, name: str, share: float, order: Order) -> np.ndarray | Tables:
        if name.startswith("iterated-"):
            return self.inverse(self.iterated(int(name.removeprefix("iterated-")), share))
        if name.startswith("mass"):
            exponents = {"channels": 0, "layers": 0} if name == "mass-plain" else {}
            found = self.whole[0]
            return sensitivity.values_of(found.channels, self.graph, study.LEVELS, found.groups, **exponents)
        return self.fisher(name, order)

    def inverse(self, measured: np.ndarray) -> np.ndarray:
        return sensitivity.values(self.base, self.graph, study.LEVELS, measured)

    def iterated(self, rounds: int, share: float) -> np.ndarray:
        """Sensitivities of the network that was pruned (rounds - 1) / rounds of the way, [G]."""
        groups = self.whole[0].groups
        for number in range(1, rounds):
            part = share ** (number / rounds)
            settings = {"budget": self.band(part), "found": 1, "distance": 1}
            scorer = AdditiveScorer(self.inverse(groups))
            steps = find("exact", settings, 1, scorer, self.graph, self.space, self.sample).steps[0]
            kept: Kept = kept_of(steps, self.task("l1", part).order, self.graph, study.LEVELS)
            network = prune(self.base, self.graph, kept)
            Calibration(self.splits, study.CALIBRATION, self.seed)(network)
            network.eval()
            graph = trace(network, self.spec.input_shape)
            measured = self.measured(network, graph)[0].groups
            by_name = dict(zip((group.name for group in graph.groups), measured, strict=True))
            # A group of one channel is none for a trace, as nothing of it can be pruned: its last value stays.
            groups = np.array(
                [by_name.get(group.name, before) for group, before in zip(self.graph.groups, groups, strict=True)]
            )
        return groups

    def fisher(self, name: str, order: Order) -> Tables:
        """Tables of the gradients' sums over what each step removes, the last of the order first."""
        _, gradients = self.whole
        first = np.cumsum([0, *self.graph.channels])
        steps = np.arange(study.LEVELS)[:, None].repeat(len(self.graph.groups), axis=1).astype(np.uint8)
        counts = kept_counts(steps, self.graph, study.LEVELS)  # [levels, G]
        sums = []  # of each group, [samples, levels]
        for group, ranked in enumerate(order):
            of_group = gradients[:, first[group] : first[group + 1]][:, ranked]
            removed = [of_group[:, number:].sum(axis=1) for number in counts[:, group]]
            sums.append(np.stack(removed, axis=1))
        unary = [-(each**2).mean(axis=0) for each in sums]
        if name == "fisher-inverse":
            logs = log_mass.log_mass_by_step(log_mass.masses(self.base, self.graph), self.graph, study.LEVELS)
            unary = list(np.array(unary) / np.exp(logs))
        pairs = {}
        if name == "fisher-pairs":
            for i in range(len(sums)):
                for j in range(i + 1, len(sums)):
                    pairs[i, j] = -2 * sums[i].T @ sums[j] / len(gradients)
        scale = np.mean([abs(each).max() for each in unary])
        return Tables(0, tuple(each / scale for each in unary), {key: each / scale for key, each in pairs.items()})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of train.parquet and test.parquet")
    parser.add_argument("--out", type=Path, default=Path("results/score_study"))
    parser.add_argument("--networks", nargs="+", choices=study.NETWORKS, default=["vgg11", "resnet20"])
    parser.add_argument("--ideas", nargs="+", default=list(IDEAS))
    parser.add_argument("--shares", nargs="+", type=float, default=[0.1, 0.2])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stderr)
    torch.set_num_threads(1)
    full = parquet.read({"path": str(options.data)})
    for seed in options.seeds:
        splits = study.splits_of(full, seed)
        for name in options.networks:
            spec = NetworkSpec(name, study.NETWORKS[name], 3, 32, 10)
            base = study.base_of(spec, splits, seed, options.out)
            ideas = Ideas(spec, base, trace(base, spec.input_shape), splits, seed)
            for share in options.shares:
                for method in options.ideas:
                    study.measure_cell(ideas, method, share, study.SHORT, options.out / f"ideas-{name}.csv")


if __name__ == "__main__":
    main()
