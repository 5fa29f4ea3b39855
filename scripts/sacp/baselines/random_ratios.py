"""A random configuration of the search space: what any search has to be better than."""

import numpy as np

from sacp.baselines.match_flops import BAND, TOLERANCE, gaps, no_match
from sacp.baselines.task import Task
from sacp.errors import InputError
from sacp.network.graph import Graph, Kept
from sacp.pruning.criteria import kept_channels
from sacp.pruning.space import Space, Steps, kept_counts
from sacp.seeds import derive

DRAWS = 100_000  # configurations drawn at a time
MOST_DRAWS = 10_000_000


def select(task: Task) -> Kept:
    """Kept channels of a random configuration, the best ones by the criterion."""
    # ASSUME: baselines keep channels by L1 norm, as a candidate does, to differ by their ratios alone.
    steps = random_steps(task.graph, task.space, task.target_flops, task.seed)
    return kept_channels(task.order, kept_counts(steps, task.graph, task.space.levels))


def random_steps(graph: Graph, space: Space, target_flops: int, seed: int) -> Steps:
    """A configuration [G], uniform over those of the space whose FLOPs are within 1 % of the target.

    Where a draw of 100,000 has none, it is uniform over those within 2 %.

    Raises:
        InputError: ten million draws found none.
    """
    smallest = np.inf
    for attempt in range(MOST_DRAWS // DRAWS):
        steps = space.draw(DRAWS, derive(seed, attempt))
        off = gaps(graph, kept_counts(steps, graph, space.levels), target_flops)
        for wide in (BAND, TOLERANCE):
            if (off <= wide).any():
                match: Steps = steps[int(np.argmax(off <= wide))]
                return match
        smallest = min(smallest, float(off.min()))
    raise InputError(no_match(f"random configuration among {MOST_DRAWS}", target_flops, smallest))
