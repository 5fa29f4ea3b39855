"""What looks wrong is said, and nothing is said of a run in which all is well."""

from typing import Any

import pandas as pd
import pytest
from sacp.report.alarms import alarms, near_chance

SETTINGS = {
    "methods": {"sacp": {"kind": "search"}, "l1": {"kind": "uniform", "match": "sacp"},
                "sacp-2": {"kind": "tuned", "match": "sacp"}},
    "search": {"budget": {"flops": [0.48, 0.5]}},
}  # fmt: skip
BASE = {"flops": 1000, "parameters": 100}


def winner(flops: int, **more: Any) -> dict[str, Any]:
    return {"flops": flops, "parameters": 50, "failures": []} | more


GOOD = {"Base": 93.0, "sacp": 91.0, "l1": 90.0, "sacp-2": 80.0}
WINNERS = {"sacp": [winner(490), winner(480)], "l1": [winner(489), winner(482)], "sacp-2": [winner(900), winner(300)]}


def found(
    accuracies: dict[str, float | None] | None = None, winners: dict[str, list[dict[str, Any]]] | None = None,
    classes: int = 10,
) -> list[str]:  # fmt: skip
    values = GOOD | (accuracies or {})
    rows = pd.DataFrame({"method": list(values), "top1_percent": list(values.values())})
    return alarms(rows, classes, SETTINGS, [BASE, BASE], WINNERS | (winners or {}))


def test_nothing_is_said_where_all_is_well():
    """SACP-2 takes a tuned network at whatever FLOPs."""
    assert found() == []


@pytest.mark.parametrize("value", [None, float("nan")])
def test_a_diverged_row_is_named(value):
    assert found({"l1": value}) == ["No accuracy (NaN), the training has diverged: l1."]


def test_networks_at_the_level_of_chance_are_named_once():
    """They are more than 60 points below the base as well."""
    assert found({"sacp": 10.0, "l1": 14.0}) == [
        "Pruned networks are at the level of chance (10.00 % with 10 classes): sacp 10.00 %, l1 14.00 %."
    ]


def test_a_base_at_the_level_of_chance_is_named_before_all_else():
    first, *_ = found({"Base": 11.0})
    assert first == (
        "The base is at the level of chance (10.00 % with 10 classes): Base 11.00 %. What is made of it says nothing."
    )


def test_a_network_far_below_its_base_is_named():
    assert found({"l1": 33.0}) == ["At least 60 points below the base: l1 -60.00 points."]
    assert found({"l1": 33.1}) == []


@pytest.mark.parametrize(("accuracy", "classes", "near"), [(52.0, 2, True), (60.0, 2, False), (6.0, 1000, False)])
def test_chance_depends_on_the_number_of_classes(accuracy, classes, near):
    assert near_chance(accuracy, classes) == near


def test_a_baseline_away_from_the_flops_that_it_matches_is_named_with_the_farthest_seed():
    assert found(winners={"l1": [winner(480), winner(528)]}) == [
        "FLOPs are not those that were asked for: l1 +10.0% of those of sacp."
    ]


@pytest.mark.parametrize("flops", [520, 470])
def test_a_search_outside_its_budget_is_named(flops):
    winners = {"sacp": [winner(490), winner(flops)], "l1": [winner(490), winner(flops)]}
    assert found(winners=winners) == [
        f"FLOPs are not those that were asked for: sacp {flops}, asked for were 480 to 500."
    ]


def test_failed_trainings_are_named_with_the_first_reason():
    failures = [{"stage": "tune", "candidate": 3, "reason": "loss is nan"}]
    assert found(winners={"sacp": [winner(490, failures=failures), winner(480)]}) == [
        "sacp: one training failed and came last; the first reason: loss is nan."
    ]
