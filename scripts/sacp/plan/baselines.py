"""What baselines need of a network, its data and the FLOPs to match, as far as it is known before any job starts."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sacp.baselines import ato, gal
from sacp.baselines.amc.walk import least_counts
from sacp.baselines.inner import is_inner
from sacp.baselines.match_flops import BAND, TOLERANCE
from sacp.baselines.metapruning.generator import LEAST, counts_of
from sacp.catalogue import kinds
from sacp.errors import InputError
from sacp.images.batches import cut
from sacp.images.splits import validation_size
from sacp.network.cost import Budget, cost_of_graph, costs_of_counts
from sacp.network.graph import Graph
from sacp.plan.experiments import search_settings
from sacp.pruning.space import rounded

Settings = Mapping[str, Any]
# Kinds that only train well enough to choose if they take so many steps, by the key of their settings.
STEPS = {"gal": gal.check_steps, "ato": ato.check_steps}


def check(graph: Graph, experiment: Settings, images: int | None) -> None:
    """Check all baselines of an experiment.

    Args:
        graph: the network's graph, with what pruning has to leave alone.
        experiment: its settings.
        images: training and validation images; None where they are not counted.

    Raises:
        InputError: a method has no channel to remove, cannot be as small as what it has to match may be at most, or
            has too short a training to choose; names the method's key.
    """
    for name, method in experiment["methods"].items():
        if kinds.of(method).is_baseline:
            try:
                _check_channels(graph, method)
                _check_flops(graph, experiment, method)
                if images is not None:
                    _check_steps(experiment, method, images)
            except InputError as error:
                raise InputError(f"methods.{name}.{error}") from None


def _check_channels(graph: Graph, method: Settings) -> None:
    """There are channels among those that the method can remove."""
    kind, inner = method["kind"], kinds.space(method) == kinds.INNER
    free = is_inner(graph) if inner else np.ones(len(graph.groups), bool)
    least = rounded(np.zeros(len(graph.groups), np.int64), graph)
    if not (free & (least < graph.channels)).any():
        what = "groups whose channels one layer makes, of no sum," if inner else "groups"
        raise InputError(
            f"kind: '{kind}' prunes {what} but the network has none with channels to remove; expected another "
            f"kind{_wider(method)}, or less to be left alone (space.ignore, space.round_to, space.at_least)"
        )


def _wider(method: Settings) -> str:
    """The option by which the method can remove more, for a message."""
    kind = kinds.of(method)
    if kind.other_space is None or kinds.space(method) != kind.space:
        return ""
    option, value, _ = kind.other_space
    return f", or {kind.options}.{option}: {str(value).lower()}"


def _check_flops(graph: Graph, experiment: Settings, method: Settings) -> None:
    """What a method keeps in any case has no more FLOPs than the winner that it has to match may have."""
    most = _most_flops(graph, experiment, method)
    if most is None:
        return
    bound = f"more than the {most} that the winner of '{method['match']}' has at most (budget.flops)"
    if "amc" in method:
        share = method["amc"]["least_share"]
        if (flops := _flops(graph, least_counts(graph, share))) > most:
            raise InputError(
                f"amc.least_share: with {share} of every group the network has {flops} FLOPs, {bound}; expected a "
                "smaller share"
            )
    if "metapruning" in method:
        flops = _flops(graph, counts_of(np.zeros(len(graph.groups), np.int64), graph))
        if flops > (1 + TOLERANCE) * most:
            raise InputError(
                f"kind: the smallest network of 'metapruning', {LEAST} of every group, has {flops} FLOPs, {bound}; "
                "expected another kind, or a larger budget"
            )


def _most_flops(graph: Graph, experiment: Settings, method: Settings) -> int | None:
    """What the matched winner has at most; None if nothing bounds it."""
    matched = experiment["methods"][method["match"]]
    band = BAND if "match" in matched else 0.0  # around the winner that this one matches itself
    search = experiment["methods"][matched["match"]] if "match" in matched else matched
    most = Budget.of(search_settings(experiment, search)["budget"], cost_of_graph(graph)).flops
    return None if most is None else int((1 + band) * most)


def _flops(graph: Graph, counts: NDArray[np.int64]) -> int:
    return int(costs_of_counts(graph, counts[None])[0][0])


def _check_steps(experiment: Settings, method: Settings, images: int) -> None:
    """The training in which a method chooses is long enough to choose."""
    for key in STEPS.keys() & method.keys():
        recipe = experiment[kinds.SELECTION]
        train = images - validation_size(images, experiment["validation"])
        STEPS[key](method[key], recipe["epochs"] * len(cut(train, recipe["batch_size"])))
