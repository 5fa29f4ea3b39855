"""Score every candidate of the search set and write the best, best first."""

from sacp import artefacts, checkpoint, cost, criteria, job, provenance, scoring
from sacp.encoder import EncoderSettings, load
from sacp.networks import NetworkSpec

with job.logged(snakemake.log[0], snakemake.threads):
    cfg, seed = snakemake.params.cfg, int(snakemake.wildcards.seed)
    graph = checkpoint.load_graph(snakemake.input.network)
    base = checkpoint.load_base(snakemake.input.base, NetworkSpec(**cfg["network"]))
    space, settings = cfg["space"], EncoderSettings(**cfg["encoder"])
    artefacts.check_configs(snakemake.input.configs, graph, space["levels"], space["threshold"])
    candidates = artefacts.Candidates(snakemake.input.configs)
    order, levels = criteria.l1_order(base.network, graph), candidates.levels
    encoder = load(snakemake.input.encoder, graph, levels, settings)
    scorer = scoring.make_scorer(encoder, graph, order, levels, settings.edges)
    budget = cost.Budget.of(cfg["search"]["budget"], cost.cost_of_graph(graph))
    best = scoring.search(
        iter(candidates), candidates.total, scorer, graph, levels, cfg["search"]["keep"], budget, snakemake.threads
    )
    record = provenance.record(snakemake.rule, cfg, snakemake.params.code, snakemake.input, seed)
    artefacts.save_scores(snakemake.output[0], best, provenance.finished(record))
    scores = best["score"]
    job.log.info("best %d of %d candidates, scores %.4f to %.4f", len(scores), candidates.total, scores[0], scores[-1])
