"""A budget on latency: a network is asked for by its modelled time, measured, and asked for again if it misses.

As in NetAdapt (Yang et al. 2018), tables of layers only say where to look; what counts is measured.

What is corrected is a curve. Modelled times err in several ways: what is left beside the layers, as sums and
concatenations, takes less in a narrow network than in the whole one; layers are not equally fast in a network and
alone; some widths do not suit the hardware. So neither one factor on all nor another constant makes the model right.
But the whole network's time is right by construction, and no network takes no time. From nothing over the networks that
were measured to the whole one, a broken line says which modelled time goes with the measured one that is wanted: it is
interpolated (regula falsi), as what is extrapolated from one network can be far off.
"""

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor, nn

from sacp.errors import InputError, shown
from sacp.pruning.space import Steps
from sacp.timing.measure import Row, measure
from sacp.timing.model import Times
from sacp.timing.runtimes import Setting
from sacp.tracing.trace import Shape

log = logging.getLogger(__name__)
MOST_ROUNDS = 3
TOLERANCE = 0.1  # of the target, by which a measured time may miss it
# From the most modelled nanoseconds to a configuration within them, [G], and the network that it makes.
Build = Callable[[int], tuple[Steps, nn.Module]]
Measure = Callable[[nn.Module], Row]  # of a pruned network, in turns with the original


@dataclass(frozen=True)
class Round:
    """A network that was asked for: its modelled and its measured time as shares of the original's."""

    steps: Steps  # [G]
    network: nn.Module
    modelled: float
    measured: float
    row: Row


@dataclass(frozen=True)
class Met:
    """The rounds of a budget, as a share of the original's time."""

    target: float
    rounds: tuple[Round, ...]

    @property
    def best(self) -> Round:
        """The slowest that is within the budget and what it may be missed by; the fastest, if none is."""
        within = [each for each in self.rounds if self.is_within(each)]
        return max(within, key=_measured) if within else min(self.rounds, key=_measured)

    @property
    def holds(self) -> bool:
        """Whether the best one is within the budget, and what it may be missed by."""
        return self.is_within(self.best)

    def is_near(self, found: Round) -> bool:
        """Whether one misses the budget, to either side, by no more than it may."""
        return abs(found.measured - self.target) <= TOLERANCE * self.target

    def is_within(self, found: Round) -> bool:
        """Whether one is not slower than the budget and what it may be missed by."""
        return found.measured <= self.target * (1 + TOLERANCE)

    def __str__(self) -> str:
        rounds = (f"modelled {each.modelled:.3f}, measured {each.measured:.3f}" for each in self.rounds)
        return f"latency: target {self.target:.3f} of the original's; {'; '.join(rounds)}"


def _measured(found: Round) -> float:
    return found.measured


def beside(original: nn.Module, example: Shape | Tensor, setting: Setting, seconds: float = 2.0) -> Measure:
    """What measures networks in turns with an original, under a setting."""

    def measured(network: nn.Module) -> Row:
        (row,) = measure(
            network, example, original=original, batches=(setting.batch,), runtimes=(setting.runtime,),
            threads=setting.threads, seconds=seconds, channels_last=setting.channels_last,
        )  # fmt: skip
        return row

    return measured


def meet(
    build: Build, measured: Measure, times: Times, *, share: float | None = None, milliseconds: float | None = None
) -> Met:
    """Ask for networks until one takes about as long as the budget allows, three times at most.

    A second round follows where the first network misses the budget by more than a tenth, to either side. Measured are
    ratios of runs in turns: a budget in milliseconds is turned into a share by the time of the original in `times`.

    Args:
        build: the best configuration within a modelled time, and its network.
        measured: its time beside the original's.
        times: the model, of the same setting.
        share: of the original's time, above 0 and up to 1.
        milliseconds: or a time above 0.

    Returns:
        All rounds. That none holds the budget is a warning of the log and in `holds`; that the best is much faster, a
        warning.

    Raises:
        InputError: not one budget is given, or it is no such number.
    """
    groups, levels = times.unary.shape
    whole, least = (int(times.times(np.full((1, groups), step))[0]) for step in (0, levels - 1))
    met, asked = Met(_target(share, milliseconds, whole), ()), list[int]()
    while len(asked) < MOST_ROUNDS:
        limit = max(round(_modelled(met) * whole), least)
        if limit in asked:
            break
        asked.append(limit)
        found = _round(build, measured, times, limit, whole)
        log.info("modelled %.3f of the original's time, measured %.3f", found.modelled, found.measured)
        met = Met(met.target, (*met.rounds, found))
        if met.is_near(found):
            break
    if not met.is_near(met.best):
        log.warning("%s: %s", met, "faster than asked for" if met.holds else "not reached")
    return met


def _modelled(met: Met) -> float:
    """The modelled share that goes with the measured one that is wanted, by what was measured so far; at most 1.

    Where a network is measured slower than another that is modelled slower, the lower modelled share counts for both.
    """
    points = sorted([(0.0, 0.0), (1.0, 1.0), *((each.measured, each.modelled) for each in met.rounds)])
    shares, modelled = np.array(points).T
    return float(np.interp(met.target, shares, np.minimum.accumulate(modelled[::-1])[::-1]))


def _round(build: Build, measured: Measure, times: Times, limit: int, whole: int) -> Round:
    steps, network = build(limit)
    row = measured(network)
    if row.speedup is None:
        raise ValueError("the network was measured without its original")
    return Round(steps, network, int(times.times(steps[None])[0]) / whole, 1 / row.speedup, row)


def _target(share: Any, milliseconds: Any, whole: int) -> float:
    """The budget as a share of the whole network's nanoseconds."""
    given = {name: found for name, found in (("share", share), ("milliseconds", milliseconds)) if found is not None}
    most = {"share": 1.0, "milliseconds": math.inf}
    if len(given) == 1:
        ((name, found),) = given.items()
        is_number = isinstance(found, int | float) and not isinstance(found, bool)
        if is_number and 0 < found <= most[name] and math.isfinite(found):
            return float(found) if name == "share" else 1e6 * float(found) / whole
    expected = "a share above 0 and up to 1.0, or milliseconds above 0"
    raise InputError(f"latency: found {shown(given) if given else 'no budget'}, expected {expected}")
