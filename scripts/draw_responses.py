"""Figure: how the score of each search responds to the pruning of each group."""

from pathlib import Path

import numpy as np
from sacp.compute import job
from sacp.network.graph import load_graph
from sacp.network.spec import NetworkSpec
from sacp.network.weights import load_base
from sacp.pruning.sensitivity import load as load_sensitivity
from sacp.report.score_figures import response, response_figure
from sacp.search.files import load_configs
from sacp.search.scorers import of_score, score_all

CANDIDATES = 20_000  # at most; the first of the search set, which are a random sample

with job.running(snakemake) as work:
    graph, base = load_graph(work.given.network), load_base(work.given.base, NetworkSpec(**work.cfg["network"]))
    steps, levels = load_configs(work.given.configs, "search", slice(0, CANDIDATES))
    encoders, responses = iter(work.given.encoders), {}
    sensitivity = load_sensitivity(work.given.get("sensitivity"), graph)
    for method, score in work.cfg["scores"].items():
        encoder = None if score["additive"] else next(encoders)
        scorer = of_score(score, base, graph, levels, encoder, sensitivity)
        responses[method] = response(steps, score_all(scorer, steps).astype(np.float64), levels)
    title, names = f"{work.wildcards.experiment}, seed {work.cfg['seed']}", [group.name for group in graph.groups]
    response_figure([Path(work.out.png), Path(work.out.pdf)], title, names, responses)
