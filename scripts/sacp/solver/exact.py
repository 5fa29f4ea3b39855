"""The best configurations of the whole space for a score that is a sum over groups and pairs of them, without a sample.

Maximise that sum under the threshold on the pruning ratio and, if asked for, bounds on FLOPs and parameters. The
threshold is linear: dynamic programming over the groups, with what is still to be removed as its state, is exact. Costs
are quadratic forms, whose terms couple groups that feed one another, as a score's pairs do. They enter as a relaxation
(`relaxation`): with a price for each cost there is a bound on the score of every configuration within the budget, found
by the same dynamic programming, with what later terms need in the state too (`states`). Then
configurations are built up group by group; a beginning is dropped when, at one of several prices, no completion reaches
some level. Once enough of those within the budget reach that level, nothing that was dropped can be better. So the
result is exact with a budget too; the prices decide only how long the list becomes.

Narrow groups keep equal numbers of channels at several steps, and configurations that keep equal numbers everywhere are
one network. Of such steps only the last is used: it meets the threshold wherever another does.
"""

import logging

import numpy as np

from sacp.errors import InputError, TooLargeError
from sacp.network.cost import Budget
from sacp.network.graph import Graph
from sacp.pruning.space import Space, Steps
from sacp.solver.beginnings import SLACK, longer, start
from sacp.solver.prices import around
from sacp.solver.problem import Places, Problem, Values
from sacp.solver.relaxation import Relaxation
from sacp.solver.states import States
from sacp.solver.tables import Score

log = logging.getLogger(__name__)
MOST_STATES = 20_000_000  # states and places of all groups together: 400 MB
MOST_LISTED = 500_000  # configurations that are listed at most
WIDER, MUCH_WIDER = 1.15, 1.6  # factors on the depth of the list from one try to the next


def best(
    values: Values | Score, graph: Graph, space: Space, budget: Budget, found: int, distance: int = 1,
    enough: int | None = None, most: int = MOST_LISTED, states: int = MOST_STATES,
) -> tuple[Steps, Values]:  # fmt: skip
    """The `found` networks of the highest sums of values, best first: steps [n, G] and sums [n].

    Args:
        values: what each group adds at each step, equal for equal numbers of kept channels, [G, levels]; or tables of
            the groups and of pairs of them.
        graph: the network's graph, for costs.
        space: the space, with its threshold.
        budget: bounds on costs.
        found: how many to return; fewer if the space within the budget holds fewer.
        distance: groups in which any two of them differ at least; of those nearer, the better one stays.
        enough: return fewer than `found`, but no fewer than this, if more of them ask for a longer list.
        most: configurations that are listed at most.
        states: entries of all groups' tables at most.

    Raises:
        TooLargeError: the problem is too large to be solved exactly.
        InputError: nothing is within the budget.
    """
    problem = Problem.of(values, graph, space, budget)
    chosen, sums = listed(problem, around(States(problem, states)), found, distance, enough or found, most)
    return problem.as_steps(chosen), sums


def listed(
    problem: Problem, relaxations: list[Relaxation], found: int, distance: int, enough: int, most: int
) -> tuple[Places, Values]:
    """As `best`, from relaxations of the problem or of a wider one: places [n, G] and sums [n]."""
    top = min(relaxed.top for relaxed in relaxations)
    # The first list is as short as rounding allows; each is a little deeper than the one before.
    depth = 1e-6 * (1 + abs(top))
    while True:
        level = top - depth if top - depth >= relaxations[0].floor else -np.inf
        every = _listed(relaxations, level, most)
        inside = every[problem.inside(every)]
        sums = problem.sums(inside)
        sure = sums >= level
        chosen, sums = apart(inside[sure], sums[sure], found, distance)
        if len(chosen) >= enough or level == -np.inf:
            break
        depth *= WIDER if 10 * len(every) > found else MUCH_WIDER
    if not len(chosen):
        raise InputError(f"search.budget: no configuration of the space is within {problem.name}")
    log.info("exact search: %d listed, %d kept, scores %.6g to %.6g", len(every), len(chosen), sums[0], sums[-1])
    return chosen, sums


def _listed(relaxations: list[Relaxation], level: float, most: int) -> Places:
    """All configurations whose bound reaches the level in every relaxation, [n, G]."""
    states = relaxations[0].states
    slack = SLACK * (1 + max(abs(relaxed.top) for relaxed in relaxations))
    grown = start(states)
    for place in range(len(states.order)):
        grown, _ = longer(relaxations, grown, place, level - slack)
        if len(grown) > most:
            raise TooLargeError(
                f"search: more than {most} configurations come so near to the best that none can be left "
                "out, and too few of them are within the budget; ask for fewer (search.found), a smaller "
                "search.distance, one budget instead of two, or a wider one"
            )
    return states.in_groups(grown.places)


def apart(steps: Places, sums: Values, found: int, distance: int) -> tuple[Places, Values]:
    """The `found` best, each in at least `distance` groups unlike those before it."""
    order = np.argsort(-sums, kind="stable")
    steps, sums = steps[order], sums[order]
    if distance > 1:
        left, kept = np.arange(len(steps)), list[int]()
        while len(left) and len(kept) < found:
            kept.append(int(left[0]))
            left = left[(steps[left] != steps[left[0]]).sum(axis=1) >= distance]
        steps, sums = steps[kept], sums[kept]
    return steps[:found], sums[:found]
