"""Tune the candidates of one shard, of ranks or of a sample, lightly and evaluate them on the validation images."""

from sacp import artefacts, checkpoint, criteria, data, files, gpus, job, provenance, ranking, refine
from sacp.arithmetic import Engine
from sacp.networks import NetworkSpec
from sacp.seeds import derive
from sacp.training import Recipe

with job.logged(snakemake.log[0], snakemake.threads):
    cfg, seed = snakemake.params.cfg, int(snakemake.wildcards.seed)
    gpus.claim(cfg["device"], snakemake.resources.gpu)
    first, last = int(snakemake.wildcards.first), int(snakemake.wildcards.last)
    # Of a sample: the first rows of a set, which was drawn at random.
    drawn, repeat = snakemake.wildcards.get("set", "search"), int(snakemake.wildcards.get("repeat", 0))
    record = provenance.record(snakemake.rule, cfg, snakemake.params.code, snakemake.input, seed)
    sidecar = job.sidecar(snakemake.log[0], record, float(snakemake.resources.save_seconds))
    graph = checkpoint.load_graph(snakemake.input.network)
    base = checkpoint.load_base(snakemake.input.base, NetworkSpec(**cfg["network"]))
    order = criteria.l1_order(base.network, graph)
    kept = {}
    best = snakemake.input.get("scores")
    for candidate in artefacts.load_best(best, last + 1)[first:] if best else range(first, last + 1):
        steps, levels = artefacts.load_configs(snakemake.input.configs, drawn, candidate)
        kept[candidate] = refine.kept_of(steps, order, graph, levels)
    splits = data.load_splits(snakemake.input.data, cfg["validation"], seed)
    device, recipe, engine = job.device(cfg["device"]), Recipe(**cfg["tune"]), Engine(**cfg["engine"])
    tune_seed = derive(seed, "tune", repeat) if repeat else derive(seed, "tune")
    rows, history = refine.tune_candidates(
        base.network, graph, kept, splits, recipe, tune_seed, device, engine, sidecar
    )
    rows = [row | {"rank": rank} for rank, row in enumerate(rows, start=first)]
    files.write_csv(snakemake.output.history, history, refine.TUNED_HISTORY_COLUMNS)
    files.write_csv(snakemake.output.tuned, rows, ranking.TUNED_COLUMNS)
    outputs = snakemake.output.tuned, snakemake.output.history
    files.write_json(snakemake.output.provenance, provenance.finished(record, sidecar.earlier_seconds, outputs))
    sidecar.clear()
