"""ABCPruner: an artificial bee colony searches how many channels every group keeps.

Lin et al., Channel Pruning via Automatic Structure Search, IJCAI 2020, section 3.3 and algorithm 1; what these leave
open is as in the authors' code (`bee_cifar.py`). There a structure is bounded by a share of each layer; here every
structure is scaled to the FLOPs of the network it is compared with.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from sacp.baselines.colony_size import Colony
from sacp.baselines.match_flops import approached
from sacp.network.graph import Graph

Counts = NDArray[np.int64]  # kept channels of every group, [G]
FACTORS = np.geomspace(1e-3, 1e3, 6001)  # tried to scale a structure
LEAST_CHANCE = 0.1  # that an onlooker stays at a food source, beside 0.9 of its share of the best fitness (eq. 7)
CHANGED = 2  # groups whose counts a visit changes; `honeychange_num` of the authors' code


def scaled(graph: Graph, counts: NDArray[np.float64], target_flops: int) -> Counts:
    """A structure scaled by one factor, whole channels, at least one, within 2 % of the target's FLOPs; [G] -> [G]."""
    channels = np.array(graph.channels, np.int64)
    tried = np.clip(np.rint(FACTORS[:, None] * counts), 1, channels).astype(np.int64)
    return approached(graph, tried, target_flops, "structure of the colony")


def beside(source: Counts, other: Counts, rng: np.random.Generator) -> NDArray[np.float64]:
    """A structure [G] that differs from a source in two groups, moved towards or away from another source (eq. 5).

    DEVIATION: the authors draw the groups with repetition, and never the last one; here they are two different ones of
    all.
    """
    groups = rng.choice(len(source), min(CHANGED, len(source)), replace=False)
    found = source.astype(np.float64)
    found[groups] += rng.uniform(-1, 1, len(groups)) * (source - other)[groups]
    return found


def onlooked(values: Sequence[float], rng: np.random.Generator) -> Iterator[int]:
    """The sources that onlookers visit, as many as there are sources, by their fitness (eq. 7).

    They pass the sources in turn and stay at each with its chance, until all of them have stayed somewhere.
    """
    chances = (1 - LEAST_CHANCE) * np.array(values) / max(max(values), 1e-12) + LEAST_CHANCE
    bee, sent = 0, 0
    while sent < len(values):
        if rng.uniform() < chances[bee]:
            sent += 1
            yield bee
        bee = (bee + 1) % len(values)


def exhausted(trials: Sequence[int], limit: int) -> int | None:
    """The source with the most trials without a gain, the first of several, if they have come to the limit."""
    most = int(np.argmax(trials))
    return most if trials[most] >= limit else None


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
        """Look beside a source and move there if it is better."""
        nonlocal winner, most
        other = sources[rng.choice([n for n in range(colony.food) if n != bee] or [bee])]
        moved = scaled(graph, np.clip(beside(sources[bee], other, rng), 1, channels), target_flops)
        value = judged(moved)
        if value > values[bee]:
            sources[bee], values[bee], trials[bee] = moved, value, 0
        else:
            trials[bee] += 1
        if value > most:
            winner, most = moved, value

    for _ in range(colony.cycles):
        for bee in range(colony.food):  # employed bees
            visit(bee)
        for bee in onlooked(tuple(values), rng):
            visit(bee)
        scout = exhausted(trials, colony.limit)
        if scout is not None:
            sources[scout], trials[scout] = found(), 0
            values[scout] = judged(sources[scout])
            if values[scout] > most:
                winner, most = sources[scout], values[scout]
    return winner, most
