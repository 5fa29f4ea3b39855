"""Train the unpruned network."""

import torch
from sacp import checkpoint, data, files, gpus, job, parallel, provenance, refine
from sacp.arithmetic import Engine
from sacp.networks import NetworkSpec, build
from sacp.seeds import derive
from sacp.training import HISTORY_COLUMNS, Recipe, train

cfg, seed = snakemake.params.cfg, int(snakemake.wildcards.seed)
gpus.claim(cfg["device"], snakemake.resources.gpu)
parallel.launch(cfg["processes"])
with job.logged(snakemake.log[0], snakemake.threads), parallel.joined(job.device(cfg["device"])) as (device, team):
    spec, label = NetworkSpec(**cfg["network"]), "base"
    record = provenance.record(snakemake.rule, cfg, snakemake.params.code, snakemake.input, seed)
    sidecar = job.sidecar(snakemake.log[0], record, float(snakemake.resources.save_seconds))
    splits = data.load_splits(snakemake.input.data, cfg["validation"], seed)
    torch.manual_seed(derive(seed, "initial weights"))
    network = build(spec)
    weights = snakemake.input.get("weights", cfg["published_weights"])
    if weights is not None:
        checkpoint.inherit(network, weights)
    network.to(device)
    recipe, engine = Recipe(**cfg["base"]), Engine(**cfg["engine"])
    history = train(network, splits, recipe, derive(seed, label), label, engine, sidecar, team=team)
    metrics = refine.measure(network, splits, spec, team)
    if team.leads:
        files.write_csv(snakemake.output.history, history, HISTORY_COLUMNS)
        record = provenance.finished(record, sidecar.earlier_seconds, [snakemake.output.history])
        record["data_digest"] = splits.digest
        checkpoint.save_base(snakemake.output.base, network, spec, metrics, record)
        sidecar.clear()
        job.log.info("%s: %s", label, metrics)
