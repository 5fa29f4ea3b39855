"""What looks wrong in a run's results, each in a sentence: a reader should know it before any number."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from sacp.network.cost import Budget, Cost

NEAR_CHANCE = 0.05  # share of the way from chance to 100 % that a network has to be above to have learned anything
FAR_BELOW = 60.0  # points below the base
OFF = 0.02  # share of the FLOPs that a method may be away from those that it matches; baselines promise as much
Metrics = Mapping[str, Any]
Settings = Mapping[str, Any]


def alarms(
    rows: pd.DataFrame, classes: int, settings: Settings, bases: Sequence[Metrics],
    winners: Mapping[str, Sequence[Metrics]],
) -> list[str]:  # fmt: skip
    """What looks wrong in an experiment, the gravest first; empty if nothing does.

    Args:
        rows: its measured rows of table 3, of which the base's is the first.
        classes: of its data.
        settings: of the experiment: `methods` and `search`.
        bases: metrics of the base, one mapping for each seed.
        winners: metrics of the winners by method, one mapping for each seed.
    """
    accuracies = rows.set_index("method")["top1_percent"].astype(float)
    return [
        *_diverged(accuracies),
        *_at_chance(accuracies, classes),
        *_far_below(accuracies, classes),
        *_off_target(settings, bases, winners),
        *_failed(winners),
    ]


def near_chance(accuracy_percent: float, classes: int) -> bool:
    """Whether an accuracy is hardly above, or below, that of guessing among these classes."""
    chance = 100 / classes
    return accuracy_percent <= chance + NEAR_CHANCE * (100 - chance)


def _diverged(accuracies: pd.Series) -> Iterator[str]:
    if names := list(accuracies.index[accuracies.isna()]):
        yield f"No accuracy (NaN), the training has diverged: {', '.join(names)}."


def _at_chance(accuracies: pd.Series, classes: int) -> Iterator[str]:
    base, *found = [
        f"{name} {value:.2f} %" if near_chance(value, classes) else "" for name, value in accuracies.items()
    ]
    chance = f"at the level of chance ({100 / classes:.2f} % with {classes} classes)"
    if base:
        yield f"The base is {chance}: {base}. What is made of it says nothing."
    if found := list(filter(None, found)):
        yield f"Pruned networks are {chance}: {', '.join(found)}."


def _far_below(accuracies: pd.Series, classes: int) -> Iterator[str]:
    base = accuracies.iloc[0]
    found = [
        f"{name} {value - base:.2f} points"
        for name, value in accuracies.iloc[1:].items()
        if base - value >= FAR_BELOW and not near_chance(value, classes)
    ]
    if found:
        yield f"At least {FAR_BELOW:.0f} points below the base: {', '.join(found)}."


def _off_target(
    settings: Settings, bases: Sequence[Metrics], winners: Mapping[str, Sequence[Metrics]]
) -> Iterator[str]:
    """Methods whose networks do not have the FLOPs that they were asked for, with the seed that is farthest off."""
    found = []
    for name, method in settings["methods"].items():
        if method["kind"] != "tuned" and (gap := _gap(method, name, settings, bases, winners)):
            found.append(f"{name} {gap}")
    if found:
        yield f"FLOPs are not those that were asked for: {'; '.join(found)}."


def _gap(
    method: Settings, name: str, settings: Settings, bases: Sequence[Metrics], winners: Mapping[str, Sequence[Metrics]]
) -> str:
    """How far a method is off, a text; empty if it is not."""
    if "match" in method:
        pairs = zip(winners[name], winners[method["match"]], strict=True)
        gaps = [winner["flops"] / matched["flops"] - 1 for winner, matched in pairs]
        farthest = max(gaps, key=abs)
        return f"{farthest:+.1%} of those of {method['match']}" if abs(farthest) > OFF else ""
    limits = method.get("budget", settings["search"]["budget"])
    for winner, base in zip(winners[name], bases, strict=True):
        budget = Budget.of(limits, Cost(base["flops"], base["parameters"]))
        least, most = budget.least_flops, budget.flops
        if most is not None and not least <= winner["flops"] <= most:
            return f"{winner['flops']:,}, asked for were {f'{least:,} to ' if least else 'at most '}{most:,}"
    return ""


def _failed(winners: Mapping[str, Sequence[Metrics]]) -> Iterator[str]:
    """Trainings that ended without a network; others of the same method have taken their place."""
    for name, runs in winners.items():
        if failures := [failure for run in runs for failure in run.get("failures", ())]:
            number = f"{len(failures)} trainings" if len(failures) > 1 else "one training"
            yield f"{name}: {number} failed and came last; the first reason: {failures[0]['reason']}."
