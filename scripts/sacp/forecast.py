"""What a run costs: its jobs, what each takes on the device at hand, and the wall time of all of them on some cores.

Pure functions; the seconds come from `sacp.measure`. A run is forecast from nothing to the last table.
"""

import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from sacp.colony import Colony
from sacp.problem import ENCODER, FIGURES, OF_ENCODERS, labelled
from sacp.problem import SAMPLE as SAMPLE_SEARCH
from sacp.training import Recipe

BASE, TUNE, FULL, SAMPLE, SPARSE = "base", "tune", "full", "sample", "sparse"  # recipes of an experiment
MEASURED_AS = {SAMPLE: TUNE, SPARSE: BASE}  # by which recipe their steps are measured
SEARCHES, BASELINES, REST = "train_candidate_search", "train_candidate_baseline", "rest"
STAGES = (
    "prepare_data", "train_base", "sample_configs", "tune_sample", "train_encoder", "find_configs", "score_candidates",
    "tune_shard",
    SEARCHES, "train_sparse", "search_colony", BASELINES, REST,
)  # fmt: skip
SHARED, START, TOTAL = "all", "snakemake_start", "total"  # jobs of no single experiment; the two rows that are none
COLUMNS = (
    "experiment", "stage", "jobs", "seconds_per_job", "devices_per_job", "device_hours", "wall_seconds",
    "wall_seconds_low", "wall_seconds_high",
)  # fmt: skip


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


@dataclass(frozen=True)
class Costs:
    """What an experiment's work takes on the device at hand, in seconds; measured, or scaled from a measurement."""

    start: float  # of a job: Python and imports
    search_start: float  # of a job that imports torch-geometric too
    turnover: float  # from the end of a job's work to the start of the next job: Python's end, Snakemake's share
    prepare: float
    load: float  # of the prepared data, in a training
    first: float  # of a training: what parts of torch take that load when they are first used
    trace: float
    sample: float
    encoder: Mapping[str, float]  # by search method
    score: Mapping[str, float]
    find: Mapping[str, float]  # by search method that finds candidates of its own
    speeds: Mapping[str, Speed]  # by recipe: base, tune, full; of the candidates that are expected
    low: Mapping[str, Speed]  # the same if all candidates are small
    high: Mapping[str, Speed]  # and if all are large
    sizes: Sizes


@dataclass(frozen=True)
class Job:
    """One job of the run; it starts when the jobs named in `after` are done and its cores and GPUs are free."""

    name: str
    stage: str
    experiment: str
    seconds: float
    cores: int = 1
    gpus: int = 0
    after: tuple[str, ...] = ()
    turnover: float = 0.0  # seconds that its cores and GPUs are taken after its work


@dataclass(frozen=True)
class Limits:
    """What Snakemake was given; `math.inf` where nothing limits it."""

    cores: float
    gpus: float


def line_at(flops: Sequence[float], seconds: Sequence[float], target: float) -> float:
    """The value at `target` of the line seconds = a + b * FLOPs by least squares; the mean if all FLOPs are one."""
    if len(set(flops)) < 2:
        return float(np.mean(seconds))
    slope, intercept = np.polyfit(np.asarray(flops, float) / target, seconds, 1)
    return float(intercept + slope)


def training_seconds(recipe: Recipe, speed: Speed, sizes: Sizes, processes: int = 1) -> float:
    """Seconds of a training, validations along the way included, shared by `processes`."""
    every = recipe.validate_every
    validations = -(-recipe.epochs // every) if every else 0
    steps, looks = recipe.epochs * sizes.train * speed.train, validations * sizes.validation * speed.evaluate
    return (steps + looks) / processes


def jobs_of(config: Mapping[str, Any], costs: Mapping[str, Costs]) -> list[Job]:
    """All jobs of a run of the resolved `config` from nothing, each after those that it depends on.

    Args:
        config: `experiments`, `seeds`, `threads`, `threads_base` and `processes` of the resolved config.
        costs: measured costs by experiment.
    """
    first, winners = next(iter(costs.values())), list[str]()
    jobs = [Job("make_table1", REST, SHARED, first.start, turnover=first.turnover)]
    for name, experiment in config["experiments"].items():
        cost, dataset = costs[name], f"prepare_data/{experiment['dataset']}"
        if all(job.name != dataset for job in jobs):
            jobs.append(Job(dataset, "prepare_data", SHARED, cost.start + cost.prepare, turnover=cost.turnover))
        jobs.append(Job(f"trace_network/{name}", REST, name, cost.start + cost.trace, turnover=cost.turnover))
        for seed in config["seeds"]:
            # Two methods may ask for the same job.
            jobs += {job.name: job for job in _Seed(config, name, seed, cost).jobs()}.values()
        won = [f"select_winner/{name}/{seed}/{method}" for seed in config["seeds"] for method in experiment["methods"]]
        shown = tuple(won[: len(experiment["methods"])])  # the first seed's
        has_encoder = any(method.get("score") == ENCODER for method in experiment["methods"].values())
        for figure in FIGURES:
            if figure in OF_ENCODERS and not has_encoder:
                continue
            jobs.append(Job(f"draw_{figure}/{name}", REST, name, cost.start, 1, 0, shown, cost.turnover))
        winners += won
    jobs += [
        Job(rule, REST, SHARED, first.start, 1, 0, tuple(winners), first.turnover)
        for rule in ("make_table3", "make_table4")
    ]
    collected = tuple(job.name for job in jobs if job.name.startswith("collect_predictors/"))
    if collected:
        # ASSUME: the bootstrap takes no longer than another table.
        jobs.append(Job("make_predictors", REST, SHARED, first.start, 1, 0, collected, first.turnover))
    jobs.append(Job("make_summary", REST, SHARED, first.start, 1, 0, tuple(job.name for job in jobs), first.turnover))
    return jobs


def range_of(config: Mapping[str, Any], costs: Mapping[str, Costs]) -> tuple[list[Job], list[Job]]:
    """All jobs of a run, as `jobs_of`, if its candidates are small and if they are large: nothing tells which."""
    low = {name: replace(cost, speeds=cost.low) for name, cost in costs.items()}
    high = {name: replace(cost, speeds=cost.high) for name, cost in costs.items()}
    return jobs_of(config, low), jobs_of(config, high)


class _Seed:
    """The jobs of one experiment and one seed."""

    def __init__(self, config: Mapping[str, Any], name: str, seed: int, cost: Costs) -> None:
        self.config, self.name, self.cost = config, name, cost
        self.experiment = config["experiments"][name]
        self.path, self.data = f"{name}/{seed}", f"prepare_data/{self.experiment['dataset']}"
        self.processes: int = config["processes"]

    def jobs(self) -> Iterator[Job]:
        """Yield all of them, each after those that it depends on."""
        cost, threads = self.cost, self.config["threads_base"]
        seconds = self._training(BASE)
        cores = max(threads, self.processes)
        yield self._job("train_base", "train_base", seconds, cores, self.processes, (self.data,))
        traced = (f"trace_network/{self.name}",)
        yield self._job("sample_configs", "sample_configs", cost.start + cost.sample, threads, 0, traced)
        methods = self.experiment["methods"]
        if any(method["kind"] == "slimming" for method in methods.values()):
            # ASSUME: the penalty on the scales takes no time beside a step of the base's training.
            seconds = self._training(SPARSE)
            base = self._named("train_base")
            yield self._job("train_sparse", "train_sparse", seconds, cores, self.processes, (self.data, *base))
        for method in sorted(methods, key=lambda method: methods[method]["kind"] != "search"):
            yield self._job(f"write_protocol/{method}", REST, cost.start)
            kinds = {"search": self._search, "tuned": self._tuned}
            yield from kinds.get(methods[method]["kind"], self._baseline)(method)
        yield from self._predictors()

    def _search(self, method: str) -> Iterator[Job]:
        cost, threads, refine = self.cost, self.config["threads_base"], self.experiment["refine"]
        encoder, scores, ranked = (f"{rule}/{method}" for rule in ("train_encoder", "score_candidates", "rank_tuned"))
        first = self._named("train_base", "sample_configs")
        if labels := self.experiment["methods"][method].get("labels"):
            sample = list(self._shards("tune_sample/training/0", "tune_sample", labels, first, SAMPLE))
            yield from sample
            first = tuple(job.name for job in sample)
        if self.experiment["methods"][method]["score"] == ENCODER:
            yield self._job(encoder, "train_encoder", cost.search_start + cost.encoder[method], threads, 0, first)
            first = self._named(encoder)
        if self.experiment["methods"][method]["search"] != SAMPLE_SEARCH:
            find = f"find_configs/{method}"
            yield self._job(find, "find_configs", cost.search_start + cost.find[method], threads, 0, first)
            first = self._named(find)
        yield self._job(scores, "score_candidates", cost.search_start + cost.score[method], threads, 0, first)
        shards = list(self._shards(f"tune_shard/{method}", "tune_shard", refine["top_m"], self._named(scores)))
        if number := labelled(self.experiment["methods"][method], refine):
            known = number // refine["shard_size"]  # whole shards
            learned = f"rescore_candidates/{method}"
            # ASSUME: ranking anew takes as long as scoring.
            seconds, taught = cost.start + cost.score[method], tuple(job.name for job in shards[:known])
            yield self._job(learned, "score_candidates", seconds, after=taught)
            later = [replace(job, after=self._named(learned)) for job in shards[known:]]
            shards = [*shards[:known], *later]
        yield from shards
        yield self._job(ranked, REST, cost.start, after=tuple(job.name for job in shards))
        trained = [f"train_candidate/{method}/{number}" for number in range(refine["top_k"])]
        for candidate in trained:
            yield self._full(candidate, SEARCHES, ranked)
        yield self._job(f"select_winner/{method}", REST, cost.start, after=self._named(*trained))

    def _predictors(self) -> Iterator[Job]:
        settings = self.experiment["predictors"]
        if not settings["sample"]:
            return
        cost, first = self.cost, self._named("train_base", "sample_configs")
        made = list[Job]()
        for repeat in range(settings["repeats"]):
            rule = f"tune_sample/search/{repeat}"
            made += self._shards(rule, "tune_sample", settings["sample"], first, SAMPLE)
        # ASSUME: an encoder that is only compared takes what those of the searches take.
        own = [name for name, method in self.experiment["methods"].items() if method.get("score") == ENCODER]
        encoder = cost.search_start + float(np.mean([cost.encoder[name] for name in own])) if own else cost.search_start
        for name in settings["encoders"]:
            seconds = encoder if settings["encoders"][name]["epochs"] else cost.search_start
            made.append(
                self._job(f"train_encoder/{name}", "train_encoder", seconds, self.config["threads_base"], 0, first)
            )
        looks = 2 * settings["sample"] * cost.speeds[TUNE].evaluate * cost.sizes.validation
        made.append(
            self._job(
                "probe_sample", REST, cost.start + cost.load + cost.first + looks, self.config["threads"], 1, first
            )
        )
        yield from made
        encoders = self._named(*(f"train_encoder/{name}" for name in own))
        after = (*(job.name for job in made), *encoders)
        yield self._job("collect_predictors", REST, cost.search_start, after=after)

    def _shards(self, rule: str, stage: str, number: int, after: tuple[str, ...], recipe: str = TUNE) -> Iterator[Job]:
        """Jobs that tune so many candidates."""
        size = self.experiment["refine"]["shard_size"]
        for first in range(0, number, size):
            seconds = self._tunings(min(size, number - first), recipe)
            yield self._job(f"{rule}/{first}", stage, seconds, self.config["threads"], 1, after)

    def _tuned(self, method: str) -> Iterator[Job]:
        trained, match = f"train_candidate/{method}", self.experiment["methods"][method]["match"]
        yield self._full(trained, SEARCHES, f"rank_tuned/{match}", TUNE)
        yield self._job(f"select_winner/{method}", REST, self.cost.start, after=self._named(trained))

    def _baseline(self, method: str) -> Iterator[Job]:
        settings = self.experiment["methods"][method]
        after = self._named(f"select_winner/{settings['match']}")
        if settings["kind"] == "colony":
            kept = f"search_colony/{method}"
            seconds = self._tunings(Colony(**self.experiment["colony"]).structures)
            yield self._job(kept, "search_colony", seconds, self.config["threads"], 1, after)
        else:
            kept = f"select_baseline/{method}"
            after += self._named("train_sparse") if settings["kind"] == "slimming" else ()
            # ASSUME: criteria that look at images take no longer than the others.
            yield self._job(kept, REST, self.cost.start, after=after)
        yield self._full(f"train_candidate/{method}", BASELINES, kept)
        after = self._named(f"train_candidate/{method}")
        yield self._job(f"select_winner/{method}", REST, self.cost.start, after=after)

    def _full(self, name: str, stage: str, after: str, recipe: str = FULL) -> Job:
        cores = self.config["threads"] * self.processes
        return self._job(name, stage, self._training(recipe), cores, self.processes, self._named(after))

    def _tunings(self, number: int, recipe: str = TUNE) -> float:
        """Seconds of a job that tunes so many networks one after the other."""
        cost, speed = self.cost, self.cost.speeds[TUNE]
        one = training_seconds(self._recipe(recipe), speed, cost.sizes) + speed.evaluate * cost.sizes.validation
        return cost.start + cost.load + cost.first + number * one

    def _training(self, recipe: str) -> float:
        """Seconds of a base, sparse or full training: start, data, steps, validation and test."""
        cost, speed, sizes = self.cost, self.cost.speeds[MEASURED_AS.get(recipe, recipe)], self.cost.sizes
        steps = training_seconds(self._recipe(recipe), speed, sizes, self.processes)
        looks = speed.evaluate * (sizes.validation + sizes.test) / self.processes
        return cost.start + cost.load + cost.first + steps + looks

    def _recipe(self, recipe: str) -> Recipe:
        return Recipe(**self.experiment[recipe])

    def _named(self, *rules: str) -> tuple[str, ...]:
        """Names of this seed's jobs: the rule, then experiment and seed, then what else tells them apart."""
        parts = (rule.partition("/") for rule in rules)
        return tuple("/".join(filter(None, (rule, self.path, rest))) for rule, _, rest in parts)

    def _job(
        self, rule: str, stage: str, seconds: float, cores: int = 1, gpus: int = 0, after: tuple[str, ...] = ()
    ) -> Job:
        return Job(self._named(rule)[0], stage, self.name, seconds, cores, gpus, after, self.cost.turnover)


def wall_seconds(jobs: Sequence[Job], limits: Limits) -> float:
    """Wall time of `jobs`: at every moment each one that can start starts, in their order.

    A job that asks for more than there is gets what there is, as Snakemake does it.
    """
    waiting, done, now = list(jobs), set[str](), 0.0
    running: list[tuple[float, int]] = []  # end, number of the job
    cores, gpus = limits.cores, limits.gpus
    numbers = {job.name: number for number, job in enumerate(jobs)}
    while waiting or running:
        for job in tuple(waiting):
            need = min(job.cores, limits.cores), min(job.gpus, limits.gpus)
            if need[0] <= cores and need[1] <= gpus and done.issuperset(job.after):
                cores, gpus = cores - need[0], gpus - need[1]
                heapq.heappush(running, (now + job.seconds + job.turnover, numbers[job.name]))
                waiting.remove(job)
        now, number = heapq.heappop(running)
        job = jobs[number]
        cores, gpus = cores + min(job.cores, limits.cores), gpus + min(job.gpus, limits.gpus)
        done.add(job.name)
    return now


def devices(job: Job, limits: Limits, on_gpu: bool) -> float:
    """Devices that a job takes: GPUs where networks are trained on GPUs, CPU cores elsewhere."""
    return min(job.gpus, limits.gpus) if on_gpu else min(job.cores, limits.cores)


def table(
    jobs: Sequence[Job], bounds: tuple[Sequence[Job], Sequence[Job]], start_seconds: float, limits: Limits, on_gpu: bool
) -> list[dict[str, Any]]:
    """Rows of `COLUMNS`: one per experiment and stage, one for Snakemake's own start, and the total.

    Args:
        jobs: of the run as it is expected.
        bounds: the same jobs with small and with large candidates, for the range of the total's wall time.
        start_seconds: what Snakemake takes before the first job.
        limits: cores and GPUs that it was given.
        on_gpu: whether networks are trained on GPUs.
    """
    rows = []
    for experiment in dict.fromkeys(job.experiment for job in jobs):
        for stage in STAGES:
            here = [job for job in jobs if (job.experiment, job.stage) == (experiment, stage)]
            if here:
                rows.append({"experiment": experiment, "stage": stage, **_summary(here, limits, on_gpu)})
    wall, low, high = (round(start_seconds + wall_seconds(each, limits), 1) for each in (jobs, *bounds))
    start = {"experiment": SHARED, "stage": START, "seconds_per_job": round(start_seconds, 3)}
    total = {"experiment": SHARED, "stage": TOTAL, "jobs": len(jobs), "wall_seconds": wall}
    total |= {"wall_seconds_low": low, "wall_seconds_high": high}
    hours = sum(job.seconds * devices(job, limits, on_gpu) for job in jobs) / 3600
    return [*rows, start, total | {"device_hours": round(hours, 6)}]


def _summary(jobs: Sequence[Job], limits: Limits, on_gpu: bool) -> dict[str, Any]:
    taken = [devices(job, limits, on_gpu) for job in jobs]
    return {
        "jobs": len(jobs),
        "seconds_per_job": round(sum(job.seconds for job in jobs) / len(jobs), 3),
        "devices_per_job": sum(taken) / len(jobs),
        "device_hours": round(sum(job.seconds * number for job, number in zip(jobs, taken, strict=True)) / 3600, 6),
    }


def as_text(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """A table for the log, empty cells where there is no value."""
    return "\n" + pd.DataFrame(list(rows), columns=list(columns)).astype(object).fillna("").to_string(index=False)
