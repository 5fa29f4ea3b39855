"""Train one pruned network fully, from the inherited weights, and test it once."""

from sacp import artefacts, checkpoint, criteria, data, files, job, provenance, refine, surgery
from sacp.networks import NetworkSpec
from sacp.seeds import derive
from sacp.training import HISTORY_COLUMNS, Recipe

with job.logged(snakemake.log[0], snakemake.threads):
    cfg, seed = snakemake.params.cfg, int(snakemake.wildcards.seed)
    candidate, spec = int(snakemake.wildcards.candidate), NetworkSpec(**cfg["network"])
    graph = checkpoint.load_graph(snakemake.input.network)
    base = checkpoint.load_base(snakemake.input.base, spec)
    if "kept" in snakemake.input.keys():
        kept = checkpoint.load_kept(snakemake.input.kept, graph)
    else:
        steps, levels = artefacts.load_configs(snakemake.input.configs, "search", candidate)
        kept = refine.kept_of(steps, criteria.l1_order(base.network, graph), graph, levels)
    splits = data.load_splits(snakemake.input.data, cfg["validation"], seed)
    device, recipe = job.device(cfg["device"]), Recipe(**cfg["full"])
    label = f"{snakemake.wildcards.method} {candidate}"
    network, history = refine.train_pruned(
        base.network, graph, kept, splits, recipe, derive(seed, "full"), device, label
    )
    metrics = {"candidate": candidate, **refine.measure(network, splits, spec)}
    record = provenance.record(cfg, snakemake.params.code, snakemake.input, seed) | {"data_digest": splits.digest}
    description = {"widths": surgery.widths(graph, kept), "mean": splits.mean.tolist(), "std": splits.std.tolist()}
    folder = snakemake.output.metrics.rpartition("/")[0]
    checkpoint.save_network(folder, network, spec, description | {"metrics": metrics, "provenance": record})
    files.write_csv(snakemake.output.history, history, HISTORY_COLUMNS)
    files.write_json(snakemake.output.metrics, metrics | {"provenance": record})
    job.log.info("%s: %s", label, metrics)
