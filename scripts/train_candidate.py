"""Train one pruned network, fully or as it was tuned, from the inherited weights, and test it once."""

from pathlib import Path

from sacp.artefacts.files import write_csv, write_json
from sacp.compute import long_job
from sacp.images.splits import load_splits
from sacp.network.graph import load_graph
from sacp.network.spec import NetworkSpec
from sacp.network.surgery import prune, widths
from sacp.network.weights import load_base
from sacp.pruning.files import load_kept, load_scales, save_network
from sacp.pruning.ordering import Ordering
from sacp.search.files import load_configs
from sacp.seeds import derive
from sacp.training.candidates import train_fully
from sacp.training.evaluation import Calibration
from sacp.training.loop import HISTORY_COLUMNS
from sacp.training.recipe import Recipe

with long_job.running(snakemake) as work:
    candidate, spec = int(work.wildcards.candidate), NetworkSpec(**work.cfg["network"])
    graph, base = load_graph(work.given.network), load_base(work.given.base, spec)
    splits = load_splits(work.given.data, work.cfg["validation"], work.seed)
    # Candidates of a search differ by their channels and share a seed; trainings of a baseline differ by their seeds.
    if kept_file := work.given.get("kept"):
        kept, scales = load_kept(kept_file, graph), load_scales(kept_file, graph)
    else:
        steps, levels = load_configs(work.given.configs, "search", candidate)
        ordering = Ordering(base.eval(), graph, work.cfg.get("criterion"), splits, derive(work.seed, "criterion"))
        kept = ordering.kept(steps, levels)
        scales = ordering.scales(kept)
    network = prune(base, graph, kept, scales).to(work.device)
    label, seed = f"{work.wildcards.method} {candidate}", derive(work.seed, work.cfg["stream"])
    if kept_file and candidate > 1:
        seed = derive(work.seed, work.cfg["stream"], candidate)
    recipe = Recipe(**work.cfg["recipe"])
    calibration = Calibration(splits, work.cfg["calibration"], work.seed)
    metrics, history = train_fully(
        network, splits, spec.input_shape, recipe, seed, label, calibration, work.engine, work.sidecar, work.team,
        teacher=base,
    )  # fmt: skip
    if work.team.leads:
        metrics = {"candidate": candidate, **metrics}
        write_csv(work.out.history, history, HISTORY_COLUMNS)
        description = {"widths": widths(graph, kept), **splits.preprocessing()}
        save_network(Path(work.out.description).parent, network, spec, description | {"metrics": metrics})
        write_json(work.out.metrics, metrics)
        work.facts["data_digest"] = splits.digest
        long_job.log.info("%s: %s", label, metrics)
