"""ABCPruner: an artificial bee colony searches how many channels every group keeps.

Lin et al., Channel Pruning via Automatic Structure Search, IJCAI 2020, section 3.3 and algorithm 1. There a structure
is bounded by a share of each layer; here every structure is scaled to the FLOPs of the network it is compared with.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from sacp.baselines.colony_size import Colony
from sacp.baselines.match_flops import approached
from sacp.network.graph import Graph

Counts = NDArray[np.int64]  # kept channels of every group, [G]
FACTORS = np.geomspace(1e-3, 1e3, 6001)  # tried to scale a structure
LEAST_CHANCE = 0.1  # of a food source to be chosen by an onlooker, beside 0.9 of its share of the best fitness (eq. 7)


def scaled(graph: Graph, counts: NDArray[np.float64], target_flops: int) -> Counts:
    """A structure scaled by one factor, whole channels, at least one, within 2 % of the target's FLOPs; [G] -> [G]."""
    channels = np.array(graph.channels, np.int64)
    tried = np.clip(np.rint(FACTORS[:, None] * counts), 1, channels).astype(np.int64)
    return approached(graph, tried, target_flops, "structure of the colony")


def best_structure(
    fitness: Callable[[Counts], float], graph: Graph, target_flops: int, colony: Colony, rng: np.random.Generator
) -> tuple[Counts, float]:
    """The best structure that the bees find, and its fitness.

    Args:
        fitness: of a structure: validation accuracy after a light training. Asked once for each structure.
        graph: the network's graph.
        target_flops: FLOPs of every structure, within 2 %.
        colony: the size of the search.
        rng: all that is drawn.
    """
    known: dict[bytes, float] = {}
    channels = np.array(graph.channels, np.int64)

    def judged(counts: Counts) -> float:
        key = counts.tobytes()
        if key not in known:
            known[key] = fitness(counts)
        return known[key]

    def found() -> Counts:
        return scaled(graph, channels * rng.uniform(0.1, 1.0, len(channels)), target_flops)

    sources = [found() for _ in range(colony.food)]
    values, trials = [judged(source) for source in sources], [0] * colony.food
    best = max(range(colony.food), key=values.__getitem__)
    winner, most = sources[best], values[best]

    def visit(bee: int) -> None:
        """Look beside a source, towards or away from another (eq. 5), and move there if it is better."""
        nonlocal winner, most
        other = sources[rng.choice([n for n in range(colony.food) if n != bee] or [bee])]
        step = rng.uniform(-1, 1, len(channels)) * (sources[bee] - other)
        beside = scaled(graph, np.clip(sources[bee] + step, 1, channels), target_flops)
        value = judged(beside)
        if value > values[bee]:
            sources[bee], values[bee], trials[bee] = beside, value, 0
        else:
            trials[bee] += 1
        if value > most:
            winner, most = beside, value

    for _ in range(colony.cycles):
        for bee in range(colony.food):  # employed bees
            visit(bee)
        chances = (1 - LEAST_CHANCE) * np.array(values) / max(max(values), 1e-12) + LEAST_CHANCE
        for bee in rng.choice(colony.food, colony.food, p=chances / chances.sum()):  # onlookers
            visit(int(bee))
        for bee in range(colony.food):  # scouts
            if trials[bee] > colony.limit:
                sources[bee], trials[bee] = found(), 0
                values[bee] = judged(sources[bee])
                if values[bee] > most:
                    winner, most = sources[bee], values[bee]
    return winner, most
