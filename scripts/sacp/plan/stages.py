"""The part of the resolved config that each stage uses, as one plain dict with sorted keys: its param `cfg`.

Snakemake compares params as text, so keys are sorted where their order means nothing; methods of a table keep theirs.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sacp import imports
from sacp.catalogue import criteria, kinds, outputs, scores, sources
from sacp.catalogue.criteria import Criterion
from sacp.catalogue.kinds import OWN, SEARCH, TUNED, WEIGHTS
from sacp.catalogue.predictors import ZERO_COST
from sacp.network.spec import is_weights_file
from sacp.plan.experiments import Experiments, Place, Tree, Values, constraints, network_settings, search_settings
from sacp.plan.used import used


def ordered(value: Any) -> Any:
    """The same value, keys of all its dicts sorted."""
    if isinstance(value, Mapping):
        return {key: ordered(value[key]) for key in sorted(value)}
    return [ordered(item) for item in value] if isinstance(value, list) else value


class Stages:
    """Settings of stages."""

    def __init__(self, experiments: Experiments) -> None:
        self.experiments = experiments
        resolved = experiments.resolved
        self.shared = {
            "device": resolved["device"],
            "engine": {"deterministic": resolved["deterministic"], "precision": resolved["precision"]},
            "processes": resolved["processes"],
        }

    def parts(self, place: Place, *parts: str, **more: Any) -> Tree:
        """The network, these parts of the place's experiment or of the shared settings, and what else is given.

        No rule's: a function that takes any named argument is given all of a job by Snakemake, its resources too.
        """
        settings = self.experiments.settings(place)
        taken: Tree = {"network": network_settings(settings, self.experiments.resolved["datasets"])}
        taken |= {part: self.shared[part] if part in self.shared else settings[part] for part in parts}
        found: Tree = ordered(taken | more)
        return found

    def network(self, place: Place) -> Tree:
        """The network alone."""
        return self.parts(place)

    def trace(self, place: Place) -> Tree:
        """The network, and what pruning has to leave alone."""
        return self.parts(place, constraints=constraints(self.experiments.settings(place)))

    def dataset(self, name: str) -> Tree:
        """A data set, with the import path of its reader and the form of its images."""
        return dataset_settings(self.experiments.resolved["datasets"][name])

    def base(self, place: Place) -> Tree:
        """Training of the base; weights that torchvision publishes are given here by name, a file is an input."""
        initial = self.experiments.settings(place)["network"].get("weights")
        published = initial if initial and not is_weights_file(initial) else None
        parts = ("base", "device", "engine", "processes", "validation")
        return self.parts(place, *parts, published_weights=published)

    def sparse(self, place: Place) -> Tree:
        """Sparse training of the base."""
        return self.parts(place, "device", "engine", "processes", "sparse", "validation")

    def encoder(self, place: Place) -> Tree:
        """Training of an encoder."""
        return self.parts(place, "space", encoder=self.experiments.encoders(place.experiment)[place.method])

    def sensitivity(self, place: Place) -> Tree:
        """How the sensitivity of the base's groups is measured."""
        return self.parts(place, "device", "sensitivity", "validation")

    def tuning(self, place: Place) -> Tree:
        """Light tuning of a search's candidates."""
        more = self._criterion(place.experiment, place.method)
        return self.parts(place, "calibration", "device", "engine", "tune", "validation", **more)

    def rung(self, place: Place) -> Tree:
        """Light tuning to the end of a rung; after the first, each candidate goes on in the precision it began in."""
        if int(place.rung) == 0:
            return self.tuning(place)
        deterministic = self.shared["engine"]["deterministic"]
        more = self._criterion(place.experiment, place.method)
        return self.parts(place, "calibration", "device", "tune", "validation", deterministic=deterministic, **more)

    def sample(self, place: Place) -> Tree:
        """Tuning of configurations drawn at random."""
        tune = self.experiments.settings(place)["sample"]
        return self.parts(place, "calibration", "device", "engine", "validation", tune=tune)

    def probes(self, place: Place) -> Tree:
        """Evaluation of configurations drawn at random before any tuning."""
        settings = self.experiments.settings(place)["predictors"]
        zero_cost = zero_cost_functions(settings)
        more = {"zero_cost": zero_cost} if zero_cost else {}
        return self.parts(place, "calibration", "device", "validation", sample=settings["sample"], **more)

    def score(self, place: Place) -> Tree:
        """The score of the place's search."""
        return score_settings(self.experiments.method(place))

    def scoring(self, place: Place) -> Tree:
        """Scoring of a search's candidates."""
        return self.parts(place, "space", search=self._search(place), score=self.score(place))

    def reranking(self, place: Place) -> Tree:
        """The network, and how the score is made linear, if accuracies are far from a line in it."""
        method = self.experiments.method(place)
        function = scores.score(method["score"]).linear
        settings = score_settings(method)["settings"]
        return self.parts(place, **({"line": {"function": function, "settings": settings}} if function else {}))

    def find(self, place: Place) -> Tree:
        """A search for candidates of its own."""
        way = self.experiments.method(place)["search"]
        top_m = self.experiments.settings(place)["refine"]["top_m"]
        return self.parts(place, "space", search=self._search(place), score=self.score(place), way=way, top_m=top_m)

    def _search(self, place: Place) -> Tree:
        return search_settings(self.experiments.settings(place), self.experiments.method(place))

    def baseline(self, place: Place) -> Tree:
        """A baseline's own settings, with the import paths of its function and its criterion, if it has these."""
        return self.parts(place, *self.experiments.kind(place).settings, **self._choice(place))

    def training_baseline(self, place: Place) -> Tree:
        """The settings of a baseline that trains or evaluates for long, beside those of every baseline."""
        method, kind = self.experiments.method(place), self.experiments.kind(place)
        parts = ("calibration", "device", "engine", *kind.settings)
        options = method[kind.options] if kind.options else {}
        more = {"own_weights": method.get(WEIGHTS) == OWN, "options": options}
        return self.parts(place, *parts, **self._choice(place), **more)

    def _choice(self, place: Place) -> Tree:
        """The import paths of a baseline's function and of its criterion, if it has these."""
        kind = self.experiments.kind(place)
        found: Tree = {"function": kind.function} if kind.function else {}
        if "criterion" in kind.keys:
            found["criterion"] = _called(self.experiments.criterion(place))
        return found

    def _criterion(self, experiment: str, search: str | None) -> Tree:
        """By which channels a search's candidates keep: nothing where it is the L1 norm, or there is no search."""
        name = self.experiments.of(experiment)["methods"][search].get("criterion") if search else None
        return {} if name in (None, criteria.DEFAULT) else {"criterion": _called(criteria.criterion(name))}

    def latency(self, place: Place) -> Tree:
        """How winners are timed."""
        return self.parts(place, "device", "latency", methods=self.experiments.methods(place.experiment))

    def colony(self, place: Place) -> Tree:
        """A bee colony's search."""
        return self.parts(place, "calibration", "colony", "device", "engine", "tune", "validation")

    def candidate(self, place: Place) -> Tree:
        """The training of a method's candidates before one is chosen."""
        recipe, stream = self.experiments.recipe(place), self.experiments.stream(place)
        parts = ("calibration", "device", "engine", "processes", "validation")
        more = self._criterion(place.experiment, self.experiments.search_of(place))
        return self.parts(place, *parts, recipe=recipe, stream=stream, **more)

    def protocol(self, place: Place, training_code: Mapping[str, str]) -> Tree:
        """What decides the winner beyond the tuning."""
        more: Tree = {"training": training_code}
        if self.experiments.search_of(place):
            more["top_k"] = self.experiments.chosen_from(place)
        else:
            more["trainings"] = self.experiments.trainings(place)
        return self.candidate(place) | more

    def predictors(self, place: Place) -> Tree:
        """What is compared as a predictor."""
        settings = self.experiments.settings(place)["predictors"]
        encoders = self.experiments.encoders(place.experiment)
        more = {"zero_cost": list(settings["zero_cost"])} if settings["zero_cost"] else {}
        return self.parts(
            place, "calibration", sample=settings["sample"], repeats=settings["repeats"], encoders=encoders, **more
        )

    def table3(self) -> Tree:
        """The table lists methods in the config's order."""
        encoders = self.experiments.with_encoder
        models = {
            name: self._rows(name)
            | {
                "readings": {key: self._reading(name, key) for key in encoders(name)},
                "spaces": {key: self._space(name, key) for key in self.experiments.methods(name)},
            }
            for name in self.experiments.names
        }
        return {"models": models, "seeds": self.experiments.seeds, "timed": self.experiments.timed()}

    def _reading(self, experiment: str, method: str) -> Tree:
        """How a search's encoder reads the paper."""
        encoder = self.experiments.encoders(experiment)[method]
        return {key: encoder[key] for key in ("objective", "anchor")}

    def _space(self, experiment: str, method: str) -> Tree:
        """What a method can remove, and the method whose winner's FLOPs it has to meet, if any."""
        settings = self.experiments.of(experiment)["methods"][method]
        return {"match": kinds.matched(settings), "space": kinds.space(settings)}

    def table4(self) -> Tree:
        """The table lists experiments and methods in the config's order."""
        return {
            "models": {name: self._rows(name, SEARCH, TUNED) for name in self.experiments.names},
            "seeds": self.experiments.seeds,
        }

    def _rows(self, experiment: str, *kinds: str) -> Tree:
        """A table's methods of these kinds, with what decides how many networks they have cost."""
        settings = self.experiments.of(experiment)
        methods = {
            name: {
                key: settings["methods"][name][key] for key in ("kind", "labels") if key in settings["methods"][name]
            }
            for name in self.experiments.methods(experiment, *kinds)
        }
        return {"methods": methods, "reported": settings.get("reported")}

    def figure(self, place: Place, **more: Any) -> Tree:
        """A figure of the first seed."""
        found: Tree = ordered({"seed": self.experiments.seeds[0], **more})
        return found

    def methods(self, place: Place) -> Tree:
        """A figure of all methods."""
        return self.figure(place, methods=self.experiments.methods(place.experiment))

    def searches(self, place: Place) -> Tree:
        """A figure of all searches."""
        return self.figure(place, methods=self.experiments.searches(place.experiment))

    def encoder_losses(self, place: Place) -> Tree:
        """A figure of the searches with an encoder, of all seeds."""
        return {"methods": self.experiments.with_encoder(place.experiment), "seeds": self.experiments.seeds}

    def method_figure(self, place: Place) -> Tree:
        """Figure 1 shows the first search."""
        method = self.experiments.searches(place.experiment)[0]
        settings = self.experiments.settings(place)
        return self.figure(
            place, method=method, settings=settings["methods"][method], found=settings["search"]["found"],
            refine=settings["refine"], space=settings["space"],
        )  # fmt: skip

    def responses(self, place: Place) -> Tree:
        """The figure shows methods in the config's order."""
        searches = self.experiments.searches(place.experiment)
        found = {name: self.score(Values(experiment=place.experiment, method=name)) for name in searches}
        return {**self.parts(place, seed=self.experiments.seeds[0]), "scores": found}

    def embedding(self, place: Place) -> Tree:
        """Encoders of the searches."""
        methods = self.experiments.with_encoder(place.experiment)
        encoders = {name: self.experiments.encoders(place.experiment)[name] for name in methods}
        return self.parts(place, encoders=encoders, methods=methods, seed=self.experiments.seeds[0])

    def sweeps(self, place: Place) -> Tree:
        """Figure 2."""
        return {
            "methods": self.experiments.searches(place.experiment),
            "seeds": self.experiments.seeds,
            "sizes": self.experiments.sweep_sizes(place.experiment),
            "top_k": self.experiments.settings(place)["refine"]["top_k"],
        }

    def accuracy_flops(self, place: Place) -> Tree:
        """Methods, and the model whose reported rows are shown."""
        return {
            "methods": self.experiments.methods(place.experiment),
            "reported": self.experiments.settings(place).get("reported"),
            "searches": self.experiments.searches(place.experiment),
            "tuned": self.experiments.methods(place.experiment, TUNED),
        }

    def summary(self, captions: Path) -> Tree:
        """The page of a run: what it has used, and the titles of its tables and figures, these with their captions.

        Lists of pairs are in the order of the config, in which files are given.
        """
        experiments = self.experiments
        figures = [
            [name, [_titled(captions, figure) for figure in experiments.figures(name)]] for name in experiments.drawn()
        ]
        tables = [[name, outputs.TABLES[name].title] for name in experiments.tables()]
        asked = [[name, self._asked(name)] for name in experiments.names]
        found: Tree = ordered({"config": used(experiments), "experiments": asked, "figures": figures, "tables": tables})
        return found

    def _asked(self, experiment: str) -> Tree:
        """An experiment in words: what its images are, and what each of its methods does."""
        settings = self.experiments.of(experiment)
        dataset = self.experiments.resolved["datasets"][settings["dataset"]]
        channels, size, classes = sources.shape(dataset)
        data = {"channels": channels, "classes": classes, "image_size": size, "text": sources.source(dataset).text}
        methods = self.experiments.methods(experiment)
        return {"data": data, "methods": [[name, kinds.of(settings["methods"][name]).text] for name in methods]}

    def measured(self) -> tuple[str, ...]:
        """Import paths that a forecast measures: scores, zero-cost predictors, readers of data sets, and networks."""
        found = set[str]()
        for name in self.experiments.names:
            settings = self.experiments.of(name)
            searches = [settings["methods"][method] for method in self.experiments.searches(name)]
            parts: Tree = {"scores": {number: score_settings(method) for number, method in enumerate(searches)}}
            parts["zero_cost"] = zero_cost_functions(settings["predictors"])
            found |= {*functions(self.dataset(settings["dataset"])), *functions(settings | parts)}
        return tuple(sorted(found))

    def forecast(self, cores: int | None, gpus: int | None) -> Tree:
        """What decides the cost of the whole run: nearly all of the config, and the cores and GPUs Snakemake has."""
        names = ("datasets", "device", "experiments", "processes", "seeds", "threads", "threads_base")
        settings = {name: self.experiments.resolved[name] for name in names}
        found: Tree = ordered(settings | {"cores": cores, "gpus": gpus, "engine": self.shared["engine"]})
        return found


def _called(known: Criterion) -> Tree:
    """A criterion's function, and how many images it looks at."""
    return {"function": known.function, "images": known.images}


def dataset_settings(dataset: Mapping[str, Any]) -> Tree:
    """An entry of a config's `datasets`, with the import path of its reader and the form of its images."""
    channels, size, classes = sources.shape(dataset)
    shape = {"channels": channels, "image_size": size, "classes": classes}
    found: Tree = ordered({**dataset, **shape, "reader": f"{sources.source(dataset).module}:read"})
    return found


def score_settings(method: Mapping[str, Any]) -> Tree:
    """A search's score: its function, and that function's settings."""
    known = scores.score(method["score"])
    settings = method[known.settings] if known.settings else {}
    found: Tree = ordered(
        {"additive": known.additive, "function": known.function, "needs": list(known.needs), "settings": settings}
    )
    return found


def zero_cost_functions(predictors: Mapping[str, Any]) -> dict[str, str]:
    """Import paths of the zero-cost predictors of an experiment by their names; none if it compares no predictors."""
    names = predictors["zero_cost"] if predictors["sample"] else ()
    return {name: ZERO_COST[name].function for name in names}


def _titled(captions: Path, figure: str) -> list[str]:
    """A figure's title, and its caption in a folder of them."""
    return [outputs.FIGURES[figure].title, (captions / f"{figure}.rst").read_text().strip()]


def functions(cfg: Mapping[str, Any]) -> tuple[str, ...]:
    """Import paths that a stage's settings tell its script to load: their code is part of the stage's code."""
    found = [cfg[key] for key in ("function", "reader") if cfg.get(key)]
    found += [part["function"] for part in (cfg.get("criterion"), cfg.get("line"), cfg.get("score")) if part]
    found += [score["function"] for score in cfg.get("scores", {}).values()]
    if isinstance(predictors := cfg.get("zero_cost"), Mapping):
        found += predictors.values()
    network = cfg.get("network", {}).get("name", "")
    found += [network] if imports.is_path(network) else []
    return tuple(sorted(set(found)))
