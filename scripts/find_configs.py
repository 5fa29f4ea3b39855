"""Search for a method's own candidates, beyond the sample: exactly, or from the best of the sample on."""

from sacp import artefacts, checkpoint, criteria, finding, job, provenance, scoring
from sacp.networks import NetworkSpec
from sacp.space import Space

with job.logged(snakemake.log[0], snakemake.threads):
    cfg, seed, given = snakemake.params.cfg, int(snakemake.wildcards.seed), snakemake.input
    record = provenance.record(snakemake.rule, cfg, snakemake.params.code, given, seed)
    graph, method, space = checkpoint.load_graph(given.network), cfg["method"], cfg["space"]
    base = checkpoint.load_base(given.base, NetworkSpec(**cfg["network"]))
    artefacts.check_configs(given.configs, graph, space["levels"], space["threshold"])
    training, levels = artefacts.load_configs(given.configs, "training")
    norms = criteria.l1_norms(base.network, graph)
    constrained = Space.build(graph.weights, levels, space["threshold"])
    scorer = scoring.of_method(method, given.get("encoder"), graph, norms, levels)
    drawn = artefacts.Candidates(given.configs)
    found = finding.find(method, cfg["search"], scorer, graph, constrained, drawn, snakemake.threads)
    finding.check_number(len(found), cfg["top_m"], cfg["search"]["distance"])
    attributes = artefacts.attributes_of(graph, levels, space["threshold"], constrained.count, seed)
    attributes["provenance"] = provenance.finished(record)
    with artefacts.new_configs(snakemake.output[0], training, len(found), attributes) as search:
        search[:] = found
