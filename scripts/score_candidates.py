"""Score every candidate of the search set and write them best first."""

from sacp import artefacts, checkpoint, cost, criteria, job, provenance, scoring, space
from sacp.encoder import load
from sacp.networks import NetworkSpec

with job.logged(snakemake.log[0], snakemake.threads):
    cfg, seed = snakemake.params.cfg, int(snakemake.wildcards.seed)
    graph = checkpoint.load_graph(snakemake.input.network)
    base = checkpoint.load_base(snakemake.input.base, NetworkSpec(**cfg["network"]))
    steps, levels = artefacts.load_configs(snakemake.input.configs, "search")
    encoder = load(snakemake.input.encoder, graph)
    scorer = scoring.Scorer(encoder, graph, criteria.l1_order(base.network, graph), levels, cfg["edges"])
    scores = scorer.score(steps)
    best_first = scoring.ranking(scores)
    flops, parameters = cost.costs_of_counts(graph, space.kept_counts(steps, graph.channels, levels))
    columns = {
        "candidate": best_first,
        "score": scores[best_first],
        "pruning_ratio": space.pruning_ratio(steps, graph.weights, levels)[best_first],
        "flops": flops[best_first],
        "parameters": parameters[best_first],
    }
    record = provenance.record(cfg, snakemake.params.code, snakemake.input, seed)
    artefacts.save_scores(snakemake.output[0], columns, record)
    job.log.info("%d candidates, scores from %.4f to %.4f", len(scores), scores.max(), scores.min())
