"""A budget on latency is met by measuring: all times are synthetic, and so is the solver."""

import logging
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
from networks_zoo import any_network
from sacp.errors import InputError
from sacp.network.surgery import prune
from sacp.pruning.criteria import kept_of, l1_order
from sacp.search import log_mass
from sacp.timing import budget
from sacp.timing.budget import TOLERANCE, meet
from sacp.timing.measure import Row
from sacp.timing.model import Times
from sacp.timing.runtimes import Setting
from torch import nn

LEVELS = 10
WHOLE = 1000  # nanoseconds of the modelled network
EVERY = np.array(list(product(range(LEVELS), repeat=2)))
# Two layers, of which the second reads what the first gives, and a fifth of the time beside them.
LEFT = np.arange(LEVELS, 0, -1)
TIMES = Times(np.array([30 * LEFT, 0 * LEFT]), {(0, 1): 5 * LEFT[:, None] * LEFT}, 200)


class World:
    """Networks that are their steps, and what they really take, as a share of the original's time."""

    def __init__(self, real: Callable[[float], float]) -> None:
        self.real, self.limits = real, list[int]()

    def build(self, limit: int) -> tuple[Any, nn.Module]:
        """The configuration within a modelled time that removes least, by trying all of them."""
        self.limits.append(limit)
        inside = EVERY[TIMES.times(EVERY) <= limit]
        network = nn.Identity()
        network.steps = inside[np.argmin(inside.sum(axis=1))].astype(np.uint8)
        return network.steps, network

    def measured(self, network: Any) -> Row:
        share = self.real(TIMES.times(network.steps[None])[0] / WHOLE)
        return Row("eager", 1, 1, "here", 1.0, 1.0, 1.0, 10, 1.0, 1 / share, 1.0, 1.0)


def test_the_world_is_a_network() -> None:
    assert TIMES.times(np.zeros((1, 2), np.uint8))[0] == WHOLE


def test_one_round_is_enough_where_the_model_is_right() -> None:
    world = World(lambda modelled: modelled)
    met = meet(world.build, world.measured, TIMES, share=0.5)
    assert world.limits == [500]
    assert (met.holds, met.target, met.best.measured) == (True, 0.5, met.best.modelled)
    assert 0.45 <= met.best.measured <= 0.5


@pytest.mark.parametrize("target", [0.4, 0.5, 0.7])
@pytest.mark.parametrize(
    "real",
    [
        lambda modelled: 1 - 1.25 * (1 - modelled),  # nothing is left beside narrow layers
        lambda modelled: 1 - 0.8 * (1 - modelled),  # layers are not as fast in a network as alone
        lambda modelled: modelled**1.5,
        lambda modelled: modelled**0.7,
    ],
)  # fmt: skip
def test_a_model_that_errs_is_corrected(real: Callable[[float], float], target: float) -> None:
    world = World(real)
    met = meet(world.build, world.measured, TIMES, share=target)
    assert met.holds
    assert abs(met.best.measured - target) <= TOLERANCE * target
    assert len(met.rounds) == len(world.limits) <= 3
    first = met.rounds[0]
    assert (len(met.rounds) > 1) == (abs(first.measured - target) > TOLERANCE * target)
    assert met.best.measured == pytest.approx(real(met.best.modelled))


def test_what_is_asked_for_lies_on_a_broken_line_from_nothing_to_the_original() -> None:
    shares = iter([0.8, 0.4, 0.6])
    world = World(lambda modelled: next(shares))
    met = meet(world.build, world.measured, TIMES, share=0.5)
    first, second, _ = (each.modelled for each in met.rounds)
    assert world.limits[0] == 500
    assert world.limits[1] == round(WHOLE * first * 0.5 / 0.8)  # between nothing and the first
    assert world.limits[2] == round(WHOLE * (second + (first - second) * (0.5 - 0.4) / (0.8 - 0.4)))


def test_a_network_that_is_too_fast_is_followed_by_a_wider_one() -> None:
    world = World(lambda modelled: max(0.0, 1 - 1.4 * (1 - modelled)))
    met = meet(world.build, world.measured, TIMES, share=0.6)
    first = met.rounds[0]
    assert world.limits[1] == round(
        WHOLE * (first.modelled + (1 - first.modelled) * (0.6 - first.measured) / (1 - first.measured))
    )
    assert met.best.measured == pytest.approx(0.6, abs=0.06)


def test_three_rounds_are_the_most(caplog: pytest.LogCaptureFixture) -> None:
    shares = iter([0.9, 0.2, 0.9, 0.5])
    world = World(lambda modelled: next(shares))
    met = meet(world.build, world.measured, TIMES, share=0.5)
    assert [each.measured for each in met.rounds] == pytest.approx([0.9, 0.2, 0.9])
    assert met.best.measured == pytest.approx(0.2)  # within the budget, though it misses it
    assert met.holds
    assert caplog.records[-1].getMessage().endswith("measured 0.900: faster than asked for")


def test_a_budget_out_of_reach_is_said(caplog: pytest.LogCaptureFixture) -> None:
    world = World(lambda modelled: 0.6 + 0.4 * modelled)
    with caplog.at_level(logging.WARNING):
        met = meet(world.build, world.measured, TIMES, share=0.3)
    assert not met.holds
    assert world.limits == [300, TIMES.times(np.full((1, 2), LEVELS - 1))[0]]
    assert met.best.measured == min(each.measured for each in met.rounds)
    (record,) = caplog.records
    assert record.getMessage().startswith("latency: target 0.300 of the original's; modelled 0.")
    assert record.getMessage().endswith(": not reached")


def test_networks_that_are_not_faster_are_said_to_miss() -> None:
    world = World(lambda modelled: 1.1)
    met = meet(world.build, world.measured, TIMES, share=0.5)
    assert (len(met.rounds), met.holds) == (3, False)


def test_milliseconds_are_a_share_of_the_modelled_original() -> None:
    worlds = [World(lambda modelled: modelled**1.5) for _ in range(2)]
    shares = meet(worlds[0].build, worlds[0].measured, TIMES, share=0.4)
    milliseconds = meet(worlds[1].build, worlds[1].measured, TIMES, milliseconds=0.4 * WHOLE / 1e6)
    assert worlds[0].limits == worlds[1].limits
    assert milliseconds.target == pytest.approx(shares.target)


def test_all_of_the_time_is_the_whole_network() -> None:
    for limits in ({"share": 1.0}, {"milliseconds": 3.0}):
        world = World(lambda modelled: modelled)
        met = meet(world.build, world.measured, TIMES, **limits)
        assert (met.best.steps.tolist(), met.holds, world.limits) == ([0, 0], True, [WHOLE])


@pytest.mark.parametrize(
    "given",
    [
        {}, {"share": 0}, {"share": 1.5}, {"share": True}, {"share": "0.5"}, {"share": float("nan")},
        {"milliseconds": -1}, {"milliseconds": float("inf")}, {"share": 0.5, "milliseconds": 3},
    ],
)  # fmt: skip
def test_one_budget_must_be_given_as_a_number(given: dict[str, Any]) -> None:
    world = World(lambda modelled: modelled)
    with pytest.raises(InputError, match=r"^latency: found .*, expected a share above 0 and up to 1\.0, or millisec"):
        meet(world.build, world.measured, TIMES, **given)
    assert not world.limits


def test_a_real_network_is_pruned_and_measured_in_turns_with_its_original(monkeypatch: pytest.MonkeyPatch) -> None:
    network, graph, shape = any_network("flat")
    values, order = log_mass.values(network, graph, LEVELS), l1_order(network, graph)
    asked = list[dict[str, Any]]()

    def build(limit: int) -> tuple[Any, nn.Module]:
        inside = EVERY[TIMES.times(EVERY) <= limit]
        steps = inside[np.argmax(values[[0, 1], inside].sum(axis=1))].astype(np.uint8)
        return steps, prune(network, graph, kept_of(steps, order, graph, LEVELS))

    def fake(smaller: nn.Module, example: Any, **settings: Any) -> list[Row]:
        asked.append(settings)
        share = (smaller.conv1.out_channels / 6) * (smaller.conv2.out_channels / 5)
        return [Row("eager", 1, 1, "here", 1.0, 1.0, 1.0, 10, 1.0, 1 / share, 1.0, 1.0)]

    monkeypatch.setattr(budget, "measure", fake)
    met = meet(build, budget.beside(network, shape, Setting("eager", 4, 1)), TIMES, share=0.6)
    assert met.best.network.conv2.in_channels == met.best.network.conv1.out_channels < 6
    assert asked[0]["original"] is network
    assert (asked[0]["batches"], asked[0]["runtimes"], asked[0]["threads"]) == ((4,), ("eager",), 1)
