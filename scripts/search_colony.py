"""Search a network's structure at the FLOPs of the matched method's winner by a bee colony (ABCPruner)."""

import numpy as np
from sacp import checkpoint, colony, criteria, data, files, gpus, job, provenance, ranking, refine
from sacp.arithmetic import Engine
from sacp.networks import NetworkSpec
from sacp.seeds import derive
from sacp.training import Recipe

with job.logged(snakemake.log[0], snakemake.threads):
    cfg, seed, given = snakemake.params.cfg, int(snakemake.wildcards.seed), snakemake.input
    gpus.claim(cfg["device"], snakemake.resources.gpu)
    record = provenance.record(snakemake.rule, cfg, snakemake.params.code, given, seed)
    sidecar = job.sidecar(snakemake.log[0], record, float(snakemake.resources.save_seconds))
    graph = checkpoint.load_graph(given.network)
    base = checkpoint.load_base(given.base, NetworkSpec(**cfg["network"])).network
    splits = data.load_splits(given.data, cfg["validation"], seed)
    device, recipe, engine = job.device(cfg["device"]), Recipe(**cfg["tune"]), Engine(**cfg["engine"])
    order = criteria.l1_order(base, graph)
    tuner = refine.Tuner(base, graph, splits, recipe, derive(seed, "tune"), device, engine, sidecar)
    size = colony.Colony(**cfg["colony"])

    def fitness(counts: colony.Counts) -> float:
        """Validation accuracy in percent after a light training; nothing for one that failed."""
        number = tuner.asked
        row = tuner.tune(number, criteria.kept_channels(order, counts), f"structure {number} (of {size.structures})")
        return row["validation_accuracy_percent"] or 0.0

    rng = np.random.default_rng(derive(seed, "colony", snakemake.wildcards.method))
    counts, accuracy = colony.search(fitness, graph, files.read_json(given.winner)["flops"], size, rng)
    job.log.info("best structure: validation accuracy %.2f %%, kept channels %s", accuracy, counts.tolist())
    rows = [row | {"rank": number} for number, row in enumerate(tuner.rows)]
    files.write_csv(snakemake.output.tuned, rows, ranking.TUNED_COLUMNS)
    record = provenance.finished(record, sidecar.earlier_seconds, [snakemake.output.tuned])
    checkpoint.save_kept(snakemake.output.kept, graph, criteria.kept_channels(order, counts), record)
    sidecar.clear()
