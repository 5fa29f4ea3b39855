"""The best configurations within a budget, or good ones with a bound on all others where an exact search is too large.

The best alone is looked for by `beam`, which starts from what prices for the costs and moves along the limits find
(`moves`), and mostly proves that it is the best. Of several, those that `beam` keeps are taken: they are the best as
far as they lie above all that it has dropped. Where the states are too many, a wider problem gives the bounds
(`wider`).
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from sacp.errors import InputError, TooLargeError
from sacp.network.cost import Budget
from sacp.network.graph import Graph
from sacp.pruning.space import Space, Steps
from sacp.solver import beam, exact
from sacp.solver.costs import Limit
from sacp.solver.moves import improved, moves
from sacp.solver.prices import nearby
from sacp.solver.problem import Places, Problem, Values
from sacp.solver.relaxation import Relaxation
from sacp.solver.tables import Score
from sacp.solver.wider import states_of

log = logging.getLogger(__name__)
MOST_STATES = 5_000_000  # states and places of all groups together
MOST_ENTRIES = 10_000_000  # of a table with the states and what is still to be removed
WIDTHS = (4_000, 20_000, 80_000)  # beginnings that are kept at most, from one try to the next
PLACES = 10  # of a group, above which fewer are kept, as each grows by every place
NO_LEAST = -(1 << 62)  # below every cost
MOST_BESIDE = 200  # configurations whose neighbours are taken where too few are found


@dataclass(frozen=True)
class Found:
    """Configurations [n, G], their sums of values [n], falling, and what no other within the budget exceeds."""

    steps: Steps
    sums: Values
    bound: float
    solved: bool  # whether these are the best

    @property
    def value(self) -> float:
        """The highest sum; equal to the bound where it is the best of all."""
        return float(self.sums[0])

    @property
    def facts(self) -> dict[str, float | bool]:
        """What a file of these says of them; nothing where no bound is known."""
        return {"best_found": self.value, "bound": self.bound, "solved": self.solved} if self.bound < np.inf else {}


def best(
    values: Values | Score, graph: Graph, space: Space, budget: Budget, found: int = 1, distance: int = 1,
    others: Sequence[Limit] = (),
) -> Found:  # fmt: skip
    """The best configurations within a budget, or good ones with a bound on the best.

    Args:
        values: what each group adds at each step, equal for equal numbers of kept channels, [G, levels]; or tables of
            the groups and of pairs of them.
        graph: the network's graph, for costs.
        space: the space; a threshold on the pruning ratio is held as well.
        budget: bounds on costs.
        found: how many to return; fewer if no more are within the budget, or no more were found.
        distance: groups in which any two of them differ at least; of those nearer, the better one stays.
        others: limits on other costs, whose tables have a place for every step.

    Raises:
        InputError: nothing is within the budget.
        TooLargeError: nothing was found within it, and it is not known that there is nothing.
    """
    problem = Problem.of(values, graph, space, budget, others)
    relaxations = nearby(states_of(problem, MOST_STATES, MOST_ENTRIES))
    chosen, bound = _best_alone(problem, relaxations)
    solved = float(problem.sums(chosen)[0]) >= bound
    if found > 1:
        chosen, solved, bound = _several(problem, relaxations, chosen, found, distance, bound)
    sums = problem.sums(chosen)
    bound = max(float(sums[0]), bound)
    log.info("search: found %.6g, and nothing within the budget is above %.6g", sums[0], bound)
    return Found(problem.as_steps(chosen), sums, bound, solved)


def _best_alone(problem: Problem, relaxations: list[Relaxation]) -> tuple[Places, float]:
    """A configuration [1, G], and what no other's sum exceeds."""
    bound = min(relaxed.top for relaxed in relaxations)
    if any(limit.least > 0 for limit in problem.limits):
        # What is best without the lower bounds mostly holds them, and is found more easily.
        free = replace(problem, limits=tuple(replace(limit, least=NO_LEAST) for limit in problem.limits))
        chosen, above = _best_alone(free, nearby(states_of(free, MOST_STATES, MOST_ENTRIES)))
        if problem.inside(chosen)[0]:
            return chosen, above
        bound = min(bound, above)
    known = _starts(problem, relaxations)  # one at most
    for width in _widths(problem):
        value = float(problem.sums(known)[0]) if len(known) else -np.inf
        found, lost = beam.search(problem, relaxations, width, value)
        if len(found):
            best = found[np.argmax(problem.sums(found))]
            known = improved(problem, best)[None]
            value = float(problem.sums(known)[0])
        bound = max(value, min(bound, lost))
        if value >= bound:
            break
    if len(known):
        return known, bound
    if bound == -np.inf:
        raise InputError(f"search.budget: no configuration of the space is within {problem.name}")
    raise TooLargeError(
        f"search.budget: no configuration was found within {problem.name}, nor is it known that there is none; "
        "expected a wider budget"
    )


def _widths(problem: Problem) -> list[int]:
    """Beginnings that are kept at most, so many that they grow to about as many in every problem."""
    return [max(1, width * PLACES // max(PLACES, *problem.sizes)) for width in WIDTHS]


def _starts(problem: Problem, relaxations: list[Relaxation]) -> Places:
    """The best configuration within the limits that is easily found, moved along them, [1, G], or none, [0, G]."""
    last = np.array([[size - 1 for size in problem.sizes]], np.uint8)
    every = np.unique(np.concatenate([last, *(relaxed.maximiser() for relaxed in relaxations)]), axis=0)
    inside = every[problem.inside(every)]
    if not len(inside):
        return inside
    return improved(problem, inside[np.argmax(problem.sums(inside))])[None]


def _several(
    problem: Problem, relaxations: list[Relaxation], chosen: Places, found: int, distance: int, bound: float
) -> tuple[Places, bool, float]:
    """The best that a beam keeps with `chosen` [1, G] among them, [n, G]; whether they are the best; and the bound."""
    best, sums, level = chosen, problem.sums(chosen), -np.inf
    every = chosen
    for width in _widths(problem):
        # What is not above the last of those that are known is of no interest.
        listed, lost = beam.search(problem, relaxations, max(width, 4 * found), level, best_alone=False)
        every = np.unique(np.concatenate([every, listed]), axis=0)
        best, sums = exact.apart(every, problem.sums(every), found, distance)
        if lost == -np.inf or (len(best) == found and float(sums[-1]) >= lost):
            return best, True, float(sums[0])
        level = float(sums[-1]) if len(best) == found else -np.inf
    if len(best) < found:
        every = np.unique(np.concatenate([every, _beside(problem, best[:MOST_BESIDE])]), axis=0)
        best, sums = exact.apart(every, problem.sums(every), found, distance)
    return best, False, min(bound, max(lost, float(sums[0])))


def _beside(problem: Problem, places: Places) -> Places:
    """Neighbours of configurations within the limits, [n, G]."""
    near = (places.astype(np.int16)[:, None] + moves(problem.groups)).reshape(-1, problem.groups)
    there = ((near >= 0) & (near < problem.sizes)).all(axis=1)
    distinct = np.unique(near[there].astype(np.uint8), axis=0)
    return distinct[problem.inside(distinct)]
