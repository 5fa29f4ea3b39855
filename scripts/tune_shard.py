"""Lightly tune the candidates of one shard, by rank or from a sample, and evaluate them on the validation images."""

from sacp.artefacts.files import write_csv
from sacp.compute import long_job
from sacp.errors import InputError
from sacp.images.splits import load_splits
from sacp.network.graph import load_graph
from sacp.network.spec import NetworkSpec
from sacp.network.weights import load_base
from sacp.pruning.ordering import Ordering
from sacp.search.files import load_best, load_configs
from sacp.seeds import derive
from sacp.training.candidates import TUNED_HISTORY_COLUMNS, tune_candidates
from sacp.training.evaluation import Calibration
from sacp.training.ranking import TUNED_COLUMNS
from sacp.training.recipe import Recipe

with long_job.running(snakemake) as work:
    first, last = int(work.wildcards.first), int(work.wildcards.last)
    # Of a sample: the first rows of a set, which was drawn at random.
    drawn, repeat = work.wildcards.get("set", "search"), int(work.wildcards.get("repeat", 0))
    graph, base = load_graph(work.given.network), load_base(work.given.base, NetworkSpec(**work.cfg["network"]))
    splits = load_splits(work.given.data, work.cfg["validation"], work.seed)
    ordering = Ordering(base.eval(), graph, work.cfg.get("criterion"), splits, derive(work.seed, "criterion"))
    best, kept = work.given.get("scores"), {}
    candidates = load_best(best, last + 1)[first:] if best else range(first, last + 1)
    if len(candidates) <= last - first:
        number = first + len(candidates)
        raise InputError(
            f"{best}: {number} candidates are ranked, rank {last} is to be tuned; widen the budget or lower m"
        )
    for candidate in candidates:
        steps, levels = load_configs(work.given.configs, drawn, candidate)
        kept[candidate] = ordering.kept(steps, levels)
    recipe = Recipe(**work.cfg["tune"])
    seed = derive(work.seed, "tune", repeat) if repeat else derive(work.seed, "tune")
    calibration = Calibration(splits, work.cfg["calibration"], work.seed)
    rows, history = tune_candidates(
        base, graph, kept, splits, recipe, seed, work.device, calibration, work.engine, work.sidecar, ordering.scales
    )
    write_csv(work.out.history, history, TUNED_HISTORY_COLUMNS)
    write_csv(work.out.tuned, [row | {"rank": rank} for rank, row in enumerate(rows, start=first)], TUNED_COLUMNS)
