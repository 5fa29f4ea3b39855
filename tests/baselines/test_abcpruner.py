"""The bee colony on a fitness that is known."""

import numpy as np
import pytest
from networks_zoo import built
from sacp.baselines import abcpruner
from sacp.baselines.abcpruner import beside, best_structure, exhausted, onlooked, scaled
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
    assert SMALL.food < len(seen) <= SMALL.structures + SMALL.cycles
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


class Scripted:
    """A generator that draws what a test says, and notes what it is asked for."""

    def __init__(self, uniforms, choices=()):
        self.uniforms, self.choices, self.asked = list(uniforms), list(choices), []

    def uniform(self, *arguments):
        self.asked.append(arguments)
        return self.uniforms.pop(0)

    def choice(self, among, size=None, replace=True):
        assert size is None or not replace
        return self.choices.pop(0)


class Noted:
    """A generator of numpy's that notes what uniform numbers it is asked for."""

    def __init__(self, seed):
        self.rng, self.asked = np.random.default_rng(seed), []
        self.choice = self.rng.choice

    def uniform(self, *arguments):
        self.asked.append(arguments)
        return self.rng.uniform(*arguments)


def test_a_structure_beside_a_source_differs_in_two_groups():
    source, other = np.array([10, 20, 30, 40]), np.array([14, 10, 30, 0])
    rng = Scripted([np.array([0.5, -1.0])], [np.array([3, 0])])
    # Group 3: 40 + .5 (40 - 0); group 0: 10 - 1 (10 - 14).
    assert beside(source, other, rng).tolist() == [14, 20, 30, 60]
    assert source.tolist() == [10, 20, 30, 40]
    for seed in range(20):
        moved = beside(source, np.zeros(4, np.int64), np.random.default_rng(seed))
        assert np.count_nonzero(moved != source) == 2
    assert np.count_nonzero(beside(source[:1], other[:1], np.random.default_rng(0)) != source[:1]) == 1


def test_each_visit_changes_two_groups_and_then_scales(problem, monkeypatch):
    """Two sources, one cycle: both employed bees and both onlookers start from where their source is."""
    graph, target, _ = problem
    given, channels = [], np.array(graph.channels)

    def noted(graph, counts, target):
        given.append(counts)
        return scaled(graph, counts, target)

    monkeypatch.setattr(abcpruner, "scaled", noted)
    draws = [np.full(8, 0.5), np.linspace(0.3, 0.9, 8)]  # sources
    draws += [np.array([1.0, 1.0]), np.array([1.0, -0.5])]  # employed bees
    draws += [0.99, np.array([0.25, 1.0]), 0.99, np.array([-1.0, 1.0])]  # onlookers: both stay, and move
    choices = [1, np.array([0, 7]), 0, np.array([2, 5]), 1, np.array([3, 4]), 0, np.array([1, 6])]
    best_structure(lambda counts: 1.0, graph, target, Colony(2, 1, 9), Scripted(draws, choices))
    first, second = (scaled(graph, counts, target) for counts in given[:2])  # they stay: no structure is better
    step = first - second
    expected = [
        [first, [0, 7], [step[0], step[7]]],
        [second, [2, 5], [-step[2], 0.5 * step[5]]],
        [first, [3, 4], [0.25 * step[3], step[4]]],
        [second, [1, 6], [step[1], -step[6]]],
    ]
    assert len(given) == 2 + len(expected)
    for counts, (source, groups, moves) in zip(given[2:], expected, strict=True):
        by_hand = source.astype(float)
        by_hand[groups] += moves
        assert counts.tolist() == np.clip(by_hand, 1, channels).tolist()
        assert np.flatnonzero(counts != source).tolist() == groups


def test_onlookers_pass_the_sources_in_turn_and_stay_by_their_chances():
    # Chances of .9 value / 10 + .1: 1 and .55.
    assert list(onlooked([10.0, 5.0], Scripted([0.99, 0.54]))) == [0, 1]
    assert list(onlooked([10.0, 5.0], Scripted([0.99, 0.56, 0.99]))) == [0, 0]
    assert list(onlooked([0.0, 0.0], Scripted([0.2, 0.09, 0.11, 0.05]))) == [1, 1]


def test_the_source_of_the_most_trials_is_left_once_they_are_as_many_as_the_limit():
    assert exhausted([3, 5, 6, 6], 6) == 2
    assert exhausted([3, 5], 6) is None


@pytest.mark.parametrize(("limit", "scouts"), [(1, 1), (2, 1), (9, 0)])
def test_one_scout_a_cycle_flies_however_many_sources_are_exhausted(problem, limit, scouts):
    """Nothing is ever better: after the employed bees all sources have one trial, after the onlookers one has two."""
    graph, target, _ = problem
    for seed in range(5):
        rng = Noted(seed)
        best_structure(lambda counts: 1.0, graph, target, Colony(3, 1, limit), rng)
        assert rng.asked.count((0.1, 1.0, len(graph.channels))) == 3 + scouts


def test_a_colony_makes_as_many_structures_as_it_says_and_one_more_for_each_scout(problem, monkeypatch):
    graph, target, _ = problem
    made, judged, size = [], [], Colony(4, 5, 1)

    def noted(graph, counts, target):
        made.append(counts)
        return scaled(graph, counts, target)

    def fitness(counts):
        judged.append(counts)
        return 1 / len(judged)  # each is worse than all before: a source is only left, and by scouts

    monkeypatch.setattr(abcpruner, "scaled", noted)
    best_structure(fitness, graph, target, size, np.random.default_rng(0))
    assert len(made) == size.structures + size.cycles
    assert 0.9 * len(made) < len(judged) <= len(made)
