"""What is known only during a run: which candidates are trained fully.

A run is replanned when the tuned candidates of a search are ranked. They are looked up by a function that the rules
pass in, which stops the planning where that has yet to happen. Only what needs their numbers asks: a look-up that waits
for another look-up can be forgotten by Snakemake, with stale files behind it.
"""

from collections.abc import Callable
from typing import Any

from sacp.plan.experiments import Place, Values
from sacp.plan.paths import RECORD, Inputs, Paths
from sacp.training import ranking

Rows = list[dict[str, Any]]
LookUp = Callable[[str, str, str], Rows]  # by experiment, seed and search


class Choices:
    """Candidates that are trained fully, and their files."""

    def __init__(self, paths: Paths, tuned: LookUp) -> None:
        """Tuned rows of a search are looked up."""
        self.paths, self.experiments, self._tuned = paths, paths.experiments, tuned

    def numbers(self, place: Place) -> list[int]:
        """The candidates among which a method's winner is chosen.

        They are the k best-tuned ones of a search, the best alone for SACP-2; of a baseline's one network they are its
        trainings, counted from 1.
        """
        search = self.experiments.search_of(place)
        if search is None:
            return list(range(1, self.experiments.trainings(place) + 1))
        rows, refine = self._tuned(place.experiment, place.seed, search), self.experiments.settings(place)["refine"]
        return ranking.chosen(rows, refine["top_m"], self.experiments.chosen_from(place))

    def trained(self, place: Place) -> list[str]:
        """Metrics of these candidates."""
        return self.paths.trained(place, self.numbers(place))

    def trained_records(self, place: Place) -> list[str]:
        """Records of their trainings."""
        return self.paths.trained(place, self.numbers(place), RECORD)

    def sweep(self, place: Place) -> Inputs:
        """Figure 2: for every seed, the tuned candidates of all searches and metrics of all that any m would choose."""
        tuned, trained = list[str](), list[str]()
        k, sizes = self.experiments.settings(place)["refine"]["top_k"], self.experiments.sweep_sizes(place.experiment)
        for method in self.experiments.searches(place.experiment):
            for seed in self.experiments.seeds:
                here = Values(place.experiment, str(seed), method)
                rows = self._tuned(here.experiment, here.seed, method)
                union = {each for m in sizes for each in ranking.chosen(rows, m, k)}
                tuned.append(f"{self.paths.folder(here)}/topm.csv")
                trained += self.paths.trained(here, sorted(union))
        return {"tuned": tuned, "trained": trained}
