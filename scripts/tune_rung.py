"""Tune the candidates of one shard to the end of a rung of successive halving, and evaluate them."""

from functools import partial
from pathlib import Path

from sacp.artefacts.files import write_csv
from sacp.artefacts.lookup import TEMPORARY
from sacp.compute import long_job
from sacp.compute.arithmetic import Engine
from sacp.compute.shelf import Shelf, taken
from sacp.errors import InputError
from sacp.images.splits import load_splits
from sacp.network.graph import load_graph
from sacp.network.spec import NetworkSpec
from sacp.network.weights import load_base
from sacp.pruning.ordering import Ordering
from sacp.search.files import load_best, load_configs
from sacp.seeds import derive
from sacp.training.candidates import TUNED_HISTORY_COLUMNS, Tuner
from sacp.training.evaluation import Calibration
from sacp.training.ranking import TUNED_COLUMNS, load_tuned
from sacp.training.recipe import Recipe
from sacp.training.rungs import tune_rung

with long_job.running(snakemake) as work:
    rung, first, last = map(int, (work.wildcards.rung, work.wildcards.first, work.wildcards.last))
    graph, base = load_graph(work.given.network), load_base(work.given.base, NetworkSpec(**work.cfg["network"]))
    splits, kept = load_splits(work.given.data, work.cfg["validation"], work.seed), {}
    ordering = Ordering(base.eval(), graph, work.cfg.get("criterion"), splits, derive(work.seed, "criterion"))
    if rung:
        source, rows = work.given.kept, load_tuned(work.given.kept)[first : last + 1]
    else:
        source, best = work.given.scores, load_best(work.given.scores, last + 1)[first:]
        rows = [{"rank": rank, "candidate": candidate} for rank, candidate in enumerate(best, start=first)]
    if len(rows) <= last - first:
        number = first + len(rows)
        raise InputError(
            f"{source}: {number} candidates are ranked, rank {last} is to be tuned; widen the budget or lower m"
        )
    for row in rows:
        steps, levels = load_configs(work.given.configs, "search", row["candidate"])
        kept[row["candidate"]] = ordering.kept(steps, levels)
    calibration, recipe = Calibration(splits, work.cfg["calibration"], work.seed), Recipe(**work.cfg["tune"])
    # After the first rung each candidate goes on in the precision in which it began.
    engine = Engine(deterministic=work.cfg["deterministic"]) if rung else work.engine
    shelf = Shelf(work.sidecar)
    tuner = Tuner(
        base, graph, splits, recipe, derive(work.seed, "tune"), work.device, calibration, engine, work.sidecar,
        ordering.scales,
    )  # fmt: skip
    before = partial(taken, work.given.get("states", ()))
    tuned, history = tune_rung(tuner, rung, rows, kept, before, shelf.put)
    write_csv(work.out.history, history, TUNED_HISTORY_COLUMNS)
    write_csv(work.out.tuned, tuned, TUNED_COLUMNS)
    shelf.archive(work.out.states)
    work.facts[TEMPORARY] = [Path(work.out.states).name]
