"""Train one pruned network, fully or as it was tuned, from the inherited weights, and test it once."""

from pathlib import Path

from sacp import artefacts, checkpoint, criteria, data, files, gpus, job, parallel, provenance, refine, surgery
from sacp.arithmetic import Engine
from sacp.networks import NetworkSpec
from sacp.seeds import derive
from sacp.training import HISTORY_COLUMNS, Recipe

cfg, seed = snakemake.params.cfg, int(snakemake.wildcards.seed)
gpus.claim(cfg["device"], snakemake.resources.gpu)
parallel.launch(cfg["processes"])
with job.logged(snakemake.log[0], snakemake.threads), parallel.joined(job.device(cfg["device"])) as (device, team):
    candidate, spec = int(snakemake.wildcards.candidate), NetworkSpec(**cfg["network"])
    record = provenance.record(snakemake.rule, cfg, snakemake.params.code, snakemake.input, seed)
    sidecar = job.sidecar(snakemake.log[0], record, float(snakemake.resources.save_seconds))
    graph = checkpoint.load_graph(snakemake.input.network)
    base = checkpoint.load_base(snakemake.input.base, spec)
    if "kept" in snakemake.input.keys():
        kept = checkpoint.load_kept(snakemake.input.kept, graph)
    else:
        steps, levels = artefacts.load_configs(snakemake.input.configs, "search", candidate)
        kept = refine.kept_of(steps, criteria.l1_order(base.network, graph), graph, levels)
    splits = data.load_splits(snakemake.input.data, cfg["validation"], seed)
    network = surgery.prune(base.network, graph, kept).to(device)
    label, recipe = f"{snakemake.wildcards.method} {candidate}", Recipe(**cfg["recipe"])
    metrics, history = refine.train_fully(
        network, splits, spec, recipe, derive(seed, cfg["stream"]), label, Engine(**cfg["engine"]), sidecar, team
    )
    if team.leads:
        metrics = {"candidate": candidate, **metrics}
        files.write_csv(snakemake.output.history, history, HISTORY_COLUMNS)
        record["data_digest"] = splits.digest
        description = {"widths": surgery.widths(graph, kept), "mean": splits.mean.tolist(), "std": splits.std.tolist()}
        description |= {"metrics": metrics, "provenance": provenance.finished(record, sidecar.earlier_seconds)}
        checkpoint.save_network(Path(snakemake.output.metrics).parent, network, spec, description)
        outputs = snakemake.output.history, snakemake.output.weights, snakemake.output.description
        record = provenance.finished(record, sidecar.earlier_seconds, outputs)
        files.write_json(snakemake.output.metrics, metrics | {"provenance": record})
        sidecar.clear()
        job.log.info("%s: %s", label, metrics)
