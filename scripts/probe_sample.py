"""Evaluate configurations of the sample before any tuning: as they are, and with their batch norms calibrated anew."""

import torch
from sacp import artefacts, checkpoint, criteria, data, files, gpus, job, predictors, provenance, refine, surgery
from sacp.baselines import sampled_images
from sacp.networks import NetworkSpec
from sacp.progress import Progress
from sacp.seeds import derive
from sacp.training import accuracy_percent

IMAGES = 1000  # training images that batch norms are calibrated with

with job.logged(snakemake.log[0], snakemake.threads):
    cfg, seed = snakemake.params.cfg, int(snakemake.wildcards.seed)
    gpus.claim(cfg["device"], snakemake.resources.gpu)
    record = provenance.record(snakemake.rule, cfg, snakemake.params.code, snakemake.input, seed)
    graph, device = checkpoint.load_graph(snakemake.input.network), job.device(cfg["device"])
    base = checkpoint.load_base(snakemake.input.base, NetworkSpec(**cfg["network"])).network
    order = criteria.l1_order(base, graph)
    splits = data.load_splits(snakemake.input.data, cfg["validation"], seed)
    batches = sampled_images(splits, IMAGES, derive(seed, "calibration"), device)
    steps, levels = artefacts.load_configs(snakemake.input.configs, "search", slice(0, cfg["sample"]))
    rows, progress = [], Progress("networks probed:", len(steps))
    for candidate in range(len(steps)):
        kept = refine.kept_of(steps[candidate], order, graph, levels)
        network = surgery.prune(base, graph, kept).to(device).eval()
        found = [accuracy_percent(network, splits.validation, splits)]
        with torch.no_grad():
            predictors.recalibrate(network, batches)
        found.append(accuracy_percent(network, splits.validation, splits))
        rows.append(dict(zip(predictors.PROBE_COLUMNS, (candidate, *found), strict=True)))
        progress.advance(1)
    files.write_csv(snakemake.output.csv, rows, predictors.PROBE_COLUMNS)
    files.write_json(snakemake.output.provenance, provenance.finished(record, outputs=[snakemake.output.csv]))
