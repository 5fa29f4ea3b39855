"""A search that ends, whatever the problem: of the beginnings that could become the best, the most promising are kept.

What no completion of can be better than what is known is dropped, and so is what another makes needless (`dominance`).
If more are left than may be, those of the lowest bounds are dropped, and the highest of these bounds is kept in mind:
nothing that was not found is above it. Where none had to be dropped, the best that was found is the best.
"""

import numpy as np

from sacp.solver.beginnings import SLACK, longer, start
from sacp.solver.dominance import undominated
from sacp.solver.problem import Places, Problem
from sacp.solver.relaxation import Relaxation


def search(
    problem: Problem, relaxations: list[Relaxation], width: int, known: float = -np.inf, best_alone: bool = True
) -> tuple[Places, float]:
    """Configurations of high sums within the limits, and a bound on all that are not among them.

    Args:
        problem: what is searched.
        relaxations: of its states, or of those of a wider problem, at several prices.
        width: beginnings of equal length at most.
        known: a sum that is known already; what is not above it is of no interest.
        best_alone: the best alone is asked for, so that needless beginnings are dropped.

    Returns:
        Configurations [n, G], and what no other's sum of values exceeds; -inf if no other is within the limits.
    """
    states, lost = relaxations[0].states, known
    level = known + SLACK * (1 + abs(known)) if known > -np.inf else known
    grown = start(states)
    for place in range(len(states.order)):
        grown, bounds = longer(relaxations, grown, place, level, within=True)
        if best_alone and states.problem is problem:
            left = undominated(states, grown, place + 1)
            grown, bounds = grown.at(left), bounds[left]
        if len(grown) > width:
            order = np.argsort(-bounds, kind="stable")
            lost = max(lost, float(bounds[order[width]]))
            grown = grown.at(np.sort(order[:width]))
    found = states.in_groups(grown.places)
    return found[problem.inside(found)], lost
