"""Train the unpruned network."""

import torch
from sacp.artefacts.files import write_csv, write_json
from sacp.compute import long_job
from sacp.images.splits import load_splits
from sacp.network.architectures import build
from sacp.network.spec import NetworkSpec
from sacp.network.weights import inherit, save_base
from sacp.seeds import derive
from sacp.training.evaluation import measure
from sacp.training.loop import HISTORY_COLUMNS, train
from sacp.training.recipe import Recipe

with long_job.running(snakemake) as work:
    spec, label = NetworkSpec(**work.cfg["network"]), "base"
    splits = load_splits(work.given.data, work.cfg["validation"], work.seed)
    torch.manual_seed(derive(work.seed, "initial weights"))
    network = build(spec)
    weights = work.given.get("weights", work.cfg["published_weights"])
    if weights is not None:
        inherit(network, weights)
    network.to(work.device)
    recipe = Recipe(**work.cfg["base"])
    history = train(network, splits, recipe, derive(work.seed, label), label, work.engine, work.sidecar, team=work.team)
    metrics = measure(network, splits, spec.input_shape, work.team)
    if work.team.leads:
        write_csv(work.out.history, history, HISTORY_COLUMNS)
        write_json(work.out.metrics, metrics)
        save_base(work.out.base, network, spec)
        work.facts["data_digest"] = splits.digest
        long_job.log.info("%s: %s", label, metrics)
