"""Rerank the candidates that are not tuned yet, by what was learned from the tuned ones."""

from sacp.compute import job
from sacp.network.graph import load_graph
from sacp.network.spec import NetworkSpec
from sacp.network.weights import load_base
from sacp.search.files import Candidates, load_scores, save_scores
from sacp.search.log_mass import log_mass_by_step, masses
from sacp.search.relearn import rerank
from sacp.training.ranking import load_tuned

with job.running(snakemake) as work:
    graph, base = load_graph(work.given.network), load_base(work.given.base, NetworkSpec(**work.cfg["network"]))
    candidates = Candidates(work.given.configs)
    mass = log_mass_by_step(masses(base, graph), graph, candidates.levels)
    tuned = [row for path in work.given.tuned for row in load_tuned(path)]
    save_scores(work.out.scores, rerank(load_scores(work.given.scores), candidates, mass, tuned))
