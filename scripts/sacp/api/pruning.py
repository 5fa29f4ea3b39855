"""A network in memory -> a smaller one, without a workflow: the best of the whole space by a score."""

import logging
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sacp import imports
from sacp.api.batches import given_batches
from sacp.api.report import Report
from sacp.artefacts.files import file_of
from sacp.catalogue import criteria, scores
from sacp.errors import InputError, shown
from sacp.network.calibration import calibrate as fit_norms
from sacp.network.constraints import Constraints
from sacp.network.cost import Budget, cost_of_graph, is_share
from sacp.network.graph import Graph
from sacp.network.surgery import check_values, copied
from sacp.network.surgery import prune as cut
from sacp.progress import Progress
from sacp.pruning import proof as proofs
from sacp.pruning.criteria import Rescaled, highest_first, kept_channels
from sacp.pruning.returned import order_of
from sacp.pruning.sensitivity import measure
from sacp.pruning.space import Space, Steps, counts_by_step, kept_counts
from sacp.pruning.within import narrowest
from sacp.search import log_mass
from sacp.search.scorers import additive_values
from sacp.solver import bounded
from sacp.solver.costs import CostTables, Limit
from sacp.solver.tables import Score, as_score
from sacp.timing.budget import Round, beside, meet
from sacp.timing.model import times_of
from sacp.timing.runtimes import RUNTIMES, Setting
from sacp.tracing.trace import SHAPE, Shape, Traced, counted, is_shape, traced

log = logging.getLogger(__name__)
MOST_LEVELS = 256  # steps are bytes
SENSITIVITY = "sensitivity"  # score and criterion that are taken where images are given
DEFAULTS = ("log-mass", "l1")  # and where none are


@dataclass(frozen=True)
class Wish:
    """What is asked for beside the network: see `sacp.prune`."""

    limits: Mapping[str, float]  # of FLOPs and parameters
    latency: tuple[str, float] | None  # `share` or `milliseconds`, and how much
    setting: Setting  # under which latency is measured
    timings: str | Path | None
    levels: int
    score: str
    criterion: str
    images: Sequence[Tensor]  # all that are given
    proof: str
    seed: int


def prune(
    network: nn.Module, example: Sequence[int] | Tensor, *, flops: float | None, parameters: float | None,
    latency: float | str | None, ignore: Sequence[str], round_to: int, at_least: float, criterion: str | None,
    score: str | None, images: Iterable[Tensor], calibrate: Iterable[Tensor] | None, runtime: str, batch: int,
    threads: int | None, timings: str | Path | None, levels: int, proof: str, seed: int,
    report: Callable[[Report], object] | None,
) -> nn.Module:  # fmt: skip
    """See `sacp.prune`."""
    shape = shape_of(example)
    _check_forms(
        network=network, example=shape, levels=levels, proof=proof, seed=seed, criterion=criterion, score=score,
        report=report,
    )  # fmt: skip
    check_values("network", network)
    if timings is not None:
        file_of(timings, "timings")
    if latency is None:
        _check_unused("a budget on latency", runtime=runtime, batch=batch, threads=threads, timings=timings)
    _check_forms(runtime=runtime, batch=batch)
    setting = Setting(runtime, batch, torch.get_num_threads() if threads is None else threads)
    limits = _limits(latency, flops=flops, parameters=parameters)
    constraints = Constraints.of(ignore, round_to, at_least)
    time = _latency(latency)
    original = traced(network, shape, constraints)
    for why in original.stays:
        log.warning("not pruned: %s", why)
    # All batches that a criterion looks at are held: maybe the result is calibrated with the same, which come but once.
    looked_at = list(given_batches("images", images, network, shape))
    if not looked_at and type(images) is not tuple:  # not what stands there if none are given
        raise InputError("images: found no batch, expected some of training images, or no `images`")
    same = calibrate is images
    fitted = None if calibrate is None or same else given_batches("calibrate", calibrate, network, shape)
    by_score, by_criterion = (SENSITIVITY, SENSITIVITY) if looked_at else DEFAULTS
    wish = Wish(
        limits, time, setting, timings, levels, score or by_score, criterion or by_criterion, looked_at, proof, seed
    )
    if looked_at and not (same or _looks(wish)):
        raise InputError(f"images: neither the score '{wish.score}' nor the criterion '{wish.criterion}' looks at them")
    log.info("score: %s; criterion: %s", wish.score, wish.criterion)
    smaller, found = _found(network, original, shape, wish)
    if calibrate is not None:
        fit_norms(smaller, looked_at if fitted is None else fitted)
    if report is not None:
        report(found)
    return smaller


def _found(network: nn.Module, original: Traced, shape: Shape, wish: Wish) -> tuple[nn.Module, Report]:
    """The best network within the budget, proved, and what is left of every layer."""
    graph, levels = original.graph, wish.levels
    budget, space = _budget(wish.limits, graph, levels), Space.of(graph, levels, 0)
    values, ranked = _judged(network, graph, wish)
    order = order_of(ranked, graph, wish.criterion)

    def best(others: Sequence[Limit]) -> tuple[Steps, nn.Module]:
        found = bounded.best(values, graph, space, budget, others=others)
        if found.value < found.bound:
            told = "score %.6g found, at most %.6g possible: too large to be solved exactly"
            log.warning(told, found.value, found.bound)
        kept = kept_channels(order, kept_counts(found.steps[0], graph, levels))
        smaller = cut(network, graph, kept)
        proofs.check(original, kept, smaller, shape, wish.proof)
        if isinstance(ranked, Rescaled):  # proved without its factors, which change what the network computes
            smaller = cut(network, graph, kept, ranked.scales(kept))
        return found.steps[0], smaller

    if wish.latency is None:
        steps, smaller = best(())
        return smaller, Report.of(graph, kept_counts(steps, graph, levels))
    met = _timed(network, original, shape, wish, best)
    return met.network, Report.of(graph, kept_counts(met.steps, graph, levels), met.row)


def _timed(
    network: nn.Module, original: Traced, shape: Shape, wish: Wish,
    best: Callable[[Sequence[Limit]], tuple[Steps, nn.Module]],
) -> Round:  # fmt: skip
    """The best network whose measured time is within the budget on latency.

    Raises:
        InputError: no network that was measured is.
    """
    assert wish.latency is not None
    kind, target = wish.latency
    counts = counts_by_step(original.graph, wish.levels)
    times = times_of(network, original, shape, counts, wish.setting, wish.timings)
    cost = CostTables(times.constant, tuple(times.unary), times.pair)
    found = meet(
        lambda most: best([Limit(cost, 0, most)]), beside(network, shape, wish.setting), times, **{kind: target}
    )
    if not found.holds:
        row = found.best.row
        raise InputError(
            f"latency: found no network within {_told(kind, target)}; the fastest of {len(found.rounds)} takes "
            f"{found.best.measured:.3g} of the original's time, {row.median_ms:.3g} ms"
        )
    return found.best


def compared(network: nn.Module, smaller: nn.Module, example: Sequence[int] | Tensor) -> Report:
    """See `sacp.compare`."""
    shape = shape_of(example)
    _check_forms(network=network, example=shape)
    _check_forms(network=smaller)
    return Report.between(counted(network, shape), counted(smaller, shape))


def shape_of(example: Any) -> Any:
    """The shape of one input with its batch axis, of an example or as it is given."""
    if isinstance(example, Tensor):
        return (1, *example.shape[1:])
    if isinstance(example, (list, tuple)):
        return tuple(int(size) if isinstance(size, np.integer) else size for size in example)
    return example


def _check_forms(**given: Any) -> None:
    rights: Mapping[str, tuple[Callable[[Any], bool], str]] = {
        "network": (lambda found: isinstance(found, nn.Module), "a torch.nn.Module"),
        "example": (is_shape, f"a batch of inputs or a shape, {SHAPE}"),
        "levels": (
            lambda found: type(found) is int and 2 <= found <= MOST_LEVELS,
            f"an integer from 2 to {MOST_LEVELS}",
        ),
        "proof": (lambda found: isinstance(found, str) and found in proofs.PRECISIONS, " or ".join(proofs.PRECISIONS)),
        "seed": (lambda found: type(found) is int and found >= 0, "an integer from 0"),
        "criterion": (_is_name, "a name, an import path 'module:function', or None"),
        "score": (_is_name, "a name, an import path 'module:function', or None"),
        "runtime": (lambda found: isinstance(found, str) and found in RUNTIMES, " or ".join(RUNTIMES)),
        "batch": (lambda found: type(found) is int and found >= 1, "an integer from 1"),
        "report": (lambda found: found is None or callable(found), "a function that takes the report, as print"),
    }
    for name, found in given.items():
        is_right, expected = rights[name]
        if not is_right(found):
            raise InputError(f"{name}: found {shown(found)}, expected {expected}")


def _is_name(found: Any) -> bool:
    return found is None or (isinstance(found, str) and bool(found))


UNUSED = {"runtime": "eager", "batch": 1, "threads": None, "timings": None}


def _check_unused(wanting: str, **given: Any) -> None:
    """Arguments that nothing would look at are left out."""
    for name, found in given.items():
        if found != UNUSED[name]:
            raise InputError(f"{name}: found {shown(found)} without {wanting}; expected latency=, or no {name}")


def _limits(latency: Any, **given: Any) -> dict[str, float]:
    """The bounds that are given; `InputError` if there is none, or one is no finite number above 0."""
    limits = {name: limit for name, limit in given.items() if limit is not None}
    if not limits and latency is None:
        raise InputError("budget: found none, expected flops, parameters or latency above 0; up to 1.0, a share")
    for name, limit in limits.items():
        if not _is_limit(limit):
            raise InputError(f"{name}: found {shown(limit)}, expected a number above 0; up to 1.0 a share, as 0.5")
    return {name: int(limit) if isinstance(limit, Integral) else float(limit) for name, limit in limits.items()}


def _latency(given: Any) -> tuple[str, float] | None:
    """A budget on latency: a share, or milliseconds."""
    if given is None:
        return None
    text = given.removesuffix("ms").strip() if isinstance(given, str) else ""
    if text and re.fullmatch(r"\d*\.?\d+", text) and given != text and float(text) > 0:
        return "milliseconds", float(text)
    if isinstance(given, Real) and not isinstance(given, bool) and 0 < float(given) <= 1:
        return "share", float(given)
    found = shown(given)
    raise InputError(
        f"latency: found {found}, expected a share of the original's time up to 1.0, or a text as '3.5 ms'"
    )


def _told(kind: str, target: float) -> str:
    return f"{target:g} of the original's time" if kind == "share" else f"{target:g} ms"


def _budget(limits: Mapping[str, float], graph: Graph, levels: int) -> Budget:
    """Bounds as numbers; `InputError` if not even the narrowest network is within them."""
    base = cost_of_graph(graph)
    wholes = {name: getattr(base, name) for name in limits}
    # No more than the whole network: larger numbers say the same, and may not fit 64 bits.
    numbers = {
        name: int(limit * wholes[name]) if is_share(limit) else min(int(limit), wholes[name])
        for name, limit in limits.items()
    }
    budget = Budget(**numbers)
    least = narrowest(graph, levels)
    if any(getattr(least, name) > number for name, number in numbers.items()):
        told = f"the narrowest network has {least.flops} FLOPs and {least.parameters} parameters"
        if any(1 < number <= 100 for number in limits.values()):
            told += "; a share is written as 0.5"
        raise InputError(f"budget: no configuration of the space is within {budget}; {told}")
    return budget


def _judged(network: nn.Module, graph: Graph, wish: Wish) -> tuple[Score, Any]:
    """What is maximised, and what the criterion returns."""
    if (wish.score, wish.criterion) == DEFAULTS:  # both look at the same norms
        norms = log_mass.masses(network, graph)
        return as_score(log_mass.values_of(norms, graph, wish.levels)), highest_first(norms)
    score, measured = _score(wish.score), None
    if score["needs"]:
        _check_images(wish.images, f"the score '{wish.score}'")
        batches = _first(wish.images, criteria.IMAGES)
        progress, sizes = Progress("sensitivity: images", sum(map(len, batches))), iter(map(len, batches))
        measured = measure(network, graph, batches, wish.seed, after=lambda: progress.advance(next(sizes)))
    values = additive_values(score, network, graph, wish.levels, measured.groups if measured else None)
    if measured and wish.criterion == SENSITIVITY:  # what the criterion would measure again
        return values, highest_first(measured.channels)
    return values, _ranked(wish.criterion, network, graph, wish.images, wish.seed)


def _score(name: str) -> Mapping[str, Any]:
    """The function of a score that is a sum over groups and pairs of them, as `search.scorers` calls it."""
    known = scores.score(name)
    if not known.additive:
        closed = ", ".join(each for each, entry in scores.SCORES.items() if entry.additive)
        raise InputError(f"score: '{name}' needs a trained encoder, as a workflow has it; expected one of {closed}")
    return {"function": known.function, "settings": {}, "needs": known.needs}


def _ranked(name: str, network: nn.Module, graph: Graph, images: Sequence[Tensor], seed: int) -> Any:
    """What a criterion returns: channels of each group, best first, or those with factors."""
    known = criteria.criterion(name)
    if name in criteria.CRITERIA:
        if known.images:
            _check_images(images, f"the criterion '{name}'")
        images = _first(images, known.images)
    # Of a copy: modules of the network may be in other modes than the whole.
    return imports.call(known.function, copied(network).eval(), graph, list(images), seed)


def _looks(wish: Wish) -> bool:
    """Whether the score or the criterion looks at images; a user's own criterion is given them."""
    is_known = wish.criterion in criteria.CRITERIA
    return bool(scores.score(wish.score).needs or not is_known or criteria.criterion(wish.criterion).images)


def _first(batches: Sequence[Tensor], number: int) -> list[Tensor]:
    """The first images of batches, in batches; all if there are fewer."""
    left, found = number, list[Tensor]()
    for batch in batches:
        if left <= 0:
            break
        found.append(batch[:left])
        left -= len(found[-1])
    return found


def _check_images(batches: Sequence[Tensor], who: str) -> None:
    if not batches:
        raise InputError(
            f"images: found none, but {who} looks at them; expected batches of training images [B, C, H, W], "
            "normalised as for training"
        )


def _is_limit(limit: Any) -> bool:
    is_number = isinstance(limit, Real) and not isinstance(limit, bool)
    return is_number and bool(0 < limit < math.inf)
