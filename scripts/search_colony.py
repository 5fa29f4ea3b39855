"""Search a network's structure at the FLOPs of the matched method's winner by a bee colony (ABCPruner)."""

import numpy as np
from sacp.artefacts.files import read_json, write_csv
from sacp.baselines.abcpruner import Counts, best_structure
from sacp.baselines.colony_size import Colony
from sacp.compute import long_job
from sacp.images.splits import load_splits
from sacp.network.graph import load_graph
from sacp.network.spec import NetworkSpec
from sacp.network.weights import load_base
from sacp.pruning.criteria import kept_channels, l1_order
from sacp.pruning.files import save_kept
from sacp.seeds import derive
from sacp.training.candidates import Tuner
from sacp.training.evaluation import Calibration
from sacp.training.ranking import ACCURACY, TUNED_COLUMNS
from sacp.training.recipe import Recipe

with long_job.running(snakemake) as work:
    graph, base = load_graph(work.given.network), load_base(work.given.base, NetworkSpec(**work.cfg["network"]))
    splits, order = load_splits(work.given.data, work.cfg["validation"], work.seed), l1_order(base, graph)
    recipe, size = Recipe(**work.cfg["tune"]), Colony(**work.cfg["colony"])
    calibration = Calibration(splits, work.cfg["calibration"], work.seed)
    seed = derive(work.seed, "tune")
    tuner = Tuner(base, graph, splits, recipe, seed, work.device, calibration, work.engine, work.sidecar)

    def fitness(counts: Counts) -> float:
        """Validation accuracy in percent after a light training; nothing for one that failed."""
        label = f"structure {tuner.asked} (of {size.structures})"
        return tuner.tune(tuner.asked, kept_channels(order, counts), label)[ACCURACY] or 0.0

    rng = np.random.default_rng(derive(work.seed, "colony", work.wildcards.method))
    counts, accuracy = best_structure(fitness, graph, read_json(work.given.winner)["flops"], size, rng)
    long_job.log.info("best structure: validation accuracy %.2f %%, kept channels %s", accuracy, counts.tolist())
    write_csv(work.out.judged, [row | {"rank": number} for number, row in enumerate(tuner.rows)], TUNED_COLUMNS)
    save_kept(work.out.kept, graph, kept_channels(order, counts))
