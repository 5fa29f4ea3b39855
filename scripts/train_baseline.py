"""Learn a baseline's kept channels at the FLOPs of the matched method's winner: it trains, or evaluates networks."""

from sacp import imports
from sacp.artefacts.files import read_json
from sacp.baselines.learning import LongTask, settled
from sacp.compute import long_job
from sacp.images.splits import load_splits
from sacp.network.graph import load_graph
from sacp.network.spec import NetworkSpec
from sacp.network.weights import load_base, save_base
from sacp.pruning.files import save_kept
from sacp.pruning.space import Space
from sacp.seeds import derive
from sacp.training.evaluation import Calibration
from sacp.training.recipe import Recipe

with long_job.running(snakemake) as work:
    graph, spec, space = load_graph(work.given.network), NetworkSpec(**work.cfg["network"]), work.cfg["space"]
    base = load_base(work.given.base, spec).to(work.device).eval()
    splits = load_splits(work.given.data, work.cfg["validation"], work.seed)
    task = LongTask(
        base=base,
        graph=graph,
        target_flops=read_json(work.given.winner)["flops"],
        seed=derive(work.seed, "baseline", work.wildcards.method),
        space=Space.of(graph, space["levels"], space["threshold"]),
        criterion=work.cfg.get("criterion"),
        splits=splits,
        device=work.device,
        calibration=Calibration(splits, work.cfg["calibration"], work.seed),
        options=work.cfg["options"],
        recipe=Recipe(**work.cfg["selection"]) if "selection" in work.cfg else None,
        own_weights=work.cfg["own_weights"],
        engine=work.engine,
        sidecar=work.sidecar,
        label=work.wildcards.method,
    )
    learned = imports.call(work.cfg["function"], task)
    kept = settled(learned, task, work.cfg["function"])
    learned.save(work.out.history, work.out.judged)
    save_base(work.out.own, learned.network or base, spec)
    save_kept(work.out.kept, graph, kept, task.scales(kept))
