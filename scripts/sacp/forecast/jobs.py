"""What a run costs: its jobs, and what each takes on the device at hand. A run is forecast from nothing to the end.

Pure functions; the seconds come from `forecast.costs`, what a method needs from the catalogue.
"""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sacp.baselines.colony_size import Colony
from sacp.baselines.metapruning.evolution import POPULATION
from sacp.catalogue import kinds
from sacp.catalogue.outputs import FIGURES, TABLES
from sacp.forecast.schedule import SHARED, Job
from sacp.plan.experiments import Experiments, Values, has_encoder, shares_sample
from sacp.training import halving
from sacp.training.recipe import Recipe

BASE, TUNE, FULL, SAMPLE, SPARSE = "base", "tune", "full", "sample", "sparse"  # recipes of an experiment
# ASSUME: a step of a sample takes what one of the tuning does, whose recipe it has, but for what is set.
MEASURED_AS = {SAMPLE: TUNE, SPARSE: BASE, kinds.SELECTION: BASE}  # by which recipe their steps are measured
WHOLE = 1 << halving.HALVINGS  # steps that stand for those of a tuning, to know the shares of rungs
# Networks that a baseline tunes, by its settings.
STRUCTURES: dict[str, Callable[[Mapping[str, Any]], int]] = {"colony": lambda size: Colony(**size).structures}


@dataclass(frozen=True)
class Speed:
    """Seconds that one process takes for an image, in a training step and in an evaluation."""

    train: float
    evaluate: float


@dataclass(frozen=True)
class Sizes:
    """Numbers of images of an experiment's data."""

    train: int
    validation: int
    test: int
    calibration: int = 0  # before each evaluation of a pruned network


@dataclass(frozen=True)
class Costs:
    """What an experiment's work takes on the device at hand, in seconds; measured, or scaled from a measurement."""

    start: float  # of a job that trains: Python and imports
    search_start: float  # of a job that imports torch-geometric too
    light_start: float  # of a job that ranks, chooses or writes a table
    turnover: float  # from the end of a job's work to the start of the next job: Python's end, Snakemake's share
    prepare: float
    load: float  # of the prepared data, in a training
    first: float  # of a training: parts of torch that load when they are first used
    trace: float
    sample: float
    encoder: Mapping[str, float]  # by search method
    score: Mapping[str, float]
    find: Mapping[str, float]  # by search method that finds candidates of its own
    speeds: Mapping[str, Speed]  # by recipe: base, tune, full; of the candidates that are expected
    low: Mapping[str, Speed]  # the same if all candidates are small
    high: Mapping[str, Speed]  # and if all are large
    predict: float  # of one network by all zero-cost predictors
    sizes: Sizes


def line_at(flops: Sequence[float], seconds: Sequence[float], target: float) -> float:
    """The value at `target` of the line seconds = a + b * FLOPs by least squares; the mean if all FLOPs are one."""
    if len(set(flops)) < 2:
        return float(np.mean(seconds))
    slope, intercept = np.polyfit(np.asarray(flops, float) / target, seconds, 1)
    return float(intercept + slope)


def training_seconds(recipe: Recipe, speed: Speed, sizes: Sizes, processes: int = 1, calibration: int = 0) -> float:
    """Seconds of a training, validations along the way included, shared by `processes`.

    Before each validation `calibration` images are looked at, by every process.
    """
    every = recipe.validate_every
    validations = -(-recipe.epochs // every) if every else 0
    shared = recipe.epochs * sizes.train * speed.train + validations * sizes.validation * speed.evaluate
    return shared / processes + validations * calibration * speed.evaluate


def jobs_of(config: Mapping[str, Any], costs: Mapping[str, Costs]) -> list[Job]:
    """All jobs of a run of the resolved `config` from nothing, each after those that it depends on.

    Args:
        config: `experiments`, `seeds`, `threads`, `threads_base` and `processes` of the resolved config.
        costs: measured costs by experiment.
    """
    first, winners, experiments = next(iter(costs.values())), list[str](), Experiments(config)
    jobs = list[Job]()
    for name in experiments.names:
        cost, dataset = costs[name], f"prepare_data/{experiments.of(name)['dataset']}"
        if all(job.name != dataset for job in jobs):
            jobs.append(Job(dataset, SHARED, cost.start + cost.prepare, turnover=cost.turnover))
        jobs.append(Job(f"trace_network/{name}", name, cost.start + cost.trace, turnover=cost.turnover))
        for seed in config["seeds"]:
            # Two methods may ask for the same job.
            jobs += {job.name: job for job in _Seed(config, name, seed, cost).jobs()}.values()
        methods = experiments.methods(name)
        won = [f"select_winner/{name}/{seed}/{method}" for seed in config["seeds"] for method in methods]
        shown = tuple(won[: len(methods)])  # the first seed's
        for figure in experiments.figures(name) if name in experiments.drawn() else ():
            start = cost.search_start if FIGURES[figure].scores else cost.light_start
            jobs.append(Job(f"draw_{figure}/{name}", name, start, after=shown, turnover=cost.turnover))
        winners += won
    collected = [job.name for job in jobs if job.rule == "collect_predictors"]
    for name in experiments.tables():
        # ASSUME: the bootstrap takes no longer than another table.
        after = collected if TABLES[name].needs_sample else winners
        jobs.append(_shared(f"make_{name}", first, *(after if TABLES[name].measured else ())))
    return [*jobs, _shared("make_summary", first, *(job.name for job in jobs))]


def _turn(method: Mapping[str, Any]) -> tuple[bool, bool]:
    """Searches come first, of them those that match no other."""
    return method["kind"] != kinds.SEARCH, "match" in method


def _shared(rule: str, cost: Costs, *after: str) -> Job:
    return Job(rule, SHARED, cost.light_start, after=after, turnover=cost.turnover)


def range_of(config: Mapping[str, Any], costs: Mapping[str, Costs]) -> tuple[list[Job], list[Job]]:
    """All jobs of a run, as `jobs_of`, if its candidates are small and if they are large: which is not known."""
    low = {name: replace(cost, speeds=cost.low) for name, cost in costs.items()}
    high = {name: replace(cost, speeds=cost.high) for name, cost in costs.items()}
    return jobs_of(config, low), jobs_of(config, high)


def _names(jobs: Sequence[Job]) -> tuple[str, ...]:
    return tuple(job.name for job in jobs)


class _Seed:
    """The jobs of one experiment and one seed."""

    def __init__(self, config: Mapping[str, Any], name: str, seed: int, cost: Costs) -> None:
        self.config, self.name, self.cost = config, name, cost
        self.experiment = config["experiments"][name]
        self.path, self.data = f"{name}/{seed}", f"prepare_data/{self.experiment['dataset']}"
        self.processes: int = config["processes"]
        self.plan = Experiments(config)

    def jobs(self) -> Iterator[Job]:
        """Yield all of them, each after those that it depends on."""
        cost, threads = self.cost, self.config["threads_base"]
        cores, methods = max(threads, self.processes), self.experiment["methods"]
        yield self._job("train_base", self._training(BASE), cores, self.processes, (self.data,))
        yield self._job("sample_configs", cost.light_start + cost.sample, threads, 0, (f"trace_network/{self.name}",))
        if self.plan.needs(self.name, "sparse"):
            # ASSUME: the penalty on the scales adds no time to a step of the base's training.
            after = (self.data, *self._named("train_base"))
            yield self._job("train_sparse", self._training(SPARSE), cores, self.processes, after)
        if self.plan.sensitive(self.name):
            settings = self.experiment["sensitivity"]
            # ASSUME: a gradient takes twice as long as the pass before it.
            passes = settings["images"] * (1 + 2 * settings["draws"]) * cost.speeds[BASE].evaluate
            after = (self.data, *self._named("train_base"), f"trace_network/{self.name}")
            seconds = cost.start + cost.load + cost.first + passes
            yield self._job("measure_sensitivity", seconds, self.config["threads"], 1, after)
        for method in sorted(methods, key=lambda name: _turn(methods[name])):
            yield self._job(f"write_protocol/{method}", cost.light_start)
            if kinds.of(methods[method]).is_baseline:
                yield from self._baseline(method)
            else:
                yield from self._search(method) if methods[method]["kind"] == kinds.SEARCH else self._tuned(method)
        yield from self._predictors()

    def _search(self, method: str) -> Iterator[Job]:
        refine, ranked = self.experiment["refine"], f"rank_tuned/{method}"
        scored = list(self._scoring(method))
        yield from scored
        if self.plan.halves(Values(self.name)):
            shards = yield from self._rungs(method, (scored[-1].name,))
        else:
            shards = yield from self._at_once(method, (scored[-1].name,))
        yield self._job(ranked, self.cost.light_start, after=_names(shards))
        trained = [f"train_candidate/{method}/{number}" for number in range(refine["top_k"])]
        for candidate in trained:
            yield self._full(candidate, ranked)
        yield self._job(f"select_winner/{method}", self.cost.light_start, after=self._named(*trained))

    def _at_once(self, method: str, after: tuple[str, ...]) -> Generator[Job, None, list[Job]]:
        """Jobs that tune the m wholly, reranking among them; returns those that tune."""
        refine = self.experiment["refine"]
        shards = list(self._shards(f"tune_shard/{method}", refine["top_m"], after))
        if number := self.plan.labelled(Values(self.name, method=method)):
            known = number // refine["shard_size"]  # whole shards
            learned = f"rescore_candidates/{method}"
            # ASSUME: reranking takes as long as scoring.
            taught = _names(shards[:known])
            yield self._job(learned, self.cost.start + self.cost.score[method], after=taught)
            shards[known:] = [replace(job, after=self._named(learned)) for job in shards[known:]]
        yield from shards
        return shards

    def _rungs(self, method: str, after: tuple[str, ...]) -> Generator[Job, None, list[Job]]:
        """Jobs of successive halving; returns those that tune in the last rung."""
        shards, done = list[Job](), 0.0
        for rung, number in enumerate(halving.numbers(self.experiment["refine"]["top_m"])):
            until = halving.steps_until(rung, WHOLE) / WHOLE
            # ASSUME: validations along the way lie evenly, and states take no time to write and to read.
            shards = list(self._shards(f"tune_rung/{method}/{rung}", number, after, share=until - done))
            yield from shards
            if rung < halving.HALVINGS:
                ranked = self._job(f"rank_rung/{method}/{rung}", self.cost.light_start, after=_names(shards))
                yield ranked
                after, done = (ranked.name,), until
        return shards

    def _scoring(self, method: str) -> Iterator[Job]:
        """Jobs of a search until its candidates are scored."""
        cost, threads, settings = self.cost, self.config["threads_base"], self.experiment["methods"][method]
        start = cost.search_start if has_encoder(settings) else cost.start
        first = self._named("train_base", "sample_configs")
        won = self._named(f"select_winner/{settings['match']}") if "match" in settings else ()
        if method in self.plan.sensitive(self.name):
            first = (*first, *self._named("measure_sensitivity"))
        if labels := settings.get("labels"):
            sample = list(self._shards("tune_sample/training/0", labels, first, SAMPLE))
            yield from sample
            first = _names(sample)
        if has_encoder(settings):
            yield self._job(f"train_encoder/{method}", start + cost.encoder[method], threads, 0, first)
            first = self._named(f"train_encoder/{method}")
        if not shares_sample(settings):
            yield self._job(f"find_configs/{method}", start + cost.find[method], threads, 0, (*first, *won))
            first = self._named(f"find_configs/{method}")
        yield self._job(f"score_candidates/{method}", start + cost.score[method], threads, 0, (*first, *won))

    def _predictors(self) -> Iterator[Job]:
        settings = self.experiment["predictors"]
        if not settings["sample"]:
            return
        cost, threads, first = self.cost, self.config["threads_base"], self._named("train_base", "sample_configs")
        made = list[Job]()
        for repeat in range(settings["repeats"]):
            made += self._shards(f"tune_sample/search/{repeat}", settings["sample"], first, SAMPLE)
        # ASSUME: an encoder that is only compared takes what those of the searches take.
        own = self.plan.with_encoder(self.name)
        training = float(np.mean([cost.encoder[name] for name in own])) if own else 0.0
        for name, encoder in settings["encoders"].items():
            seconds = cost.search_start + (training if encoder["epochs"] else 0.0)
            made.append(self._job(f"train_encoder/{name}", seconds, threads, 0, first))
        images = 2 * cost.sizes.validation + cost.sizes.calibration
        looks = settings["sample"] * (cost.speeds[TUNE].evaluate * images + cost.predict)
        seconds = cost.start + cost.load + cost.first + looks
        made.append(self._job("probe_sample", seconds, self.config["threads"], 1, first))
        yield from made
        after = (*(job.name for job in made), *self._named(*(f"train_encoder/{name}" for name in own)))
        yield self._job("collect_predictors", cost.search_start, after=after)

    def _shards(
        self, rule: str, number: int, after: tuple[str, ...], recipe: str = TUNE, share: float = 1.0
    ) -> Iterator[Job]:
        """Jobs that tune so many candidates, for a share of the steps of a tuning."""
        size = self.experiment["refine"]["shard_size"]
        for first in range(0, number, size):
            seconds = self._tunings(min(size, number - first), recipe, share)
            yield self._job(f"{rule}/{first}", seconds, self.config["threads"], 1, after)

    def _tuned(self, method: str) -> Iterator[Job]:
        trained, match = f"train_candidate/{method}", self.experiment["methods"][method]["match"]
        yield self._full(trained, f"rank_tuned/{match}", TUNE)
        yield self._job(f"select_winner/{method}", self.cost.light_start, after=self._named(trained))

    def _baseline(self, method: str) -> Iterator[Job]:
        settings = self.experiment["methods"][method]
        kind, kept = kinds.of(settings), f"{kinds.of(settings).rule}/{method}"
        after = self._named(f"select_winner/{settings['match']}")
        after += self._named("train_sparse") if "sparse" in kind.inputs else ()
        if kind.tunings:
            seconds = self._tunings(STRUCTURES[kind.tunings](self.experiment[kind.tunings]))
            yield self._job(kept, seconds, self.config["threads"], 1, after)
        elif kinds.SELECTION in kind.settings:
            # ASSUME: what a baseline adds to a step of the base's training takes as long as the epochs that it spares
            # where its channels are chosen before the end.
            seconds = self._training(kinds.SELECTION, 1) + self._generations(settings.get(kind.options or "", {}))
            yield self._job(kept, seconds, self.config["threads"], 1, after)
        elif "episodes" in settings.get(kind.options or "", {}):
            seconds = self._evaluations(settings[kind.options])
            yield self._job(kept, seconds, self.config["threads"], 1, after)
        else:
            # ASSUME: criteria that look at images take no longer than the others.
            yield self._job(kept, self.cost.start, after=after)
        times = self.plan.trainings(Values(self.name, method=method))
        trained = [f"train_candidate/{method}/{number}" for number in range(times)]
        for each in trained:
            yield self._full(each, kept)
        yield self._job(f"select_winner/{method}", self.cost.light_start, after=self._named(*trained))

    def _full(self, name: str, after: str, recipe: str = FULL) -> Job:
        cores = self.config["threads"] * self.processes
        return self._job(name, self._training(recipe), cores, self.processes, self._named(after))

    def _tunings(self, number: int, recipe: str = TUNE, share: float = 1.0) -> float:
        """Seconds of a job that tunes so many networks one after the other, each for a share of its steps."""
        cost, speed = self.cost, self.cost.speeds[TUNE]
        sizes = cost.sizes
        one = share * training_seconds(self._recipe(recipe), speed, sizes, 1, sizes.calibration)
        # ASSUME: calibrating takes as long as evaluating.
        one += speed.evaluate * (sizes.validation + sizes.calibration)
        return cost.start + cost.load + cost.first + number * one

    def _evaluations(self, options: Mapping[str, Any]) -> float:
        """Seconds of a job that evaluates networks untrained, one in each episode."""
        # ASSUME: an agent takes no time; calibrating, or fitting by least squares, takes as long as evaluating.
        cost, images = self.cost, min(options["images"], self.cost.sizes.validation) + self.cost.sizes.calibration
        seconds: float = options["episodes"] * images * cost.speeds[TUNE].evaluate
        return cost.start + cost.load + cost.first + seconds

    def _generations(self, options: Mapping[str, Any]) -> float:
        """Seconds in which a baseline evaluates the generations of an evolution, if it has one."""
        images = self.cost.sizes.validation + self.cost.sizes.calibration
        seconds: float = options.get("generations", 0) * POPULATION * images * self.cost.speeds[TUNE].evaluate
        return seconds

    def _training(self, recipe: str, processes: int | None = None) -> float:
        """Seconds of a training of the base or of a full one: start, data, steps, validation and test."""
        cost, speed, sizes = self.cost, self.cost.speeds[MEASURED_AS.get(recipe, recipe)], self.cost.sizes
        processes = processes or self.processes
        calibration = 0 if recipe in (BASE, SPARSE) else sizes.calibration
        steps = training_seconds(self._recipe(recipe), speed, sizes, processes, calibration)
        looks = speed.evaluate * ((sizes.validation + sizes.test) / processes + calibration)
        return cost.start + cost.load + cost.first + steps + looks

    def _recipe(self, recipe: str) -> Recipe:
        return Recipe(**self.experiment[recipe])

    def _named(self, *rules: str) -> tuple[str, ...]:
        """Names of this seed's jobs: the rule, then experiment and seed, then what else tells them apart."""
        parts = (rule.partition("/") for rule in rules)
        return tuple("/".join(filter(None, (rule, self.path, rest))) for rule, _, rest in parts)

    def _job(self, rule: str, seconds: float, cores: int = 1, gpus: int = 0, after: tuple[str, ...] = ()) -> Job:
        return Job(self._named(rule)[0], self.name, seconds, cores, gpus, after, self.cost.turnover)
