"""Where every file of a run lies, below the pathvar `<results>`."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from sacp.catalogue import sources
from sacp.catalogue.kinds import OWN, TRAIN, WEIGHTS
from sacp.network.spec import is_weights_file
from sacp.plan.experiments import Experiments, Place, Tree, Values, shares_sample
from sacp.training import halving
from sacp.training.halving import HALVINGS

Inputs = dict[str, str | list[str]]
RECORD = "provenance.json"


class Paths:
    """Paths of the files that stages read; wildcards say which experiment, seed and method."""

    def __init__(self, experiments: Experiments) -> None:
        self.experiments = experiments
        self._exports: bool = experiments.resolved["export"]

    def seed_folder(self, place: Place) -> str:
        """What depends on experiment and seed."""
        return f"<results>/{place.experiment}/seed{place.seed}"

    def folder(self, place: Place) -> str:
        """What depends on the method too."""
        return f"{self.seed_folder(place)}/{place.method}"

    def data(self, place: Place) -> str:
        """The prepared data of an experiment."""
        return f"<results>/data/{self.experiments.settings(place)['dataset']}.safetensors"

    def weights(self, place: Place) -> Inputs:
        """The file of weights that a base starts from, if it is a file."""
        initial = self.experiments.settings(place)["network"].get("weights")
        return {"weights": initial} if initial and is_weights_file(initial) else {}

    def dataset_files(self, dataset: Tree) -> list[str]:
        """The files that a prepared data set depends on: none where a library brings them, or there are a million."""
        return sources.files(dataset)

    def shards(self, place: Place) -> list[str]:
        """Shards of the m best by rank; raising m adds shards and renames none but a last one that was cut short.

        With successive halving, those of the last rung, whose candidates are tuned wholly.
        """
        if self.experiments.halves(place):
            return self._rung(place, HALVINGS)
        return self._shards(f"{self.folder(place)}/topm", place, self.experiments.settings(place)["refine"]["top_m"])

    def labelled_shards(self, place: Place) -> list[str]:
        """Shards of the candidates that are tuned before the others are reranked."""
        return self._shards(f"{self.folder(place)}/topm", place, self.experiments.labelled(place))

    def rung(self, place: Place) -> list[str]:
        """Shards of a rung, by rank in the score or in the table of the rung before."""
        return self._rung(place, int(place.rung))

    def _rung(self, place: Place, rung: int) -> list[str]:
        number = halving.numbers(self.experiments.settings(place)["refine"]["top_m"])[rung]
        return self._shards(f"{self.folder(place)}/topm/rung{rung}", place, number)

    def into_rung(self, place: Place) -> Inputs:
        """What a rung starts from: scores, or the better half of the rung before, with its states.

        Which shard holds the state of a candidate is known only in the run: each takes those of all.
        """
        rung = int(place.rung)
        if rung == 0:
            return {"scores": f"{self.folder(place)}/scores.parquet"}
        states = [f"{path.removesuffix('.csv')}.states.zip" for path in self._rung(place, rung - 1)]
        return {"kept": f"{self.folder(place)}/topm/rung{rung - 1}/kept.csv", "states": states}

    def _halves(self, place: Place, name: str) -> list[str]:
        """A table of each rung but the last: its better half, which goes on, or the other."""
        if not self.experiments.halves(place):
            return []
        return [f"{self.folder(place)}/topm/rung{rung}/{name}.csv" for rung in range(HALVINGS)]

    def sample_shards(self, place: Place, drawn: str, number: int, repeat: int) -> list[str]:
        """Shards of the first `number` rows of a set of configurations, in the tuning of number `repeat`."""
        return self._shards(f"{self.seed_folder(place)}/sample/{drawn}/repeat{repeat}", place, number)

    def _shards(self, folder: str, place: Place, number: int) -> list[str]:
        size = self.experiments.settings(place)["refine"]["shard_size"]
        return [f"{folder}/{at:03d}-{min(at + size, number) - 1:03d}.csv" for at in range(0, number, size)]

    def labels(self, place: Place) -> Inputs:
        """The tuned configurations that a regression learns from."""
        number = self.experiments.settings(place)["methods"].get(place.method, {}).get("labels")
        return {"labels": self.sample_shards(place, "training", number, 0)} if number else {}

    def encoder(self, place: Place) -> Inputs:
        """The encoder of a search, if its score is an encoder's."""
        with_encoder = self.experiments.with_encoder(place.experiment)
        return {"encoder": f"{self.folder(place)}/encoder.pt"} if place.method in with_encoder else {}

    def scorer(self, place: Place) -> Inputs:
        """What a search's score is made of beside the base: an encoder, or what was measured."""
        measured = place.method in self.experiments.sensitive(place.experiment)
        return self.encoder(place) | ({"sensitivity": self.sensitivity(place)} if measured else {})

    def sensitivity(self, place: Place) -> str:
        """Sensitivities of the base's groups."""
        return f"{self.seed_folder(place)}/sensitivity.json"

    def first_sensitivity(self, wildcards: Place) -> Inputs:
        """Those of the first seed, where a search of the experiment uses them."""
        place = Values(wildcards.experiment, str(self.experiments.seeds[0]))
        return {"sensitivity": self.sensitivity(place)} if self.experiments.sensitive(place.experiment) else {}

    def candidates(self, place: Place) -> str:
        """The file of a search's candidates, its own or the sample that all share; a tuned method's are its match's."""
        search = self.experiments.search_of(place)
        own = not shares_sample(self.experiments.settings(place)["methods"][search])
        return f"{self.seed_folder(place)}/{search}/configs.h5" if own else f"{self.seed_folder(place)}/configs.h5"

    def ranks(self, place: Place) -> str:
        """The scores by which a shard's candidates are ranked: the search's, or those after reranking."""
        number = self.experiments.labelled(place)
        name = "rescored" if number and int(place.first) >= number else "scores"
        return f"{self.folder(place)}/{name}.parquet"

    def shard_records(self, place: Place) -> list[str]:
        """Records of the shards."""
        return [record_of(path) for path in self.shards(place)]

    def matched(self, place: Place) -> str:
        """The cost of the winner whose FLOPs a method matches."""
        match = self.experiments.method(place)["match"]
        return f"{self.seed_folder(place)}/{match}/winner/cost.json"

    def selection(self, place: Place) -> Inputs:
        """Where kept channels come from: a candidate's from its search's file, a baseline's from its own."""
        if self.experiments.kind(place).is_baseline:
            return {"kept": f"{self.folder(place)}/kept.json"}
        return {"configs": self.candidates(place)}

    def inherited(self, place: Place) -> str:
        """The network whose weights a candidate inherits: the base, or what a baseline's own training has ended in."""
        if self.experiments.method(place).get(WEIGHTS) == OWN:
            return f"{self.folder(place)}/own.pt"
        return f"{self.seed_folder(place)}/base.pt"

    def matched_winner(self, place: Place) -> Inputs:
        """The cost of the winner at whose FLOPs a search looks for candidates, if it matches one."""
        return {"winner": self.matched(place)} if "match" in self.experiments.method(place) else {}

    def first_winner(self, place: Place) -> Inputs:
        """The winner of figure 1's search."""
        method = self.experiments.searches(place.experiment)[0]
        folder = f"<results>/{place.experiment}/seed{self.experiments.seeds[0]}/{method}/winner"
        return {"winner": f"{folder}/metrics.json", "description": f"{folder}/network.json"}

    def selection_inputs(self, place: Place) -> Inputs:
        """What a baseline looks at: the data, if its kind or its criterion does, and the sparsely trained network."""
        wanted, found = self.experiments.kind(place).inputs, Inputs()
        if "data" in wanted or self.experiments.images_seen(place):
            found["data"] = self.data(place)
        if "sparse" in wanted:
            found["sparse"] = f"{self.seed_folder(place)}/sparse.pt"
        return found

    def ranked(self, place: Place) -> list[str]:
        """The tuned candidates of a search and their record. Through these plain inputs a winner waits for both."""
        search = self.experiments.search_of(place)
        stem = f"{self.seed_folder(place)}/{search}/topm"
        return [f"{stem}.csv", f"{stem}.{RECORD}"] if search else []

    def judged(self, place: Place) -> list[str]:
        """Tables of networks that are not ranked: that a baseline has tuned or trained, or that rungs have dropped."""
        if search := self.experiments.search_of(place):
            return self._halves(Values(place.experiment, place.seed, search), "dropped")
        kind = self.experiments.kind(place)
        return [f"{self.folder(place)}/judged.csv"] if kind.tunings or kind.rule == TRAIN else []

    def trained(self, place: Place, candidates: list[int], name: str = "metrics.json") -> list[str]:
        """A file of fully trained candidates."""
        return [f"{self.folder(place)}/topk/{candidate}/{name}" for candidate in candidates]

    def predictors(self, place: Place) -> Inputs:
        """Encoders and tuned networks of the sample, repeat by repeat."""
        settings = self.experiments.settings(place)["predictors"]
        encoders = sorted(self.experiments.encoders(place.experiment))
        tuned = [self.sample_shards(place, "search", settings["sample"], each) for each in range(settings["repeats"])]
        return {
            "encoders": [f"{self.seed_folder(place)}/{name}/encoder.pt" for name in encoders],
            "tuned": [path for shards in tuned for path in shards],
        }

    def table_inputs(self, *kinds: str) -> Inputs:
        """Every base's metrics, and every winner's of these kinds, in the order of experiments, methods and seeds."""
        bases = [f"{self.seed_folder(place)}/base_metrics.json" for place in self.seeds()]
        winners = [f"{self.folder(place)}/winner/metrics.json" for place in self.rows(*kinds)]
        return {"bases": bases, "winners": winners}

    def table3(self) -> Inputs:
        """Inputs of table 3: metrics, and by number the records of what each base and each winner has taken."""
        found = self.table_inputs()
        found |= {
            f"base{number}": [f"{self.seed_folder(here)}/base.{RECORD}"] for number, here in enumerate(self.seeds())
        }
        timed = self.experiments.timed()
        found["latency"] = [self.latency(here) for here in self.seeds() if here.experiment in timed]
        return found | {f"winner{number}": self.spent(here) for number, here in enumerate(self.rows())}

    def latency(self, place: Place) -> str:
        """Times of the base and of all winners of an experiment and seed."""
        return f"{self.seed_folder(place)}/latency.csv"

    def timed(self, place: Place) -> Inputs:
        """What is timed: descriptions and weights of all winners of an experiment and seed."""
        folders = [
            f"{self.seed_folder(place)}/{method}/winner" for method in self.experiments.methods(place.experiment)
        ]
        return {
            "descriptions": [f"{folder}/network.json" for folder in folders],
            "weights": [f"{folder}/network.safetensors" for folder in folders],
        }

    def spent(self, place: Values) -> list[str]:
        """Records of what a method alone has taken: its search or its choice of channels, and its trainings."""
        found, search = [f"{self.folder(place)}/winner/{RECORD}"], self.experiments.search_of(place)
        if search is not None:
            of_search = replace(place, method=search)
            found += [record_of(path) for path in self.scorer(of_search).values() if isinstance(path, str)]
            return [*found, *self._search_records(of_search)]
        found.append(f"{self.folder(place)}/kept.{RECORD}")
        if "sparse" in self.experiments.kind(place).inputs:
            found.append(f"{self.seed_folder(place)}/sparse.{RECORD}")
        return found

    def rows(self, *kinds: str) -> Iterator[Values]:
        """The places of a table's winners of these kinds, in the order of experiments, methods and seeds."""
        for experiment in self.experiments.names:
            for method in self.experiments.methods(experiment, *kinds):
                for seed in self.experiments.seeds:
                    yield Values(experiment=experiment, seed=str(seed), method=method)

    def studied(self) -> list[str]:
        """Raw rows of the predictors of all experiments and seeds that compare them."""
        studied = self.experiments.studied()
        return [f"{self.seed_folder(place)}/predictors.csv" for place in self.seeds() if place.experiment in studied]

    def first_seed(self, name: str) -> str:
        """A pattern: a file of an experiment's first seed."""
        return f"<results>/{{experiment}}/seed{self.experiments.seeds[0]}/{name}"

    def of_methods(self, name: str, methods: Callable[[str], list[str]]) -> Callable[[Place], list[str]]:
        """An input function: a file of each method that `methods` names for an experiment, of the first seed."""

        def inputs(wildcards: Place) -> list[str]:
            folder = f"<results>/{wildcards.experiment}/seed{self.experiments.seeds[0]}"
            return [f"{folder}/{method}/{name}" for method in methods(wildcards.experiment)]

        return inputs

    def encoder_losses(self, wildcards: Place) -> list[str]:
        """Losses of all encoders of searches, method by method, of all seeds."""
        return [
            f"<results>/{wildcards.experiment}/seed{seed}/{method}/encoder_loss.csv"
            for method in self.experiments.with_encoder(wildcards.experiment)
            for seed in self.experiments.seeds
        ]

    def encoder_candidates(self, wildcards: Place) -> list[str]:
        """Files of the candidates of each search with an encoder, of the first seed."""
        place = Values(wildcards.experiment, str(self.experiments.seeds[0]))
        methods = self.experiments.with_encoder(wildcards.experiment)
        return [self.candidates(replace(place, method=method)) for method in methods]

    def figures(self) -> list[str]:
        """All figures, experiment by experiment."""
        return [
            f"<results>/figures/{figure}/{experiment}.png"
            for experiment in self.experiments.drawn()
            for figure in self.experiments.figures(experiment)
        ]

    def tables(self) -> list[str]:
        """All tables."""
        return [f"<results>/tables/{table}.csv" for table in self.experiments.tables()]

    def exports(self) -> list[str]:
        """Winners for other programs, if the run writes them."""
        return [f"{self.folder(place)}/winner/export/network.onnx" for place in self.rows()] if self._exports else []

    def records(self) -> list[str]:
        """Records of all jobs of the run, figures left out; a winner's says what its method's trainings have taken."""
        data = {self.data(place) for place in self.seeds()}
        found = [record_of(path) for path in sorted(data)]
        found += [f"<results>/{experiment}/network.{RECORD}" for experiment in self.experiments.names]
        for place in self.seeds():
            found += self._seed_records(place)
        for place in self.places():
            found += self._method_records(place)
        return list(dict.fromkeys(found))  # two regressions may learn from the same shards

    def records_and_table(self) -> list[str]:
        """Records of all jobs of the run and of table 3, its end: what says how long the run has taken."""
        return [*self.records(), f"<results>/tables/table3.{RECORD}"]

    def places(self) -> Iterator[Values]:
        """Every method of every experiment and seed."""
        for place in self.seeds():
            for method in self.experiments.methods(place.experiment):
                yield replace(place, method=method)

    def seeds(self) -> Iterator[Values]:
        """Every seed of every experiment."""
        for experiment in self.experiments.names:
            for seed in self.experiments.seeds:
                yield Values(experiment=experiment, seed=str(seed))

    def _seed_records(self, place: Values) -> Iterator[str]:
        folder, experiments = self.seed_folder(place), self.experiments
        yield from (f"{folder}/{name}.{RECORD}" for name in ("base", "configs"))
        if experiments.needs(place.experiment, "sparse"):
            yield f"{folder}/sparse.{RECORD}"
        if place.experiment in experiments.timed():
            yield f"{folder}/latency.{RECORD}"
        if experiments.sensitive(place.experiment):
            yield f"{folder}/sensitivity.{RECORD}"
        encoders = experiments.with_encoder(place.experiment)
        if place.experiment in experiments.studied():
            encoders = list(experiments.encoders(place.experiment))
            yield from (f"{folder}/{name}.{RECORD}" for name in ("sample/search/probes", "predictors"))
            yield from map(record_of, self.predictors(place)["tuned"])
        yield from (f"{folder}/{name}/encoder.{RECORD}" for name in encoders)

    def _method_records(self, place: Values) -> Iterator[str]:
        folder = self.folder(place)
        yield from (f"{folder}/{name}" for name in (f"protocol.{RECORD}", f"winner/{RECORD}"))
        if self.experiments.kind(place).is_baseline:
            yield f"{folder}/kept.{RECORD}"
        if place.method in self.experiments.searches(place.experiment):
            yield from self._search_records(place)

    def _search_records(self, place: Values) -> Iterator[str]:
        folder, names = self.folder(place), ["scores", "topm"]
        names += [] if shares_sample(self.experiments.method(place)) else ["configs"]
        names += ["rescored"] if self.experiments.labelled(place) else []
        yield from (f"{folder}/{name}.{RECORD}" for name in names)
        shards = [*self.shards(place), *self.labels(place).get("labels", [])]
        yield from map(record_of, shards)
        for rung, kept in enumerate(self._halves(place, "kept")):
            yield from map(record_of, [*self._rung(place, rung), kept])


def record_of(path: str) -> str:
    """The record of a file that has one of its own name."""
    return f"{path.rpartition('.')[0]}.{RECORD}"
