"""Choose a baseline's kept channels at the FLOPs of the matched method's winner."""

from sacp import baselines, checkpoint, criteria, data, files, job, provenance, space
from sacp.networks import NetworkSpec
from sacp.seeds import derive

with job.logged(snakemake.log[0], snakemake.threads):
    cfg, seed = snakemake.params.cfg, int(snakemake.wildcards.seed)
    graph = checkpoint.load_graph(snakemake.input.network)
    base = checkpoint.load_base(snakemake.input.base, NetworkSpec(**cfg["network"]))
    target, levels = files.read_json(snakemake.input.winner)["flops"], cfg["space"]["levels"]
    draw_seed = derive(seed, "baseline", snakemake.wildcards.method)
    if cfg["kind"] == "uniform":
        counts = baselines.uniform_counts(graph, target)
    else:
        constrained = space.Space.build(graph.weights, levels, cfg["space"]["threshold"])
        counts = space.kept_counts(
            baselines.random_steps(graph, constrained, target, draw_seed), graph.channels, levels
        )
    # ASSUME: baselines keep channels by L1 norm, as a candidate does, to differ by their ratios alone.
    images = snakemake.input.get("data")
    splits = data.load_splits(images, cfg["validation"], seed) if images else None
    order = baselines.channel_order(cfg["criterion"], base.network.eval(), graph, draw_seed, splits)
    kept = criteria.kept_channels(order, counts)
    record = provenance.record(snakemake.rule, cfg, snakemake.params.code, snakemake.input, seed)
    checkpoint.save_kept(snakemake.output[0], graph, kept, provenance.finished(record))
