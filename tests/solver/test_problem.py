"""The parts of the search on random problems without a network: each against all configurations, one by one."""

from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks_zoo import any_network
from sacp.network.cost import Budget, cost_of_graph, costs_of_counts
from sacp.pruning.space import Space, counts_by_step, kept_counts
from sacp.solver import beam, exact
from sacp.solver.beginnings import Beginnings
from sacp.solver.costs import KINDS, CostTables, Limit
from sacp.solver.dominance import undominated
from sacp.solver.moves import _Changes, improved
from sacp.solver.prices import around, lowest_bound_prices, nearby
from sacp.solver.problem import Problem
from sacp.solver.relaxation import Relaxation
from sacp.solver.states import States, TooManyStatesError
from sacp.solver.tables import Tables, as_score
from sacp.solver.wider import above, in_units, states_of, with_planes

MOST = 10**6
SLACK = 1e-6


def every(problem: Problem) -> np.ndarray:
    """All configurations, by their places."""
    return np.array(list(product(*map(range, problem.sizes))), np.uint8)


@st.composite
def problems(draw: st.DrawFn, density: float = 0.7) -> Problem:
    """A few groups of a few places, random tables, limits from both sides, and something that must be removed."""
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    sizes = draw(st.lists(st.integers(1, 4), min_size=2, max_size=5))
    high = draw(st.sampled_from([2, 100]))  # small numbers make equal sums
    limits = []
    for _ in range(draw(st.integers(0, 3))):
        pairs = {
            (i, j): rng.integers(0, high, (sizes[i], sizes[j]))
            for i, j in combinations(range(len(sizes)), 2) if rng.random() < density
        }  # fmt: skip
        cost = CostTables(int(rng.integers(0, high)), tuple(rng.integers(0, high, size) for size in sizes), pairs)
        sample = np.sort(cost.of(rng.integers(0, sizes, (40, len(sizes)))))
        least, most = (int(sample[int(share * 39)]) for share in (draw(st.sampled_from([0, 0.3])), 0.7))
        limits.append(Limit(cost, draw(st.sampled_from([0, least])), draw(st.sampled_from([most, most, None]))))
    removed = tuple(np.cumsum(rng.integers(0, 4, size)) for size in sizes)
    need = int(sum(own[-1] for own in removed) * draw(st.sampled_from([0, 0.4, 0.8])))
    unary = tuple(rng.normal(size=size) * 10 for size in sizes)
    met = rng.choice([0, density])  # of half of the problems, the score is a sum over the groups alone
    coupled = {
        (i, j): rng.integers(0, high, (sizes[i], sizes[j])) * rng.choice([1.0, 0.1])
        for i, j in combinations(range(len(sizes)), 2) if rng.random() < met
    }  # fmt: skip
    return Problem(
        Tables(0, unary, coupled), tuple(np.arange(size) for size in sizes), removed, need, tuple(limits), "the budget"
    )


@settings(max_examples=30, deadline=None)
@given(problem=problems())
def test_a_score_is_the_sum_of_its_tables_at_the_places(problem) -> None:
    score = problem.score
    for places, found in zip(every(problem), problem.sums(every(problem)), strict=True):
        expected = sum(table[place] for table, place in zip(score.unary, places, strict=True))
        expected += sum(table[places[i], places[j]] for (i, j), table in score.pairs.items())
        assert found == pytest.approx(expected)


@settings(max_examples=100, deadline=None)
@given(problem=problems(), prices=st.lists(st.floats(-1, 1), min_size=3, max_size=3), shuffle=st.integers(0, 10**6))
def test_a_relaxation_is_the_highest_of_all_priced_sums(problem, prices, shuffle) -> None:
    order = np.random.default_rng(shuffle).permutation(problem.groups).tolist()
    prices = [0 if limit.most is None else price for price, limit in zip(prices, problem.limits, strict=False)]
    relaxed = Relaxation(States(problem, MOST, order), prices)
    configurations = every(problem)
    priced = problem.sums(configurations)
    for price, limit in zip(prices, problem.limits, strict=True):
        bound = 0 if price == 0 else limit.most if price > 0 else limit.least
        priced += price * (bound - limit.cost.of(configurations))
    removed = sum(own[places] for own, places in zip(problem.removed, configurations.T, strict=True))
    assert relaxed.top == pytest.approx(priced[removed >= problem.need].max())
    row = np.flatnonzero((configurations == relaxed.maximiser()[0]).all(axis=1))[0]
    assert priced[row] == pytest.approx(relaxed.top)
    assert removed[row] >= problem.need
    assert relaxed.floor <= priced.min() + SLACK


@settings(max_examples=60, deadline=None)
@given(problem=problems())
def test_all_prices_bound_what_is_within_the_limits_and_the_lowest_are_no_worse(problem) -> None:
    states = States(problem, MOST)
    configurations = every(problem)
    inside = problem.inside(configurations)
    best = problem.sums(configurations[inside]).max() if inside.any() else -np.inf
    tops = [relaxed.top for relaxed in (*around(states), *nearby(states))]
    assert min(tops) >= best - SLACK
    lowest = Relaxation(states, lowest_bound_prices(states)).top
    if inside.any():
        assert lowest <= min(tops) + 1e-4 * (1 + abs(lowest))


@settings(max_examples=100, deadline=None)
@given(problem=problems(), unit=st.integers(1, 9), data=st.data())
def test_wider_problems_hold_all_that_is_within_the_limits(problem, unit, data) -> None:
    configurations = every(problem)
    inside = configurations[problem.inside(configurations)]
    assert in_units(problem, unit).inside(inside).all()
    assert in_units(problem, unit).need <= max(problem.need // unit + 1, 1)
    for limit in problem.limits:
        pairs = data.draw(st.sets(st.sampled_from(sorted(limit.cost.pairs)))) if limit.cost.pairs else set()
        wider = with_planes(limit, pairs)
        assert wider.holds(wider.cost.of(inside)).all()
        assert not pairs & wider.cost.pairs.keys()
    coupled = problem.score.pairs
    chosen = data.draw(st.sets(st.sampled_from(sorted(coupled)))) if coupled else set()
    higher = above(problem.score, chosen)
    assert (higher.of(configurations) >= problem.sums(configurations) - SLACK).all()
    assert not chosen & higher.pairs.keys()
    states = states_of(problem, data.draw(st.integers(0, 60)), data.draw(st.integers(1, 100)))
    assert states.problem.inside(inside).all()
    assert (states.problem.sums(inside) >= problem.sums(inside) - SLACK).all()


@settings(max_examples=150, deadline=None)
@given(problem=problems(), width=st.integers(1, 200), alone=st.booleans(), most=st.sampled_from([20, MOST]))
def test_a_beam_finds_the_best_or_a_bound_on_it(problem, width, alone, most) -> None:
    configurations = every(problem)
    inside = configurations[problem.inside(configurations)]
    relaxations = nearby(states_of(problem, most, MOST))
    found, lost = beam.search(problem, relaxations, width, best_alone=alone)
    assert problem.inside(found).all()
    best = problem.sums(inside).max() if len(inside) else -np.inf
    reached = problem.sums(found).max() if len(found) else -np.inf
    assert max(reached, lost) >= best - SLACK
    if not alone:
        known = {row.tobytes() for row in found}
        assert all(row.tobytes() in known for row in inside[problem.sums(inside) > lost + SLACK])


@settings(max_examples=150, deadline=None)
@given(problem=problems(density=0.2), place=st.integers(1, 4))
def test_a_beginning_that_is_needless_has_one_that_is_no_worse_whatever_follows(problem, place) -> None:
    states, place = States(problem, MOST), min(place, problem.groups)
    places = np.array(list(product(*map(range, problem.sizes[:place]))), np.uint8)
    state, sums = np.zeros(len(places), np.int64), np.zeros(len(places))
    costs = np.zeros((len(places), len(problem.limits)), np.int64)
    for group in range(place):
        costs += states.added[group][:, state, places[:, group]].T
        sums += states.gained[group][state, places[:, group]]
        state = states.next[group][state, places[:, group]].astype(np.int64)
    removed = sum(own[here] for own, here in zip(problem.removed, places.T, strict=False))
    need = np.maximum(0, problem.need - removed)
    left = undominated(states, Beginnings(places, state, need, costs, sums), place)
    ends = list(product(*map(range, problem.sizes[place:])))
    ends = np.array(ends, np.uint8).reshape(len(ends), problem.groups - place)
    whole = np.concatenate([np.hstack([np.tile(row, (len(ends), 1)), ends]) for row in places])
    inside = problem.inside(whole).reshape(len(places), len(ends))
    scores = problem.sums(whole).reshape(len(places), len(ends)) + SLACK
    for row in set(range(len(places))) - set(left.tolist()):
        better = inside[left] & (scores[left] >= scores[row] - SLACK)
        assert (better | ~inside[row]).all(axis=1).any()


@settings(max_examples=60, deadline=None)
@given(problem=problems(), start=st.integers(0, 10**6))
def test_moves_change_scores_and_costs_as_the_tables_say_and_end_where_none_is_better(problem, start) -> None:
    configurations = every(problem)
    inside = configurations[problem.inside(configurations)]
    for places in configurations[start % len(configurations)][None]:
        near = [(group, side) for side in (-1, 1) for group in range(problem.groups)]
        for tables in (problem.score, *(limit.cost for limit in problem.limits)):
            one, two = _Changes(tables).of(places)
            for (a, first), (b, second) in product(enumerate(near), repeat=2):
                moved = places.astype(int)
                moved[first[0]] += first[1]
                moved[second[0]] += second[1] if a != b else 0
                if (first[0] == second[0] and a != b) or (moved < 0).any() or (moved >= problem.sizes).any():
                    continue
                change = tables.of(moved[None])[0] - tables.of(places[None])[0]
                assert change == pytest.approx(one[a] if a == b else two[a, b], abs=SLACK)
    if len(inside):
        better = improved(problem, inside[start % len(inside)])
        assert problem.inside(better[None])[0]
        distance = np.abs(inside.astype(int) - better)
        beside = inside[(distance.max(axis=1) <= 1) & (distance.sum(axis=1) <= 2)]
        assert problem.sums(beside).max() <= problem.sums(better[None])[0] + SLACK


@pytest.mark.parametrize("name", ["resnet8", "concatenated", "in_groups", "linear_gate", "squeeze_excite"])
def test_tables_of_a_graph_give_its_costs(name: str) -> None:
    _, graph, _ = any_network(name)
    counts = list(counts_by_step(graph, 7))
    steps = np.random.default_rng(0).integers(0, 7, (50, len(graph.groups)), np.uint8)
    expected = costs_of_counts(graph, kept_counts(steps, graph, 7))
    for kind, cost in zip(KINDS, expected, strict=True):
        assert np.array_equal(CostTables.of_graph(graph, counts, kind).of(steps), cost)


def test_a_concatenation_has_a_state_for_each_sum_of_its_parts() -> None:
    """Ten groups of 5 places meet an eleventh by their sum: 41 states, not 5 ** 10."""
    counts = [np.arange(1, 6)] * 11
    pairs = {(group, 10): 3 * np.outer(counts[group], counts[10]) for group in range(10)}
    cost = CostTables(0, tuple(np.zeros(5, np.int64) for _ in counts), pairs)
    problem = Problem(
        as_score(np.zeros((11, 5))), (np.arange(5),) * 11, (np.arange(5),) * 11, 0, (Limit(cost, 0, 9),), "9"
    )
    assert [len(following) for following in States(problem, MOST).next] == [4 * group + 1 for group in range(11)]
    with pytest.raises(TooManyStatesError, match="more than 100; use 'search: local'"):
        States(problem, 100)


def test_limits_of_other_costs_hold_beside_a_budget() -> None:
    _, graph, _ = any_network("resnet8")
    levels, rng = 3, np.random.default_rng(0)
    values = -np.cumsum(rng.exponential(size=(len(graph.groups), levels)), axis=1)
    unary = tuple(rng.integers(0, 9, levels) for _ in graph.groups)
    other = Limit(CostTables(0, unary, {(0, 1): rng.integers(0, 9, (levels, levels))}), 0, 20)
    budget = Budget(int(0.6 * cost_of_graph(graph).flops))
    problem = Problem.of(values, graph, Space.of(graph, levels, 0), budget, [other])
    configurations = every(problem)
    inside = configurations[problem.inside(configurations)]
    chosen, sums = exact.listed(problem, around(States(problem, MOST)), 5, 1, 5, MOST)
    assert (other.cost.of(problem.as_steps(chosen)) <= 20).all()
    assert sums == pytest.approx(np.sort(problem.sums(inside))[::-1][:5])
