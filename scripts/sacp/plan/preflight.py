"""Checks before any job starts that need more than the config's text: files, networks and the size of the space."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from sacp import imports
from sacp.catalogue import criteria, kinds, scores, sources
from sacp.compute.long_job import device
from sacp.errors import InputError, asked, out_of_memory
from sacp.images.batches import LEAST_IMAGES
from sacp.images.splits import validation_size
from sacp.network import weights
from sacp.network.architectures import build, check_name
from sacp.network.constraints import ConstraintError, Constraints
from sacp.network.cost import Budget, cost_of_graph
from sacp.network.graph import Graph
from sacp.network.logits import check_logits
from sacp.network.spec import NetworkSpec, is_weights_file
from sacp.plan import baselines, sizes
from sacp.plan.experiments import constraints, network_settings, search_settings
from sacp.pruning import within
from sacp.pruning.proof import rehearse
from sacp.pruning.space import Space
from sacp.seeds import derive
from sacp.tracing.trace import trace

PROJECT = Path(__file__).resolve().parents[3]
# Folders of the project, which no results may be mixed with.
FOLDERS = (
    ".ci", ".git", ".github", ".snakemake", ".venv", ".venv-docs", "config", "docs", "envs", "profiles", "rules",
    "scripts", "site", "slurm", "tests",
)  # fmt: skip
NEEDED = {"path": "a folder", "classes": "the number of class folders"}  # by sources that have these keys
ARGUMENTS = {"kind": kinds.ARGUMENTS, "criterion": criteria.ARGUMENTS, "score": scores.ARGUMENTS}


def check(config: Mapping[str, Any], source: str, reported_path: str | Path, here: bool = True) -> None:
    """Check a resolved config against the world.

    Args:
        config: the resolved config.
        source: the files it came from, for messages.
        reported_path: the reported rows of table 3.
        here: whether jobs run on this machine, so that its GPUs are theirs.

    Raises:
        InputError: the results cannot be written or have no folder of their own, data are missing or truncated, a GPU
            is asked for and absent, a network is unknown, cannot be traced or gives no logits, its weights cannot be
            read or do not fit, what an import path names cannot be called as it will be, a threshold cannot be reached,
            M exceeds the constrained space, a search has fewer than m candidates, or a baseline cannot choose.
    """
    try:
        if here:
            device(config["device"])
        with _naming("pathvars.results: "):
            _check_results(Path(config["pathvars"]["results"]))
        for name, dataset in config["datasets"].items():
            with _naming(f"datasets.{name}."):
                _check_dataset(dataset)
        models = set(pd.read_csv(reported_path)["model"])
        for name, experiment in config["experiments"].items():
            with _naming(f"experiments.{name}."):
                _check_experiment(experiment, config, models)
    except InputError as error:
        raise InputError(f"{source}: {error}") from None
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        raise InputError(f"{source}: no memory holds a network or a space{asked(error)}; lower its sizes") from None


@contextmanager
def _naming(key: str) -> Iterator[None]:
    """Put a key before what is refused in the block, or may not be read there."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{key}{error}") from None
    except PermissionError as error:
        raise InputError(f"{key}{error.filename}: cannot be read ({error.strerror})") from None


def _check_results(folder: Path) -> None:
    """The results have a folder of their own, beside all that the project has or in another place."""
    expected = "expected a folder for the results alone, such as 'results/mine'"
    for place in (Path(os.path.abspath(folder)), Path(os.path.realpath(folder))):  # as it is called, and where it lies
        if any(whole.is_relative_to(place) for whole in (PROJECT, Path.cwd())):
            raise InputError(f"found '{folder}', which holds the project or the working folder; {expected}")
        if place.is_relative_to(PROJECT) and (own := place.relative_to(PROJECT).parts[0]) in FOLDERS:
            raise InputError(f"found '{folder}', in the project's own folder '{own}'; {expected}")
    existing = _existing(folder)
    if not os.access(existing, os.W_OK | os.X_OK):
        raise InputError(f"the folder '{existing}' cannot be written to; give another one")


def _existing(folder: Path) -> Path:
    """A folder or, where it is not made yet, the nearest around it; `InputError` if that is a file."""
    existing = next(path for path in (folder, *folder.parents) if path.exists() or path.is_symlink())
    if not existing.exists():
        raise InputError(f"'{existing}' is a link to '{existing.readlink()}', which is not there; expected a folder")
    if not existing.is_dir():
        raise InputError(f"'{existing}' is a file; expected a folder")
    return existing


def _check_dataset(dataset: Mapping[str, Any]) -> None:
    known, kind = sources.source(dataset), dataset["source"]
    for key, expected in NEEDED.items():
        if key in known.keys and key not in dataset and not (key == "classes" and known.shape):
            raise InputError(f"{key}: missing; source '{kind}' needs {expected}")
    for key in dataset:
        if key not in ("source", *known.keys):
            owners = [f"'{other}'" for other, source in sources.SOURCES.items() if key in source.keys]
            only = f"only {', '.join(owners)} {'have' if len(owners) > 1 else 'has'} it"
            raise InputError(f"{key}: source '{kind}' has none; {only}")
    with _naming("path: "):
        _existing(Path(dataset.get("path", "")))
        imports.load(f"{known.module}:check")(dataset)
    training_images(dataset)


def training_images(dataset: Mapping[str, Any]) -> int | None:
    """Number of training images; None where counting takes minutes. `InputError` if more are wanted than there are."""
    counted = imports.load(f"{sources.source(dataset).module}:count")(dataset)
    if counted is None:
        return None
    wanted = int(dataset.get("training_images", counted[0]))
    if wanted > counted[0]:
        raise InputError(f"training_images: found {wanted}, but the data have {counted[0]}; expected at most these")
    return wanted


def _check_experiment(experiment: Mapping[str, Any], config: Mapping[str, Any], models: set[str]) -> None:
    space, datasets = experiment["space"], config["datasets"]
    if experiment.get("reported", next(iter(models))) not in models:
        found = experiment["reported"]
        raise InputError(f"reported: no rows for '{found}'; known models: {', '.join(sorted(models))}")
    dataset = datasets[experiment["dataset"]]
    images = training_images(dataset)
    if images is not None:
        _check_validation(images, experiment["validation"])
    if sources.source(dataset).shape:
        sizes.check_padding(experiment, sources.shape(dataset)[1])
    if "weights" in experiment["network"]:
        with _naming("network.weights: "):
            weights.check(experiment["network"]["weights"])
    check_name(experiment["network"]["name"])
    spec = NetworkSpec(**network_settings(experiment, datasets))
    network = build(spec)
    if "weights" in experiment["network"] and is_weights_file(experiment["network"]["weights"]):
        with _naming("network.weights: "):
            weights.inherit(network, experiment["network"]["weights"])
    if imports.is_path(spec.name):
        check_logits(f"network.name: '{spec.name}'", network, spec.input_shape, spec.num_classes)
    trying = rehearse if imports.is_path(spec.name) else trace
    try:
        graph = trying(network, spec.input_shape, Constraints.of(**constraints(experiment)))
    except ConstraintError as error:
        raise InputError(f"space.{error}") from None
    constrained = Space.of(graph, space["levels"], space["threshold"])
    if space["search_size"] > constrained.count:
        raise InputError(
            f"space.search_size: M = {space['search_size']}, but only {constrained.count} configurations of "
            f"{len(graph.groups)} groups reach the threshold {space['threshold']}"
        )
    for where, limits in _budgets(experiment).items():
        _check_budget(where, graph, space["levels"], limits)
    _check_distance(graph, experiment)
    _check_searches(graph, constrained, experiment, config["seeds"])
    baselines.check(graph, experiment, images)
    for method, settings in experiment["methods"].items():
        _check_imports(method, settings)


def _check_validation(images: int, validation: float | None) -> None:
    held_out = validation_size(images, validation)
    left = images - held_out
    if left < LEAST_IMAGES:
        raise InputError(f"validation: {held_out} leaves {left} of {images} images to train on; leave at least two")


def _check_imports(name: str, method: Mapping[str, Any]) -> None:
    """What a method names by an import path is there and can be called with what it is given."""
    for key, arguments in ARGUMENTS.items():
        path = str(method.get(key, ""))
        with _naming(f"methods.{name}.{key}: "):
            if imports.is_path(path):
                imports.check_call(path, arguments)


def _budgets(experiment: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """All budgets of an experiment by their keys in the config."""
    own = {
        f"methods.{name}.budget": method["budget"]
        for name, method in experiment["methods"].items()
        if "budget" in method
    }
    return {"search.budget": experiment["search"]["budget"], **own}


def _check_budget(where: str, graph: Graph, levels: int, limits: Mapping[str, Any]) -> None:
    """The narrowest network is within the budget of this key, whatever the threshold."""
    smallest, budget = within.narrowest(graph, levels), Budget.of(limits, cost_of_graph(graph))
    for key in ("flops", "parameters"):
        limit, least = getattr(budget, key), getattr(smallest, key)
        if limit is not None and least > limit:
            raise InputError(
                f"{where}.{key}: no configuration is within {limit} ({limits[key]} in the config); "
                f"the smallest reachable is {least}"
            )


def _check_distance(graph: Graph, experiment: Mapping[str, Any]) -> None:
    """No more than so many configurations differ in so many groups (Singleton's bound)."""
    distance, m = experiment["search"]["distance"], experiment["refine"]["top_m"]
    if distance is None:
        return
    groups, levels = len(graph.groups), experiment["space"]["levels"]
    if distance > groups:
        raise InputError(f"search.distance: found {distance}, but the network has {groups} groups to differ in")
    most = levels ** (groups - distance + 1)
    if m > most:
        raise InputError(
            f"search.distance: of {groups} groups at {levels} levels, no more than {most} configurations differ in "
            f"{distance}, m = {m} (refine.top_m) are wanted"
        )


def _check_searches(graph: Graph, space: Space, experiment: Mapping[str, Any], seeds: Sequence[int]) -> None:
    """Every search has m candidates within its budget, as far as no weight has to be known for it.

    What a search that matches a winner's FLOPs has within these is known only when they are.
    """
    checked = []  # searches with the same limits are looked at once
    for name, method in experiment["methods"].items():
        if method["kind"] != kinds.SEARCH:
            continue
        budget = search_settings(experiment, method)["budget"]
        limits = {key: limit for key, limit in budget.items() if not ("match" in method and key == "flops")}
        drawn = () if method["search"] == "exact" else seeds
        if limits and (limits, drawn) not in checked:
            checked.append((limits, drawn))
            where = f"methods.{name}.budget" if "budget" in method else "search.budget"
            _check_within(where, graph, space, experiment, limits, drawn)


def _check_within(
    where: str, graph: Graph, space: Space, experiment: Mapping[str, Any], limits: Mapping[str, Any],
    seeds: Sequence[int],
) -> None:  # fmt: skip
    """The space, and the sample of each of these seeds, hold m candidates within these limits, of this key."""
    m, size = experiment["refine"]["top_m"], experiment["space"]["search_size"]
    budget, most = Budget.of(limits, cost_of_graph(graph)), within.largest(graph, space)
    for key, least, bound in (
        ("flops", budget.least_flops, most.flops), ("parameters", budget.least_parameters, most.parameters),
    ):  # fmt: skip
        if least > bound:
            raise InputError(
                f"{where}.{key}: no configuration is within {budget}; with the threshold "
                f"{experiment['space']['threshold']} none takes more than {bound}"
            )
    is_open = not (budget.least_flops or budget.least_parameters)
    found = within.near_smallest(graph, space, budget, m) if is_open else m
    if found < m:
        raise InputError(f"{where}: {found} networks are within {budget}, m = {m} (refine.top_m) are wanted")
    for seed in seeds:
        found = within.in_sample(graph, space, budget, size, derive(seed, "search set"), m)
        if found < m:
            raise InputError(
                f"{where}: {found} of the M = {size} candidates drawn with seed {seed} are within {budget}, m = "
                f"{m} (refine.top_m) are wanted; widen the budget, raise M (space.search_size), or lower m"
            )
