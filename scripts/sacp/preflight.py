"""Checks before any job starts that need more than the config's text: files, networks and the size of the space."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sacp import data, job, weights
from sacp.cost import Budget, cost_of_graph, costs_of_counts
from sacp.errors import InputError
from sacp.graph import Graph
from sacp.networks import NetworkSpec, build, check_name
from sacp.problem import IMAGE_FOLDER, network_settings
from sacp.space import Space, kept_counts
from sacp.tracing import trace


def check(config: Mapping[str, Any], source: str, reported_path: str | Path, here: bool = True) -> None:
    """Check a resolved config against the world.

    Args:
        config: the resolved config.
        source: the files it came from, for messages.
        reported_path: the reported rows of table 3.
        here: whether jobs run on this machine, so that its GPUs are theirs.

    Raises:
        InputError: the results cannot be written, data are missing or truncated, a GPU is asked for and absent, a
            network is unknown or cannot be traced, a threshold cannot be reached, or M exceeds the constrained space.
    """
    try:
        if here:
            job.device(config["device"])
        _check_results(Path(config["pathvars"]["results"]))
        for name, dataset in config["datasets"].items():
            _check_dataset(name, dataset)
        models = set(pd.read_csv(reported_path)["model"])
        for name, experiment in config["experiments"].items():
            _check_experiment(name, experiment, config["datasets"], models)
    except InputError as error:
        raise InputError(f"{source}: {error}") from None


def _check_results(folder: Path) -> None:
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not existing.is_dir():
        raise InputError(f"pathvars.results: '{existing}' is a file; expected a folder for the results")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise InputError(f"pathvars.results: the folder '{existing}' cannot be written to; give another one")


def _check_dataset(name: str, dataset: Mapping[str, Any]) -> None:
    if dataset["source"] != "digits" and "path" not in dataset:
        raise InputError(f"datasets.{name}: source '{dataset['source']}' needs a path; none found")
    is_tree, own = dataset["source"] == IMAGE_FOLDER, sorted({"image_size", "classes"} & set(dataset))
    if is_tree and "classes" not in own:
        raise InputError(f"datasets.{name}: source '{dataset['source']}' needs the number of classes; none found")
    if own and not is_tree:
        raise InputError(f"datasets.{name}.{own[0]}: source '{dataset['source']}' has none; only 'imagefolder' has it")
    if is_tree and "training_images" in dataset:
        raise InputError(
            f"datasets.{name}.training_images: source 'imagefolder' has none; take the files that it should have"
        )
    data.check_source(dataset["source"], dataset.get("path"))


def _check_experiment(name: str, experiment: Mapping[str, Any], datasets: Mapping[str, Any], models: set[str]) -> None:
    space = experiment["space"]
    try:
        if experiment.get("reported", next(iter(models))) not in models:
            found = experiment["reported"]
            raise InputError(f"reported: no rows for '{found}'; known models: {', '.join(sorted(models))}")
        dataset = datasets[experiment["dataset"]]
        images = data.training_images(dataset)
        if images is not None:
            data.validation_size(images, experiment["validation"])
        _check_weights(experiment["network"].get("weights"))
        check_name(experiment["network"]["name"])
        spec = NetworkSpec(**network_settings(experiment, datasets))
        graph = trace(build(spec), spec.input_shape)
        exist = Space.build(graph.weights, space["levels"], space["threshold"]).count
        if space["search_size"] > exist:
            raise InputError(
                f"space.search_size: M = {space['search_size']}, but only {exist} configurations of "
                f"{len(graph.groups)} groups reach the threshold {space['threshold']}"
            )
        _check_budget(graph, space["levels"], experiment["search"]["budget"])
    except InputError as error:
        raise InputError(f"experiments.{name}.{error}") from None


def _check_weights(initial: str | None) -> None:
    try:
        if initial is not None:
            weights.check(initial)
    except InputError as error:
        raise InputError(f"network.weights: {error}") from None


def _check_budget(graph: Graph, levels: int, limits: Mapping[str, Any]) -> None:
    """Costs fall with every step, so the configuration of all last steps is the smallest, whatever the threshold."""
    last = np.full((1, len(graph.groups)), levels - 1)
    flops, parameters = costs_of_counts(graph, kept_counts(last, graph.channels, levels))
    budget = Budget.of(limits, cost_of_graph(graph))
    for key, smallest, limit in (("flops", flops, budget.flops), ("parameters", parameters, budget.parameters)):
        if limit is not None and smallest[0] > limit:
            raise InputError(
                f"search.budget.{key}: no configuration is within {limit} ({limits[key]} in the config); "
                f"the smallest reachable is {smallest[0]}"
            )
