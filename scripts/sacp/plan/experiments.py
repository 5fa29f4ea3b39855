"""What a resolved config asks for: experiments, their methods, and what each method needs and is chosen from."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from sacp.catalogue import criteria, kinds, outputs, scores, sources
from sacp.catalogue.criteria import Criterion
from sacp.catalogue.kinds import SEARCH, TRAININGS, TUNED, Kind

Tree = dict[str, Any]


class Place(Protocol):
    """Where a file or job belongs: Snakemake's wildcards, or values given by hand. Not every place has all."""

    @property
    def experiment(self) -> str: ...
    @property
    def seed(self) -> str: ...
    @property
    def method(self) -> str: ...
    @property
    def first(self) -> str: ...
    @property
    def rung(self) -> str: ...


@dataclass(frozen=True)
class Values:
    """A place whose values are given by hand."""

    experiment: str
    seed: str = ""
    method: str = ""
    first: str = ""
    rung: str = ""


def network_settings(experiment: Mapping[str, Any], datasets: Mapping[str, Any]) -> Tree:
    """The arguments of `network.spec.NetworkSpec` for an experiment."""
    channels, size, classes = sources.shape(datasets[experiment["dataset"]])
    network = experiment["network"]
    shape = {"in_channels": channels, "image_size": size, "num_classes": classes}
    return {"name": network["name"], "width": network["width"], **shape}


def constraints(experiment: Mapping[str, Any]) -> Tree:
    """The arguments of `network.constraints.Constraints.of` for an experiment."""
    return {key: experiment["space"][key] for key in ("ignore", "round_to", "at_least")}


def labelled(method: Mapping[str, Any], refine: Mapping[str, Any]) -> int:
    """Candidates of a search that are tuned before the others are reranked, whole shards; 0 if none are."""
    size, m = int(refine["shard_size"]), int(refine["top_m"])
    shards: int = -(-math.ceil(method.get("rerank", 0) * m) // size)
    return shards * size


def search_settings(experiment: Mapping[str, Any], method: Mapping[str, Any]) -> Tree:
    """What a search may rank: the experiment's `search`, with the method's own budget if it has one."""
    return {**experiment["search"], "budget": method.get("budget", experiment["search"]["budget"])}


def has_encoder(method: Mapping[str, Any]) -> bool:
    """Whether a method is a search whose score is an encoder's."""
    return method["kind"] == SEARCH and not scores.score(method["score"]).additive


def shares_sample(method: Mapping[str, Any]) -> bool:
    """Whether a search ranks the sample that all share; others find candidates of their own."""
    return bool(method["search"] == scores.SAMPLE)


def pattern(names: Iterable[str]) -> str:
    """A pattern of these names; one that matches nothing, if there are none."""
    return "|".join(sorted(set(names))) or "(?!)"


class Experiments:
    """The experiments of a resolved config."""

    def __init__(self, resolved: Mapping[str, Any]) -> None:
        self.resolved = resolved
        self.names: list[str] = list(resolved["experiments"])
        self.seeds: list[int] = resolved["seeds"]

    def settings(self, place: Place) -> Tree:
        """All settings of the place's experiment."""
        return self.of(place.experiment)

    def of(self, experiment: str) -> Tree:
        """All settings of an experiment."""
        settings: Tree = self.resolved["experiments"][experiment]
        return settings

    def method(self, place: Place) -> Tree:
        """Settings of the place's method."""
        settings: Tree = self.settings(place)["methods"][place.method]
        return settings

    def kind(self, place: Place) -> Kind:
        """The kind of the place's method."""
        return kinds.of(self.method(place))

    def criterion(self, place: Place) -> Criterion:
        """The criterion of the place's baseline."""
        return criteria.criterion(self.method(place).get("criterion", criteria.DEFAULT))

    def images_seen(self, place: Place) -> int:
        """Training images that a baseline's criterion looks at."""
        return self.criterion(place).images if "criterion" in self.kind(place).keys else 0

    def methods(self, experiment: str, *wanted: str) -> list[str]:
        """Names of an experiment's methods of these kinds, in the config's order; of all kinds if none is given."""
        methods = self.of(experiment)["methods"]
        return [name for name, method in methods.items() if not wanted or method["kind"] in wanted]

    def searches(self, experiment: str) -> list[str]:
        """Names of an experiment's searches."""
        return self.methods(experiment, SEARCH)

    def with_encoder(self, experiment: str) -> list[str]:
        """Names of the searches whose score is an encoder's."""
        methods = self.of(experiment)["methods"]
        return [name for name in methods if has_encoder(methods[name])]

    def needs(self, experiment: str, what: str) -> bool:
        """Whether a baseline of an experiment takes this input, besides those that all take."""
        return any(what in kinds.of(method).inputs for method in self.of(experiment)["methods"].values())

    def methods_that(self, condition: Callable[[Tree], bool]) -> str:
        """A pattern of the names of all methods, in whatever experiment, whose settings meet a condition."""
        return pattern(
            name for each in self.names for name, method in self.of(each)["methods"].items() if condition(method)
        )

    def made_by(self, rule: str) -> str:
        """A pattern of the names of all baselines whose channels this rule keeps."""
        return self.methods_that(lambda method: kinds.of(method).rule == rule)

    def finders(self) -> str:
        """A pattern of the names of all searches that find candidates of their own."""
        return self.methods_that(lambda method: method["kind"] == SEARCH and not shares_sample(method))

    def encoders(self, experiment: str) -> Tree:
        """Settings of all encoders by name: those of the searches, then those that are only compared."""
        methods = self.of(experiment)["methods"]
        of_searches = {name: methods[name]["encoder"] for name in self.with_encoder(experiment)}
        compared: Tree = self.of(experiment)["predictors"]["encoders"]
        return of_searches | compared

    def studied(self) -> list[str]:
        """Experiments whose predictors are compared."""
        return [name for name in self.names if self.of(name)["predictors"]["sample"]]

    def sensitive(self, experiment: str) -> list[str]:
        """Searches whose score uses measured sensitivities."""
        methods = self.of(experiment)["methods"]
        return [
            name
            for name in self.searches(experiment)
            if scores.SENSITIVITY in scores.score(methods[name]["score"]).needs
        ]

    def timed(self) -> list[str]:
        """Experiments whose winners' latency is measured."""
        return [name for name in self.names if self.of(name)["latency"]["batches"]]

    def drawn(self) -> list[str]:
        """Experiments that have figures: those with a search."""
        return [name for name in self.names if self.searches(name)]

    def figures(self, experiment: str) -> list[str]:
        """Names of an experiment's figures."""
        has_encoder, is_timed = bool(self.with_encoder(experiment)), experiment in self.timed()
        is_studied = experiment in self.studied()
        return [
            name
            for name, figure in outputs.FIGURES.items()
            if (has_encoder or not figure.needs_encoder)
            and (is_timed or not figure.needs_latency)
            and (is_studied or not figure.needs_sample)
        ]

    def tables(self) -> list[str]:
        """Names of the tables that this config gives."""
        found = bool(self.studied())
        return [name for name, table in outputs.TABLES.items() if found or not table.needs_sample]

    def search_of(self, place: Place) -> str | None:
        """The search whose tuned candidates a method chooses from: its own, or another's; None for a baseline."""
        if self.kind(place).is_baseline:
            return None
        return str(self.method(place)["match"]) if self._is_tuned(place) else place.method

    def recipe(self, place: Place) -> Tree:
        """How a method's candidates are trained before one is chosen: SACP-2 takes them as they were tuned."""
        settings: Tree = self.settings(place)[self.stream(place)]
        return settings

    def stream(self, place: Place) -> str:
        """The name of that training's random stream: with the tuning's, a tuned network is reproduced bit for bit."""
        return "tune" if self._is_tuned(place) else "full"

    def chosen_from(self, place: Place) -> int:
        """k, the number of tuned candidates that are trained and chosen from: for SACP-2, the best alone."""
        return 1 if self._is_tuned(place) else int(self.settings(place)["refine"]["top_k"])

    def trainings(self, place: Place) -> int:
        """How often a method trains each of its candidates: a baseline its one as often as a search trains, k."""
        if not self.kind(place).is_baseline:
            return 1
        return int(self.method(place).get(TRAININGS, self.settings(place)["refine"]["top_k"]))

    def labelled(self, place: Place) -> int:
        """Candidates of the place's search that are tuned before the others are reranked; 0 if none are."""
        return labelled(self.method(place), self.settings(place)["refine"])

    def halves(self, place: Place) -> bool:
        """Whether the place's searches tune their candidates by successive halving."""
        return bool(self.settings(place)["refine"].get("halving", False))

    def sweep_sizes(self, experiment: str) -> list[int]:
        """Values of m in figure 2, ascending."""
        settings = self.of(experiment)
        return sorted({*settings["sweep"]["m"], settings["refine"]["top_m"]})

    def _is_tuned(self, place: Place) -> bool:
        return bool(self.method(place)["kind"] == TUNED)
