"""Train the base further, with a penalty on the scales of its batch norms, for Network Slimming."""

from sacp.artefacts.files import write_csv
from sacp.compute import long_job
from sacp.images.splits import load_splits
from sacp.network.spec import NetworkSpec
from sacp.network.weights import load_base, save_base
from sacp.seeds import derive
from sacp.training.evaluation import measure
from sacp.training.loop import HISTORY_COLUMNS, train
from sacp.training.recipe import Recipe

with long_job.running(snakemake) as work:
    spec, label = NetworkSpec(**work.cfg["network"]), "sparse"
    splits = load_splits(work.given.data, work.cfg["validation"], work.seed)
    network = load_base(work.given.base, spec).to(work.device)
    recipe = Recipe(**work.cfg["sparse"])
    history = train(network, splits, recipe, derive(work.seed, label), label, work.engine, work.sidecar, team=work.team)
    metrics = measure(network, splits, spec.input_shape, work.team)
    if work.team.leads:
        write_csv(work.out.history, history, HISTORY_COLUMNS)
        save_base(work.out.sparse, network, spec)
        long_job.log.info("%s: %s", label, metrics)
