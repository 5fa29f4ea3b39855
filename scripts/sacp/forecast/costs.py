"""What the work of a run takes on the device at hand: short measurements, scaled to the whole by `forecast.jobs`."""

import json
import logging
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sacp import imports
from sacp.artefacts.tensors import save_safetensors
from sacp.catalogue import sources
from sacp.catalogue.kinds import SEARCH
from sacp.compute.resume import Sidecar
from sacp.errors import InputError
from sacp.forecast.jobs import BASE, FULL, TUNE, Costs, Sizes, Speed, line_at
from sacp.forecast.processes import Answer, Idle, side_by_side
from sacp.forecast.schedule import Limits
from sacp.forecast.snakemake_overhead import overhead
from sacp.images.sources import prepare
from sacp.images.splits import validation_size
from sacp.network.architectures import build
from sacp.network.constraints import Constraints
from sacp.network.cost import Budget, cost_of_graph, costs_of_counts
from sacp.network.graph import Graph
from sacp.network.spec import NetworkSpec
from sacp.plan.experiments import constraints, network_settings, search_settings
from sacp.plan.preflight import training_images
from sacp.plan.stages import dataset_settings, score_settings, zero_cost_functions
from sacp.pruning.space import Space, kept_counts
from sacp.search.matching import matched
from sacp.tracing.trace import trace

log = logging.getLogger(__name__)
STEP_SECONDS = 7.0  # that training steps are measured for a recipe, over all its networks
BUSY = 0.75  # share of the cores that others may use before the log warns
DRAWS = 2000  # configurations that stand for the candidates
# Of their FLOPs: the pruned networks that are measured. At equal FLOPs, times differ with where the channels are.
MEASURED_QUANTILES = (0.1, 0.25, 0.4, 0.5, 0.6, 0.75, 0.9)
# ASSUME: candidates that are tuned cost what the median of the space costs, those that are trained fully what its upper
# quartile costs, since larger networks are ahead after a light tuning. What an encoder picks is not known before it is
# trained, and can lie at either end of the space: hence a range, from the smallest to the largest configuration drawn.
QUANTILES = {TUNE: 0.5, FULL: 0.75}
LOW, HIGH = {TUNE: 0.0, FULL: 0.0}, {TUNE: 1.0, FULL: 1.0}
PACE = ("epochs", "lr", "warmup_epochs", "validate_every")  # of a recipe: they do not change what one step takes


def costs_of(config: Mapping[str, Any], limits: Limits, sidecar: Sidecar) -> tuple[dict[str, Costs], float]:
    """Measure all experiments of a resolved config: their costs by name, and the seconds of Snakemake's own start.

    What was measured is kept in `sidecar`, and not measured again by a process that goes on after another was killed.
    """
    busy = os.getloadavg()[0]
    if busy > BUSY * (os.cpu_count() or 1):
        log.warning("%.1f processes are at work on this machine already; all will be slower for it", busy)
    snakemake, measured = overhead(), Measurements(config, limits, sidecar)
    log.info("snakemake takes %.2f s to start and %.2f s a job", snakemake.start, snakemake.job)
    costs = {name: _costs_of(measured, name, snakemake.job) for name in config["experiments"]}
    # The Snakefile imports the library and traces every network before the first job.
    start = snakemake.start + measured.least.imports + measured.least.end + sum(cost.trace for cost in costs.values())
    return costs, start


@dataclass
class Measurements:
    """Runs the processes that measure, as many side by side as jobs will run; what was measured once is reused."""

    config: Mapping[str, Any]
    limits: Limits
    sidecar: Sidecar = field(default_factory=Sidecar)
    idle: list[Idle] = field(default_factory=list)  # of scripts that train

    def trainings(self, recipe: str, name: str, counts: list[Any], path: Path) -> list[Answer]:
        """Answers of `forecast.measure_training` for networks with these kept counts by a recipe of an experiment."""
        experiment, processes = self.config["experiments"][name], 1 if recipe == TUNE else self.config["processes"]
        threads = self.config["threads"]
        if recipe == BASE:
            threads = max(1, max(self.config["threads_base"], processes) // processes)
        # ASSUME: communication between the processes of one training takes no time.
        settings = {**experiment[recipe], "batch_size": max(2, experiment[recipe]["batch_size"] // processes)}
        request = {
            "network": network_settings(experiment, self.config["datasets"]), "counts": counts,
            "recipe": settings | {key: 0 for key in PACE}, "data": str(path), "validation": experiment["validation"],
            "device": self.config["device"], "engine": self.config["engine"], "threads": threads,
            "seconds": STEP_SECONDS / len(counts), "constraints": constraints(experiment),
            "zero_cost": zero_cost_functions(experiment["predictors"]) if recipe == TUNE else {},
        }  # fmt: skip
        number = processes * self._at_once(self._jobs(recipe), threads * processes, processes)
        what = f"{recipe}, {number} at a time"
        idle, answers = self._once(name, what, "sacp.forecast.measure_training", request, number)
        self.idle.append(idle)
        return answers

    def search(self, name: str, method: str, flops: int) -> tuple[Idle, Answer]:
        """Start and end, and the answer of `forecast.measure_search` for a search method.

        A winner that it matches is not known before the run; networks of so many FLOPs stand for it.
        """
        experiment = self.config["experiments"][name]
        settings, network = experiment["methods"][method], network_settings(experiment, self.config["datasets"])
        request = {"network": network, "space": experiment["space"], "threads": self.config["threads_base"]}
        search = search_settings(experiment, settings)
        search = matched(search, flops) if "match" in settings else search
        request |= {"score": score_settings(settings), "way": settings["search"], "search": search}
        request |= {"m": experiment["refine"]["top_m"], "labels": settings.get("labels", 0)}
        what = f"the search of {method}"
        idle, answers = self._once(name, what, "sacp.forecast.measure_search", request, 1)
        return idle, answers[0]

    def light_start(self) -> float:
        """Seconds that a job without torch takes to start."""
        what = "the start of a job without torch"
        return self._once("all", what, "sacp.forecast.measure_start", {"threads": 1}, 1)[0].imports

    def _once(
        self, name: str, what: str, module: str, request: Mapping[str, Any], number: int
    ) -> tuple[Idle, list[Answer]]:  # fmt: skip
        """What `side_by_side` finds for an experiment, or has found, in this process or in one that was killed."""
        # The data lie in a folder of this process; what is in them hangs on the experiment.
        key = json.dumps([name, number, {**request, "data": None}], sort_keys=True)
        known = self.sidecar.state.setdefault("measured", {})
        if key not in known:
            log.info("%s: measuring %s", name, what)
            idle, answers = side_by_side(module, request, number)
            known[key] = {"idle": asdict(idle), "answers": answers}
            self.sidecar.save()
        return Idle(**known[key]["idle"]), known[key]["answers"]

    @property
    def least(self) -> Idle:
        """The least that was measured: other work on the machine can only add to it."""
        return Idle(min(idle.imports for idle in self.idle), min(idle.end for idle in self.idle))

    def _jobs(self, recipe: str) -> int:
        """Jobs of this kind that the whole run could have at work at the same time."""
        seeds = len(self.config["seeds"])
        if recipe == BASE:
            return seeds * len(self.config["experiments"])
        jobs = 0
        for experiment in self.config["experiments"].values():
            searches = sum(method["kind"] == "search" for method in experiment["methods"].values())
            refine = experiment["refine"]
            each = -(-refine["top_m"] // refine["shard_size"]) if recipe == TUNE else refine["top_k"]
            jobs += seeds * searches * each
        return jobs

    def _at_once(self, jobs: int, cores: int, gpus: int) -> int:
        return max(1, int(min(jobs, self.limits.cores // cores, self.limits.gpus // gpus)))


def _costs_of(measured: Measurements, name: str, job_seconds: float) -> Costs:
    """Measure one experiment."""
    experiment = measured.config["experiments"][name]
    dataset = measured.config["datasets"][experiment["dataset"]]
    spec = NetworkSpec(**network_settings(experiment, measured.config["datasets"]))
    graph = trace(build(spec), spec.input_shape, Constraints.of(**constraints(experiment)))
    flops, counts = _candidates(graph, experiment)
    pruned = [counts[_nearest(flops, quantile)].tolist() for quantile in MEASURED_QUANTILES]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "data.safetensors"
        sizes, prepare_seconds = _write_data(path, dataset, spec, experiment)
        base = measured.trainings(BASE, name, [None], path)
        answers = {recipe: measured.trainings(recipe, name, pruned, path) for recipe in QUANTILES}
    of_base = {BASE: _speed(base, cost_of_graph(graph).flops)}

    def speeds(quantiles: Mapping[str, float]) -> dict[str, Speed]:
        at = {recipe: np.quantile(flops, quantiles[recipe]) for recipe in answers}
        return of_base | {recipe: _speed(found, at[recipe]) for recipe, found in answers.items()}

    methods = [method for method, settings in experiment["methods"].items() if settings["kind"] == "search"]
    searches = {method: measured.search(name, method, int(np.median(flops))) for method in methods}
    return Costs(
        start=measured.least.imports,
        light_start=measured.light_start(),
        search_start=min(idle.imports for idle, _ in searches.values()),
        turnover=job_seconds + measured.least.end,
        prepare=prepare_seconds,
        load=_mean(answers[TUNE], "load_seconds"),
        first=_mean(answers[TUNE], "first_seconds"),
        trace=_mean(base, "trace_seconds"),
        sample=float(np.mean([answer["sample_seconds"] for _, answer in searches.values()])),
        encoder={method: answer["encoder_seconds"] for method, (_, answer) in searches.items()},
        score={method: answer["score_seconds"] for method, (_, answer) in searches.items()},
        find={method: answer["find_seconds"] for method, (_, answer) in searches.items()},
        speeds=speeds(QUANTILES),
        low=speeds(LOW),
        high=speeds(HIGH),
        predict=_at(answers[TUNE], "predict_seconds", float(np.median(flops))),
        sizes=sizes,
    )


def _candidates(graph: Graph, experiment: Mapping[str, Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """FLOPs [n] and kept counts [n, G] of configurations of the constrained space, within any search's budget."""
    space, base = experiment["space"], cost_of_graph(graph)
    searches = [method for method in experiment["methods"].values() if method["kind"] == SEARCH]
    budgets = [Budget.of(search_settings(experiment, method)["budget"], base) for method in searches]
    drawn = Space.of(graph, space["levels"], space["threshold"]).draw(DRAWS, 0)
    counts = kept_counts(drawn, graph, space["levels"])
    flops, parameters = costs_of_counts(graph, counts)
    inside = np.any([budget.holds(flops, parameters) for budget in budgets], axis=0)
    if not inside.any():
        named = " or ".join(dict.fromkeys(map(str, budgets)))
        raise InputError(f"search.budget: none of {DRAWS} configurations is within {named}; no forecast without one")
    return flops[inside], counts[inside]


def _nearest(flops: NDArray[np.int64], quantile: float) -> int:
    return int(np.abs(flops - np.quantile(flops, quantile)).argmin())


def _write_data(
    path: Path, dataset: Mapping[str, Any], spec: NetworkSpec, experiment: Mapping[str, Any]
) -> tuple[Sizes, float]:
    """Write what stands for the prepared data: random images, or the index of the user's files, which are decoded anew.

    Returns:
        Numbers of images, and the seconds that it takes to prepare them.
    """
    known = sources.source(dataset)
    if known.preparation:
        _, test = imports.load(f"{known.module}:count")(dataset)
        sizes = _sizes(training_images(dataset) or 0, test, experiment)
        _write_synthetic(path, spec, sizes)
        measure = imports.load(known.preparation)
        return sizes, float(measure(sizes.train + sizes.validation + sizes.test, spec))
    started = time.monotonic()
    tensors, about = prepare(dataset_settings(dataset))
    save_safetensors(path, tensors, about)
    sizes = _sizes(len(tensors["train_labels"]), len(tensors["test_labels"]), experiment)
    return sizes, time.monotonic() - started


def _sizes(images: int, test: int, experiment: Mapping[str, Any]) -> Sizes:
    """Numbers of the images of an experiment, of so many for training and for the test."""
    held_out = validation_size(images, experiment["validation"])
    train = images - held_out
    return Sizes(train, held_out, test, min(experiment["calibration"], train))


def _write_synthetic(path: Path, spec: NetworkSpec, sizes: Sizes) -> None:
    """Write random images in the form and number of the prepared data."""
    tensors = {}
    for part, number in (("train", sizes.train + sizes.validation), ("test", sizes.test)):
        shape = (number, *spec.input_shape[1:])
        tensors[f"{part}_images"] = torch.randint(0, 256, shape, dtype=torch.uint8)
        tensors[f"{part}_labels"] = torch.randint(0, spec.num_classes, (number,))
    save_safetensors(path, tensors, {"digest": ""})


def _speed(answers: list[Answer], flops: float) -> Speed:
    """Speed of a network of these FLOPs, from all networks that all processes measured."""
    return Speed(_at(answers, "train_seconds", flops), _at(answers, "evaluate_seconds", flops))


def _at(answers: list[Answer], key: str, flops: float) -> float:
    """What was measured of all networks by all processes, at these FLOPs."""
    sizes = [size for answer in answers for size in answer["flops"]]
    return line_at(sizes, [seconds for answer in answers for seconds in answer[key]], float(flops))


def _mean(answers: list[Answer], key: str) -> float:
    return float(np.mean([answer[key] for answer in answers]))
