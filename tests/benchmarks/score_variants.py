"""Scores that need no labels, compared on a finished study: chosen on one set of networks, confirmed on another.

    .venv/bin/python tests/benchmarks/score_variants.py results/cifar10_score --csv variants.csv

Networks to choose on: the random sample, its pairs inside terciles of FLOPs. Networks to confirm on: those that the
method `random-picks` tuned, drawn at random inside one narrow band of FLOPs. The measure is Kendall's tau over all such
pairs of one seed, pooled over the seeds.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sacp.artefacts import lookup
from sacp.encoder.scorer import of_file
from sacp.images.batches import Normalizer, evaluation_batches
from sacp.images.splits import Splits, load_splits
from sacp.network.cost import costs_of_counts
from sacp.network.graph import BATCH_NORM, CONV, Graph, load_graph
from sacp.network.spec import NetworkSpec
from sacp.network.weights import load_base
from sacp.pruning import criteria, space
from sacp.pruning.ordering import BATCH
from sacp.search.files import load_configs
from sacp.search.scorers import Scorer, score_all
from torch import nn

IMAGES = 500
LEVELS = 10
ENCODERS = ("sacp", "sacp-own", "sacp-deficit")
ACCURACY = "validation_accuracy_percent"
LEAST_SHARE = 1e-3  # channels of the largest L1 norm may be dead, with features that are all zero
Values = np.ndarray


@dataclass(frozen=True)
class Networks:
    """Pruned networks of one base: what is known of them without labels, [n] or [n, G], and their accuracies."""

    graph: Graph
    kept: dict[str, Values]  # share kept of a group's mass by what is counted as mass, [n, G]
    flops: Values
    parameters: Values
    accuracy: Values
    scores: dict[str, Values]  # of the study's methods
    block: Values  # networks are compared inside a block


def per_layer(networks: Networks, weight: Callable[[int, int, float, int], float], what: str, form=np.log) -> Values:
    """Sum over convolutions of weight(channels, positions, depth, layers of the group) * form(kept share)."""
    nodes = [node for node in networks.graph.nodes if node.kind == CONV and node.groups]
    total = np.zeros(len(networks.flops))
    for place, node in enumerate(nodes):
        positions = node.flops_pair / max(1, node.params_pair)
        (group,) = node.groups
        layers = len(networks.graph.groups[group].layers)
        total += weight(node.channels, positions, place / len(nodes), layers) * form(networks.kept[what][:, group])
    return total


def along_edges(networks: Networks) -> Values:
    """Sum over convolutions of (C_in C)^(1/4) * log of the product of what is kept on both sides."""
    total, logs = np.zeros(len(networks.flops)), np.log(networks.kept["L1"])
    for node in networks.graph.nodes:
        if node.kind == CONV and node.groups:
            before = logs[:, node.in_groups].sum(axis=1)
            total += (node.in_channels * node.channels) ** 0.25 * (logs[:, node.groups[0]] + before)
    return total


def standard(values: Values) -> Values:
    return (values - values.mean()) / values.std()


def root(channels: int, *_: float) -> float:
    return channels**0.5


VARIANTS: dict[str, Callable[[Networks], Values]] = {
    **{
        f"log L1 mass, C^{power}": lambda n, power=power: per_layer(n, lambda c, *_: c**power, "L1")
        for power in (0, 0.25, 0.5, 0.75, 1)
    },
    "log L1 mass, sqrt(C), streams once": lambda n: per_layer(n, lambda c, p, d, layers: c**0.5 / layers, "L1"),
    "log L1 mass, sqrt(C), streams by the root": lambda n: per_layer(n, lambda c, p, d, ls: (c / ls) ** 0.5, "L1"),
    "log L1 mass, sqrt(C), early layers more": lambda n: per_layer(n, lambda c, p, d, ls: c**0.5 * (2 - d), "L1"),
    "log L1 mass, sqrt(C), late layers more": lambda n: per_layer(n, lambda c, p, d, ls: c**0.5 * (1 + d), "L1"),
    "log L1 mass, sqrt(C), high resolution more": lambda n: per_layer(n, lambda c, p, *_: c**0.5 * p**0.25, "L1"),
    "log L1 mass, sqrt(C), low resolution more": lambda n: per_layer(n, lambda c, p, *_: c**0.5 / p**0.25, "L1"),
    "L1 mass, sqrt(C), no logarithm": lambda n: per_layer(n, root, "L1", lambda share: share),
    "log L1 mass, squared": lambda n: per_layer(n, root, "L1", lambda share: -(np.log(share) ** 2)),
    "log L1 mass, worst layer": lambda n: np.log(n.kept["L1"]).min(axis=1),
    "log L1 mass, products along edges": along_edges,
    "log L2 mass, sqrt(C)": lambda n: per_layer(n, root, "L2"),
    "log share of channels, sqrt(C)": lambda n: per_layer(n, root, "channels"),
    "log mass of batch norms' scales, sqrt(C)": lambda n: per_layer(n, root, "scales"),
    "log energy of features on images, sqrt(C)": lambda n: per_layer(n, root, "features"),
    "log L1 mass, sqrt(C), and log FLOPs": lambda n: (
        standard(per_layer(n, root, "L1")) + standard(np.log(n.flops.astype(float)))
    ),
    "log L1 mass and log energy of features": lambda n: (
        standard(per_layer(n, root, "L1")) + standard(per_layer(n, root, "features"))
    ),
    "FLOPs": lambda n: n.flops,
    "parameters": lambda n: n.parameters,
    "minus pruning ratio": lambda n: per_layer(n, lambda c, *_: c, "channels", lambda share: share),
    **{f"score of {name}": lambda n, name=name: n.scores[name] for name in ENCODERS},
}


def feature_energy(network: nn.Module, graph: Graph, images: list[torch.Tensor]) -> list[Values]:
    """Mean square of each channel behind its batch norms, over images and positions, per group [C_g]."""
    total = [np.zeros(channels) for channels in graph.channels]

    def add(group: int) -> Callable[[nn.Module, object, torch.Tensor], None]:
        def hook(module: nn.Module, given: object, output: torch.Tensor) -> None:
            total[group] += (output.relu() ** 2).mean(dim=(0, 2, 3)).double().numpy()

        return hook

    handles = [
        network.get_submodule(node.name).register_forward_hook(add(node.groups[0]))
        for node in graph.nodes
        if node.kind == BATCH_NORM and node.groups
    ]
    with torch.no_grad():
        for batch in images:
            network(batch)
    for handle in handles:
        handle.remove()
    return total


def masses(network: nn.Module, graph: Graph, images: list[torch.Tensor]) -> dict[str, list[Values]]:
    """What a channel weighs, by several measures, per group [C_g]."""
    squares, scales = [], [np.zeros(channels) for channels in graph.channels]
    for group in graph.groups:
        weights = [network.get_submodule(layer).weight.detach().double() for layer in group.layers]
        squares.append(sum((weight**2).sum(dim=(1, 2, 3)) for weight in weights).sqrt().numpy())
    for node in graph.nodes:
        if node.kind == BATCH_NORM and node.groups:
            scales[node.groups[0]] += network.get_submodule(node.name).weight.detach().abs().double().numpy()
    return {
        "L1": criteria.l1_norms(network, graph), "L2": squares, "scales": scales,
        "channels": [np.ones(channels) for channels in graph.channels],
        "features": feature_energy(network, graph, images),
    }  # fmt: skip


def networks_of(results: Path, model: str, seed: int) -> tuple[Networks, Networks]:
    """The random sample of a seed, and the networks of the narrow band."""
    folder = results / model / f"seed{seed}"
    graph, settings = load_graph(results / model / "network.json"), settings_of(folder / "base.pt")
    base = load_base(folder / "base.pt", NetworkSpec(**settings["network"])).eval()
    splits = load_splits(next((results / "data").glob("*.safetensors")), settings["validation"], seed)
    images = [images for images, _ in evaluation_batches(splits.train.part(torch.arange(IMAGES)), _normalizer(splits))]
    weighed = masses(base, graph, [part for batch in images for part in batch.split(BATCH)])
    order = criteria.l1_order(base, graph)
    drawn = pd.concat([tuned(path) for path in (folder / "sample/search").glob("repeat*/???-???.csv")])
    every = {name: scorer_of(folder, name, base, graph) for name in ENCODERS}
    found = []
    for accuracy in (drawn.groupby("candidate")[ACCURACY].mean(), tuned(folder / "random-picks/topm.csv")[ACCURACY]):
        steps = np.stack([load_configs(folder / "configs.h5", "search", int(n))[0] for n in accuracy.index])
        scores = {name: score_all(scorer, steps) for name, scorer in every.items()}
        counts = space.kept_counts(steps, graph, LEVELS)
        flops, parameters = costs_of_counts(graph, counts)
        kept = {}
        for what, values in weighed.items():
            shares = [np.cumsum(v[channels]) / v.sum() for v, channels in zip(values, order, strict=True)]
            found_shares = np.stack([share[counts[:, g] - 1] for g, share in enumerate(shares)], axis=1)
            kept[what] = np.maximum(found_shares, LEAST_SHARE)
        rank = np.argsort(np.argsort(flops, kind="stable"))
        block = rank * 3 // len(rank) if len(found) == 0 else np.zeros(len(rank), int)
        found.append(Networks(graph, kept, flops, parameters, accuracy.to_numpy(), scores, block))
    return found[0], found[1]


def tuned(path: Path) -> pd.DataFrame:
    return pd.read_csv(path).set_index("candidate")


def scorer_of(folder: Path, name: str, base: nn.Module, graph: Graph) -> Scorer:
    """The scorer of a trained encoder of the study."""
    file = folder / name / "encoder.pt"
    return of_file(file, base, graph, LEVELS, **settings_of(file)["encoder"])


def settings_of(path: Path) -> dict[str, Any]:
    """The part of the config that a file was made by, from its record."""
    found = lookup.find(path)
    assert found is not None
    return found[1]["settings"]


def _normalizer(splits: Splits) -> Normalizer:
    return Normalizer(splits.mean, splits.std, torch.device("cpu"))


def concordance(score: Values, networks: Networks) -> tuple[int, int]:
    """Concordant less discordant pairs inside blocks, and their number."""
    upper = np.triu(networks.block[:, None] == networks.block, 1)
    signs = np.sign(score[:, None] - score) * np.sign(networks.accuracy[:, None] - networks.accuracy)
    return int(signs[upper].sum()), int(upper.sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("--models", nargs="+", help="experiments of the study; all if not given")
    parser.add_argument("--csv", type=Path)
    arguments = parser.parse_args()
    rows = []
    for model in arguments.models or sorted(path.parent.name for path in arguments.results.glob("*/network.json")):
        seeds = sorted(int(path.name.removeprefix("seed")) for path in (arguments.results / model).glob("seed*"))
        pairs = [networks_of(arguments.results, model, seed) for seed in seeds]
        for name, variant in VARIANTS.items():
            row = {"model": model, "variant": name}
            for place, purpose in enumerate(("choose", "confirm")):
                counted = [concordance(variant(each[place]), each[place]) for each in pairs]
                agreeing, number = (sum(column) for column in zip(*counted, strict=True))
                row |= {f"tau_{purpose}": agreeing / number, f"pairs_{purpose}": number}
            rows.append(row)
    table = pd.DataFrame(rows)
    print(table.to_string(index=False, float_format="%.2f"))
    wide = table.pivot(index="variant", columns="model", values=["tau_choose", "tau_confirm"])
    order = wide["tau_choose"].mean(axis=1).sort_values(ascending=False).index
    print(wide.loc[order].round(2).to_string())
    if arguments.csv:
        table.to_csv(arguments.csv, index=False)


if __name__ == "__main__":
    main()
