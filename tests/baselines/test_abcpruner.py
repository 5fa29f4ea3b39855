"""The bee colony on a fitness that is known."""

import numpy as np
import pytest
from networks_zoo import built
from sacp.baselines.abcpruner import best_structure, scaled
from sacp.baselines.colony_size import Colony
from sacp.network.cost import cost_of_graph, costs_of_counts

SMALL = Colony(food=4, cycles=5, limit=2)


@pytest.fixture(scope="module")
def problem():
    """A graph, FLOPs to match, and a fitness that prefers the second group to the first."""
    _, graph = built("vgg11", 0.25)
    wish = np.linspace(0.2, 0.9, len(graph.channels)) * graph.channels
    return (
        graph,
        cost_of_graph(graph).flops // 3,
        lambda counts: 100 / (1 + float(np.abs(counts / graph.channels - wish / graph.channels).sum())),
    )


def flops(graph, counts) -> int:
    return int(costs_of_counts(graph, np.array([counts]))[0][0])


def test_a_structure_is_scaled_to_the_flops_and_keeps_its_proportions(problem):
    graph, target, _ = problem
    counts = scaled(graph, np.array(graph.channels) * 0.5, target)
    assert flops(graph, counts) == pytest.approx(target, rel=0.02)
    shares = counts / np.array(graph.channels)
    assert shares.max() - shares.min() < 0.1


def test_every_structure_that_is_judged_meets_the_flops_and_none_is_judged_twice(problem):
    graph, target, fitness = problem
    seen = []

    def watched(counts):
        seen.append(tuple(counts))
        return fitness(counts)

    best, value = best_structure(watched, graph, target, SMALL, np.random.default_rng(0))
    assert len(seen) == len(set(seen))
    assert SMALL.food < len(seen) <= SMALL.food * (1 + 3 * SMALL.cycles)
    assert all(flops(graph, np.array(counts)) == pytest.approx(target, rel=0.02) for counts in seen)
    assert value == max(fitness(np.array(counts)) for counts in seen)
    assert fitness(best) == value


def test_more_cycles_find_better_structures_and_the_same_seed_the_same(problem):
    graph, target, fitness = problem
    values = [
        np.mean(
            [
                best_structure(fitness, graph, target, Colony(4, cycles, 2), np.random.default_rng(s))[1]
                for s in range(5)
            ]
        )
        for cycles in (0, 5, 40)
    ]
    assert values[0] < values[1] < values[2]
    first, second = (best_structure(fitness, graph, target, SMALL, np.random.default_rng(1)) for _ in range(2))
    assert first[0].tolist() == second[0].tolist()


def test_one_step_worked_out_by_hand(problem):
    """Two sources; a first bee that moves r = 1 away from the other goes to twice its own less the other's."""
    graph, target, _ = problem

    class Fixed:
        """Draws what the test says: two uniform sources, then r = 1 for every group and the other bee."""

        def __init__(self):
            self.uniforms = [np.full(8, 0.5), np.linspace(0.3, 0.9, 8), np.ones(8), np.zeros(8)]

        def uniform(self, low, high, size):
            return self.uniforms.pop(0)[:size]

        def choice(self, among, size=None, p=None):
            return among[0] if size is None else np.zeros(0, int)

    judged = []
    best_structure(lambda counts: judged.append(counts) or 1.0, graph, target, Colony(2, 1, 9), Fixed())
    first, second, moved = judged[:3]
    expected = scaled(graph, np.clip(2 * first - second, 1, np.array(graph.channels)), target)
    assert moved.tolist() == expected.tolist()
