"""Choose a baseline's kept channels at the FLOPs of the matched method's winner."""

from sacp import baselines, checkpoint, data, files, job, provenance
from sacp.networks import NetworkSpec
from sacp.seeds import derive

with job.logged(snakemake.log[0], snakemake.threads):
    cfg, seed, given = snakemake.params.cfg, int(snakemake.wildcards.seed), snakemake.input
    spec = NetworkSpec(**cfg["network"])
    graph = checkpoint.load_graph(given.network)
    base = checkpoint.load_base(given.base, spec).network
    sparse = checkpoint.load_base(given.sparse, spec).network if given.get("sparse") else None
    splits = data.load_splits(given.data, cfg["validation"], seed) if given.get("data") else None
    target, draw_seed = files.read_json(given.winner)["flops"], derive(seed, "baseline", snakemake.wildcards.method)
    kept = baselines.select(cfg, base.eval(), graph, target, draw_seed, splits, sparse)
    record = provenance.record(snakemake.rule, cfg, snakemake.params.code, given, seed)
    checkpoint.save_kept(snakemake.output[0], graph, kept, provenance.finished(record))
