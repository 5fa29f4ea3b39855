"""Numbers of an experiment that contradict each other, or mean nothing beside each other."""

from collections.abc import Mapping
from typing import Any

from sacp.catalogue import kinds
from sacp.errors import InputError
from sacp.network.cost import is_share
from sacp.plan.experiments import shares_sample

Settings = Mapping[str, Any]
RECIPES = ("base", "tune", "full", "sample", "sparse", kinds.SELECTION)  # of an experiment; the last only where used
SHARED = ("base", "full", "sparse")  # trained by all processes together
TAUGHT = ("tune", "full", "sample")  # of pruned networks, which the base can teach
LEAST_IMAGES = 2  # of a step in a process: batch norm has no variance of one


def check(experiment: Settings, image_size: int | None, processes: int) -> None:
    """Check the numbers of an experiment whose defaults are filled in.

    Args:
        experiment: its settings.
        image_size: pixels of a side where images are cropped after padding; None where they are not, or where only
            the files say it.
        processes: that share a training.

    Raises:
        InputError: names the key.
    """
    _check_images(experiment)
    _check_numbers(experiment)
    _check_search(experiment)
    _check_teacher(experiment)
    for stage in filter(experiment.__contains__, RECIPES):
        try:
            _check_recipe(experiment[stage], processes if stage in SHARED else 1)
            _check_teaching(stage, experiment[stage])
        except InputError as error:
            raise InputError(f"{stage}.{error}") from None
    if image_size is not None:
        check_padding(experiment, image_size)
    if experiment.get(kinds.SELECTION, {}).get("epochs") == 0:
        raise InputError("selection.epochs: found 0, but channels are chosen while it trains; expected at least 1")
    for name, method in experiment["methods"].items():
        _check_order(f"methods.{name}", method)
        _check_agent(f"methods.{name}", method)
        if method["kind"] == "metapruning" and experiment["calibration"] == 0:
            raise InputError(
                f"calibration: found 0, but methods.{name} makes networks whose batch norms have seen no images; "
                "expected at least 2"
            )


def _check_order(key: str, method: Settings) -> None:
    """Shares of a training that follow one another."""
    hesso = method.get("oto", {}).get("optimiser") == "hesso"
    for kind, last in (("oto", "end"),) * hesso + (("ato", "freeze"),) * ("ato" in method):
        start, end = method[kind]["start"], method[kind][last]
        if end <= start:
            raise InputError(f"{key}.{kind}.{last}: found {end}, expected more than start, {start}")


def _check_agent(key: str, method: Settings) -> None:
    """An agent learns in the episodes after its warm-up."""
    for kind in {"amc", "agmc"} & set(method):
        warmup, episodes = method[kind]["warmup"], method[kind]["episodes"]
        if warmup >= episodes:
            raise InputError(
                f"{key}.{kind}.warmup: found {warmup}, which leaves an agent none of {episodes} episodes "
                "to learn in; expected fewer"
            )


def _check_images(experiment: Settings) -> None:
    if experiment["calibration"] == 1:
        raise InputError("calibration: found 1 image, which has no variance; expected 0 for none, or at least 2")
    held_out = experiment["validation"]
    if isinstance(held_out, float) and (held_out == 1 or (held_out > 1 and not held_out.is_integer())):
        raise InputError(
            f"validation: found {held_out}, neither a share nor a number of images; expected less than 1, or an integer"
        )


def _check_numbers(experiment: Settings) -> None:
    """m and k, and the numbers that they are taken from."""
    m, k, size = experiment["refine"]["top_m"], experiment["refine"]["top_k"], experiment["space"]["search_size"]
    if k > m:
        raise InputError(f"refine.top_k: k = {k} exceeds m = {m} (refine.top_m); expected k <= m")
    found, keep = experiment["search"]["found"], experiment["search"]["keep"]
    if m > found and _finders(experiment):
        raise InputError(f"search.found: found {found}, expected at least m = {m} (refine.top_m)")
    if m > size:
        raise InputError(f"refine.top_m: m = {m} exceeds M = {size} (space.search_size); expected m <= M")
    if keep is not None and m > keep:
        raise InputError(f"search.keep: found {keep}, expected at least m = {m} (refine.top_m), or null for all")
    for other in experiment["sweep"]["m"]:
        if not k <= other <= m:
            raise InputError(f"sweep.m: found {other}, expected values from k = {k} to m = {m} (refine)")


def _check_search(experiment: Settings) -> None:
    """The bounds of a search, and what only some searches have."""
    _check_budget("search.budget", experiment["search"]["budget"])
    for name, method in experiment["methods"].items():
        _check_budget(f"methods.{name}.budget", method.get("budget", {}))
    distance = experiment["search"]["distance"]
    if distance not in (None, 1) and not _finders(experiment):
        raise InputError(
            f"search.distance: found {distance}, but all searches rank the sample, which it does not thin out; "
            "expected a method with 'search: exact' or 'search: local', or no distance"
        )


def _check_budget(key: str, budget: Settings) -> None:
    """Each bound is a number or share, or two of a kind in their order."""
    for cost, limit in budget.items():
        least, most = limit if isinstance(limit, list) else (0, limit)
        if least > most:
            raise InputError(f"{key}.{cost}: found {limit}, expected [at least, at most]")
        if least > 0 and is_share(least) != is_share(most):
            raise InputError(
                f"{key}.{cost}: found {limit}, of which one is a share of the base, the other a number; "
                "expected two shares, up to 1.0, or two numbers"
            )


def _check_teacher(experiment: Settings) -> None:
    """The base teaches; a training that starts from other weights has no base beside it."""
    for name, method in experiment["methods"].items():
        if experiment["full"].get("distill_weight") and method.get(kinds.WEIGHTS) == kinds.OWN:
            raise InputError(
                f"methods.{name}.{kinds.WEIGHTS}: found '{kinds.OWN}', but the base teaches (full.distill_weight) and "
                "this training does not start from it; expected 'base', or no distill_weight"
            )


def _finders(experiment: Settings) -> bool:
    """Whether a search finds candidates of its own."""
    searches = [method for method in experiment["methods"].values() if method["kind"] == kinds.SEARCH]
    return not all(map(shares_sample, searches))


def check_padding(experiment: Settings, image_size: int) -> None:
    """Raise `InputError` if crops of images of so many pixels, padded as a recipe says, may miss them."""
    for stage in filter(experiment.__contains__, RECIPES):
        padding = experiment[stage]["crop_padding"]
        if padding >= image_size:
            raise InputError(
                f"{stage}.crop_padding: found {padding}, with which crops may miss images of {image_size} pixels; "
                "expected less"
            )


def _check_recipe(recipe: Settings, processes: int) -> None:
    if recipe["nesterov"] and recipe["momentum"] == 0:
        raise InputError("nesterov: found true with momentum 0; expected a momentum above 0, or false")
    warmup, epochs = recipe["warmup_epochs"], recipe["epochs"]
    if warmup > 0 and warmup >= epochs:
        raise InputError(f"warmup_epochs: found {warmup}, expected less than the {epochs} epochs")
    images = recipe["batch_size"]
    if images < LEAST_IMAGES * processes:
        raise InputError(
            f"batch_size: found {images}, shared by {processes} processes; expected at least {LEAST_IMAGES} for each"
        )


def _check_teaching(stage: str, recipe: Settings) -> None:
    """The base teaches pruned networks; it is what is trained in the other stages."""
    weight = recipe.get("distill_weight")
    temperature = recipe.get("distill_temperature")
    if temperature is not None and weight is None:
        raise InputError(f"distill_temperature: found {temperature} without a distill_weight; expected both, or none")
    if weight and stage not in TAUGHT:
        raise InputError(
            f"distill_weight: found {weight}, but the base teaches only networks that are pruned; expected it in "
            f"{', '.join(TAUGHT)}"
        )
