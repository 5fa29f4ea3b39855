"""Train the unpruned network."""

import torch
from sacp import checkpoint, data, files, job, provenance, refine
from sacp.networks import NetworkSpec, build
from sacp.seeds import derive
from sacp.training import HISTORY_COLUMNS, Recipe, train

with job.logged(snakemake.log[0], snakemake.threads):
    cfg, seed = snakemake.params.cfg, int(snakemake.wildcards.seed)
    device, spec = job.device(cfg["device"]), NetworkSpec(**cfg["network"])
    splits = data.load_splits(snakemake.input.data, cfg["validation"], seed)
    torch.manual_seed(derive(seed, "initial weights"))
    network = build(spec)
    if "weights" in snakemake.input.keys():
        checkpoint.inherit(network, snakemake.input.weights)
    network.to(device)
    history = train(network, splits, Recipe(**cfg["base"]), derive(seed, "base"), "base")
    metrics = refine.measure(network, splits, spec)
    record = provenance.record(cfg, snakemake.params.code, snakemake.input, seed)
    record["data_digest"] = splits.digest
    files.write_csv(snakemake.output.history, history, HISTORY_COLUMNS)
    checkpoint.save_base(snakemake.output.base, network, spec, metrics, record)
    job.log.info("base: %s", metrics)
