"""Score every candidate of the search set and write the best, best first."""

from sacp.compute import job
from sacp.network.cost import Budget, cost_of_graph
from sacp.network.graph import load_graph
from sacp.network.spec import NetworkSpec
from sacp.network.weights import load_base
from sacp.pruning.sensitivity import load as load_sensitivity
from sacp.search import ranked
from sacp.search.files import Candidates, check_configs, save_scores
from sacp.search.matching import matching
from sacp.search.scorers import of_score

with job.running(snakemake) as work:
    graph, space = load_graph(work.given.network), work.cfg["space"]
    search = matching(work.cfg["search"], work.given.get("winner"))
    base = load_base(work.given.base, NetworkSpec(**work.cfg["network"]))
    check_configs(work.given.configs, graph, space["levels"], space["threshold"])
    candidates = Candidates(work.given.configs)
    levels, budget = candidates.levels, Budget.of(search["budget"], cost_of_graph(graph))
    sensitivity = load_sensitivity(work.given.get("sensitivity"), graph)
    scorer = of_score(work.cfg["score"], base, graph, levels, work.given.get("encoder"), sensitivity)
    total, keep = candidates.total, search["keep"]
    best = ranked.best(iter(candidates), total, scorer, graph, levels, keep, budget, work.threads)
    save_scores(work.out.scores, best)
    scores = best["score"]
    job.log.info("best %d of %d candidates, scores %.4f to %.4f", len(scores), total, scores[0], scores[-1])
