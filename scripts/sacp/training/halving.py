"""Successive halving: all candidates are tuned for a part of the steps, the better half goes on, and so on to the end.

Jamieson and Talwalkar, Non-stochastic Best Arm Identification and Hyperparameter Optimization, AISTATS 2016, figure 1.
In the terms of Li et al., Hyperband, JMLR 2018, algorithm 1: one bracket with eta = 2 and s = 2. Needs no torch.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from sacp.training.ranking import rank

HALVINGS = 2  # rungs before the last: a quarter of the steps for all, half of them for half, all of them for a quarter
Row = Mapping[str, Any]  # of `ranking.TUNED_COLUMNS`


def numbers(m: int) -> list[int]:
    """Candidates of each rung, from m on; of an odd number the larger half goes on."""
    found = [m]
    for _ in range(HALVINGS):
        found.append(math.ceil(found[-1] / 2))
    return found


def steps_until(rung: int, steps: int) -> int:
    """Steps of a tuning of `steps` steps that are done at the end of a rung, counted from 0; at least one."""
    return -(-steps // (1 << (HALVINGS - rung)))


def halved(rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """The better half of a rung's candidates, which goes on, and the others, best validation accuracy first.

    Candidates that failed come last.

    Raises:
        InputError: all of them failed.
    """
    ranked = rank(rows)
    half = math.ceil(len(ranked) / 2)
    return ranked[:half], ranked[half:]
