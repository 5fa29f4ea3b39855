"""Score every candidate of the search set and write the best, best first."""

from sacp import artefacts, checkpoint, cost, criteria, job, provenance, scoring
from sacp.networks import NetworkSpec

with job.logged(snakemake.log[0], snakemake.threads):
    cfg, seed = snakemake.params.cfg, int(snakemake.wildcards.seed)
    graph = checkpoint.load_graph(snakemake.input.network)
    base = checkpoint.load_base(snakemake.input.base, NetworkSpec(**cfg["network"]))
    space = cfg["space"]
    artefacts.check_configs(snakemake.input.configs, graph, space["levels"], space["threshold"])
    candidates = artefacts.Candidates(snakemake.input.configs)
    norms, levels = criteria.l1_norms(base.network, graph), candidates.levels
    scorer = scoring.of_method(cfg["method"], snakemake.input.get("encoder"), graph, norms, levels)
    budget = cost.Budget.of(cfg["search"]["budget"], cost.cost_of_graph(graph))
    best = scoring.search(
        iter(candidates), candidates.total, scorer, graph, levels, cfg["search"]["keep"], budget, snakemake.threads
    )
    record = provenance.record(snakemake.rule, cfg, snakemake.params.code, snakemake.input, seed)
    artefacts.save_scores(snakemake.output[0], best, provenance.finished(record))
    scores = best["score"]
    job.log.info("best %d of %d candidates, scores %.4f to %.4f", len(scores), candidates.total, scores[0], scores[-1])
