"""Rerank the candidates that are not tuned yet, by what was learned from the tuned ones."""

from sacp import imports
from sacp.compute import job
from sacp.network.graph import load_graph
from sacp.network.spec import NetworkSpec
from sacp.network.weights import load_base
from sacp.search.files import Candidates, load_scores, save_scores
from sacp.search.log_mass import log_mass_by_step, masses
from sacp.search.relearn import Values, rerank
from sacp.training.ranking import load_tuned

with job.running(snakemake) as work:
    graph, base = load_graph(work.given.network), load_base(work.given.base, NetworkSpec(**work.cfg["network"]))
    candidates = Candidates(work.given.configs)
    mass = log_mass_by_step(masses(base, graph), graph, candidates.levels)
    tuned = [row for path in work.given.tuned for row in load_tuned(path)]
    line = work.cfg.get("line")
    scored = load_scores(work.given.scores)

    def linear(scores: Values) -> Values:
        """The scores, or what is nearer to a line for accuracies."""
        made: Values = imports.load(line["function"])(scores, line["settings"]) if line else scores
        return made

    save_scores(work.out.scores, rerank(scored, candidates, mass, tuned, linear))
