"""MetaPruning's choice: the counts of the fittest widths, at the FLOPs of the matched winner."""

import logging
from dataclasses import replace

import numpy as np
import torch

from sacp.baselines.learning import Learned, LongTask
from sacp.baselines.match_flops import TOLERANCE, approached, gaps
from sacp.baselines.metapruning.evolution import Evolution, Genes
from sacp.baselines.metapruning.generator import LEVELS, PruningNet, counts_of
from sacp.baselines.untrained import rows_of
from sacp.compute.arithmetic import Engine
from sacp.errors import InputError
from sacp.images.batches import Batch
from sacp.network.cost import costs_of_counts
from sacp.network.graph import Graph
from sacp.pruning.criteria import kept_channels, l1_order
from sacp.seeds import derive
from sacp.training.evaluation import accuracy_percent
from sacp.training.stepwise import Stepwise, finish

log = logging.getLogger(__name__)


class Training(Stepwise):
    """A training in which every step has widths of its own, drawn uniformly."""

    def __init__(self, task: LongTask, network: PruningNet) -> None:
        assert task.recipe is not None
        recipe = replace(task.recipe, validate_every=0)  # of no single network
        seed = derive(task.seed, "training")
        super().__init__(network, task.splits, recipe, seed, task.label, task.sidecar)
        self.pruning_net = network

    def _take_step(self, batch: Batch, engine: Engine) -> None:
        rng = np.random.default_rng(derive(self.seed, "widths", self.number))
        graph = self.pruning_net.graph
        self.pruning_net.counts = counts_of(rng.integers(0, LEVELS, len(graph.groups)), graph)
        super()._take_step(batch, engine)


def select(task: LongTask) -> Learned:
    """Kept channels: as many as the fittest widths have, those of the largest L1 norm.

    Raises:
        InputError: batch norms are not calibrated, or no widths have the FLOPs.
    """
    if not task.calibration.images:
        raise InputError("calibration: found 0 images, but metapruning makes networks whose batch norms know none")
    with torch.random.fork_rng():
        torch.manual_seed(derive(task.seed, "generator"))
        network = PruningNet(task.base, task.graph, task.options["units"]).to(task.device)
    history = finish(Training(task, network), task.engine)
    network.eval()

    def fitness(genes: Genes) -> float:
        made = network.network(counts_of(genes, task.graph))
        task.calibration(made)
        return accuracy_percent(made, task.splits.validation, task.splits) / 100

    evolution = Evolution(LEVELS, Widths(task.graph, task.target_flops), derive(task.seed, "evolution"))
    best, value = evolution.run(fitness, task.options["generations"], task.sidecar)
    found = counts_of(best, task.graph)
    log.info("%s: fittest widths: accuracy %.2f %%, kept channels %s", task.label, 100 * value, found.tolist())
    counts = approached(task.graph, found[None], task.target_flops, "structure of the evolution (metapruning)")
    tried = [(counts_of(np.array(genes), task.graph).tolist(), each) for genes, each in evolution.seen.items()]
    return Learned(kept_channels(l1_order(task.base, task.graph), counts), history, rows_of(task.graph, tried))


class Widths:
    """Genes whose networks have the FLOPs to match, within 2 %."""

    def __init__(self, graph: Graph, target_flops: int) -> None:
        self.graph, self.target_flops = graph, target_flops

    def drawn(self, rng: np.random.Generator) -> Genes:
        """Genes at random, from which single ones, drawn at random, are moved level by level to the nearest FLOPs."""
        groups = len(self.graph.groups)
        genes = rng.integers(0, LEVELS, groups)
        flops = costs_of_counts(self.graph, counts_of(genes, self.graph)[None])[0][0]
        rises = flops < self.target_flops
        moves = rng.permutation(np.repeat(np.arange(groups), LEVELS - 1 - genes if rises else genes))
        taken = np.cumsum(np.eye(groups, dtype=np.int64)[moves], axis=0)
        path = np.concatenate([genes[None], genes + taken if rises else genes - taken])
        found: Genes = path[np.argmin(gaps(self.graph, counts_of(path, self.graph), self.target_flops))]
        return found

    def fits(self, genes: Genes) -> bool:
        """Whether the FLOPs are met."""
        return bool(gaps(self.graph, counts_of(genes, self.graph)[None], self.target_flops)[0] <= TOLERANCE)
