"""What is known only during a run: which candidates are trained fully, and which one a baseline matches.

A run is replanned when its tuned candidates are ranked, when a winner is chosen, and when a baseline has chosen its
channels. All are looked up by functions that the rules pass in, which stop the planning where that has yet to happen.
"""

from collections.abc import Callable, Mapping
from typing import Any

from sacp.plan.experiments import Place, Values
from sacp.plan.paths import RECORD, Inputs, Paths
from sacp.training import ranking

Rows = list[dict[str, Any]]
LookUp = Callable[[str, str, str], Any]  # by experiment, seed and search
KeptLookUp = Callable[[str, Place], str]  # by rule and place


class Choices:
    """Candidates that are trained fully, and their files."""

    def __init__(self, paths: Paths, tuned: LookUp, winner: LookUp, kept: KeptLookUp) -> None:
        """Tuned rows of a search, metrics of its winner and files of kept channels are looked up."""
        self.paths, self.experiments = paths, paths.experiments
        self._tuned, self._winner, self._kept = tuned, winner, kept

    def tuned(self, place: Place, search: str) -> Rows:
        """The tuned candidates of a search."""
        rows: Rows = self._tuned(place.experiment, place.seed, search)
        return rows

    def matched(self, place: Place) -> int:
        """Number of the candidate that won the matched search.

        A baseline's files are named by it: a search that chooses the same one again leaves all of them as they are, and
        one that goes back to an earlier winner finds the baseline trained.
        """
        winner: Mapping[str, Any] = self._winner(place.experiment, place.seed, self.experiments.method(place)["match"])
        return int(winner["candidate"])

    def numbers(self, place: Place) -> list[int]:
        """The candidates among which a method's winner is chosen.

        They are the k best-tuned ones of a search, the best alone for SACP-2; a baseline has one, its winner's match.
        """
        search = self.experiments.search_of(place)
        if search is None:
            return [self.matched(place)]
        top_m = self.experiments.settings(place)["refine"]["top_m"]
        return ranking.chosen(self.tuned(place, search), top_m, self.experiments.chosen_from(place))

    def selection(self, place: Place) -> Inputs:
        """Where kept channels come from: a candidate's from its search's file, a baseline's from its own.

        A baseline that keeps the channels that it kept before is not trained again.
        """
        if rule := self.experiments.kind(place).rule:
            return {"kept": self._kept(rule, place)}
        return {"configs": self.paths.candidates(place)}

    def trained(self, place: Place) -> list[str]:
        """Metrics of these candidates."""
        return self.paths.trained(place, self.numbers(place))

    def sweep(self, place: Place) -> Inputs:
        """Figure 2: for every seed, the tuned candidates of all searches and metrics of all that any m would choose."""
        tuned, trained = list[str](), list[str]()
        k, sizes = self.experiments.settings(place)["refine"]["top_k"], self.experiments.sweep_sizes(place.experiment)
        for method in self.experiments.searches(place.experiment):
            for seed in self.experiments.seeds:
                here = Values(place.experiment, str(seed), method)
                rows = self.tuned(here, method)
                union = {each for m in sizes for each in ranking.chosen(rows, m, k)}
                tuned.append(f"{self.paths.folder(here)}/topm.csv")
                trained += self.paths.trained(here, sorted(union))
        return {"tuned": tuned, "trained": trained}

    def records(self, place: Place) -> list[str]:
        """Records of all jobs of the run, figures left out: they say what it has cost."""
        found = self.paths.records()
        for here in self.paths.places():
            numbers = self.numbers(here)
            found += self.paths.trained(here, numbers, RECORD)
            if self.experiments.kind(here).is_baseline:
                found += [f"{self.paths.folder(here)}/kept/{number}.{RECORD}" for number in numbers]
        return [*found, f"<results>/tables/table3.{RECORD}"]
