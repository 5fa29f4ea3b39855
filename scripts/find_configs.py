"""Search for a method's own candidates, beyond the sample: exactly, or starting from the best of the sample."""

from sacp.compute import job
from sacp.network.graph import load_graph
from sacp.network.spec import NetworkSpec
from sacp.network.weights import load_base
from sacp.pruning.sensitivity import load as load_sensitivity
from sacp.pruning.space import Space
from sacp.search.files import Candidates, attributes_of, check_configs, load_configs, new_configs
from sacp.search.find import check_number, find
from sacp.search.matching import matching
from sacp.search.scorers import of_score

with job.running(snakemake) as work:
    graph, space = load_graph(work.given.network), work.cfg["space"]
    search = matching(work.cfg["search"], work.given.get("winner"))
    base = load_base(work.given.base, NetworkSpec(**work.cfg["network"]))
    check_configs(work.given.configs, graph, space["levels"], space["threshold"])
    training, levels = load_configs(work.given.configs, "training")
    constrained = Space.of(graph, levels, space["threshold"])
    sensitivity = load_sensitivity(work.given.get("sensitivity"), graph)
    scorer = of_score(work.cfg["score"], base, graph, levels, work.given.get("encoder"), sensitivity)
    drawn = Candidates(work.given.configs)
    found = find(work.cfg["way"], search, work.cfg["top_m"], scorer, graph, constrained, drawn, work.threads)
    check_number(len(found.steps), work.cfg["top_m"], search["distance"])
    attributes = attributes_of(graph, levels, space["threshold"], constrained.count, work.seed) | found.facts
    work.facts |= found.facts
    with new_configs(work.out.configs, training, len(found.steps), attributes) as rows:
        rows[:] = found.steps
