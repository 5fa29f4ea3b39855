"""Choose a baseline's kept channels at the FLOPs of the matched method's winner."""

from sacp import imports
from sacp.artefacts.files import read_json
from sacp.baselines.task import Task, checked
from sacp.compute import job
from sacp.images.splits import load_splits
from sacp.network.graph import load_graph
from sacp.network.spec import NetworkSpec
from sacp.network.weights import load_base
from sacp.pruning.files import save_kept
from sacp.pruning.space import Space
from sacp.seeds import derive

with job.running(snakemake) as work:
    graph, spec, space = load_graph(work.given.network), NetworkSpec(**work.cfg["network"]), work.cfg["space"]
    task = Task(
        base=load_base(work.given.base, spec).eval(),
        graph=graph,
        target_flops=read_json(work.given.winner)["flops"],
        seed=derive(work.seed, "baseline", work.wildcards.method),
        space=Space.of(graph, space["levels"], space["threshold"]),
        criterion=work.cfg.get("criterion"),
        splits=load_splits(work.given.data, work.cfg["validation"], work.seed) if work.given.get("data") else None,
        sparse=load_base(work.given.sparse, spec) if work.given.get("sparse") else None,
    )
    function = work.cfg["function"]
    kept = checked(imports.call(function, task), task, function)
    save_kept(work.out.kept, graph, kept, task.scales(kept))
