"""Each way to search, by its name."""

from itertools import combinations
from typing import Any

import h5py
import numpy as np
import pytest
from networks_zoo import any_network
from sacp.catalogue.scores import SAMPLE, SEARCHES
from sacp.errors import InputError, TooLargeError
from sacp.network.cost import Budget, cost_of_graph, costs_of_counts
from sacp.network.graph import Graph
from sacp.pruning.space import Space, kept_counts
from sacp.search import log_mass
from sacp.search.files import attributes_of, check_configs, new_configs
from sacp.search.find import WAYS, check_number, find
from sacp.search.local import climb
from sacp.search.scorers import AdditiveScorer, score_all
from sacp.solver import bounded, exact

LEVELS = 10
SEARCH: dict[str, Any] = {"budget": {"flops": 0.4}, "found": 5, "distance": 2}


class Drawn:
    """Configurations in memory, in blocks of some hundred."""

    def __init__(self, steps: np.ndarray) -> None:
        self.steps, self.total = steps, len(steps)

    def __iter__(self):
        return ((start, self.steps[start : start + 300]) for start in range(0, self.total, 300))

    def rows(self, numbers: np.ndarray) -> np.ndarray:
        assert (np.diff(numbers) > 0).all()
        return self.steps[numbers]


@pytest.fixture(scope="module")
def problem() -> tuple[AdditiveScorer, Graph, Space, Drawn]:
    network, graph, _ = any_network("resnet8")
    space = Space.of(graph, LEVELS, 0.3)
    return AdditiveScorer(log_mass.values(network, graph, LEVELS)), graph, space, Drawn(space.draw(1000, 0))


def test_exact_finds_the_best_of_the_whole_space_apart_from_one_another(problem) -> None:
    scorer, graph, space, _ = problem
    budget = Budget.of(SEARCH["budget"], cost_of_graph(graph))
    expected, _ = exact.best(scorer.values, graph, space, budget, 5, 2)
    assert np.array_equal(find("exact", SEARCH, 5, *problem).steps, expected)


def test_local_climbs_from_the_best_of_the_sample(problem) -> None:
    scorer, graph, space, drawn = problem
    budget = Budget.of(SEARCH["budget"], cost_of_graph(graph))
    inside = np.flatnonzero(budget.holds(*costs_of_counts(graph, kept_counts(drawn.steps, graph, LEVELS))))
    scores = score_all(scorer, drawn.steps[inside])
    starts = inside[np.argsort(-scores, kind="stable")[:5]]
    expected, _ = exact.apart(*climb(drawn.steps[np.sort(starts)], scorer, graph, space, budget), 5, 2)
    for threads in (1, 2):
        assert np.array_equal(find("local", SEARCH, 5, *problem, threads).steps, expected)
    assert score_all(scorer, expected).max() >= scores.max()


def _least_unlike(steps: np.ndarray) -> int:
    return min(int((one != other).sum()) for one, other in combinations(steps, 2))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("threshold", [0.3, 0.6, 0.76])
@pytest.mark.parametrize("m", [2, 5, 40])
def test_the_distance_is_the_largest_up_to_four_that_leaves_m_candidates(problem, way, threshold, m) -> None:
    scorer, graph, _, drawn = problem
    space = Space.of(graph, LEVELS, threshold)
    settings = {"budget": {}, "found": 60, "distance": None}
    found = find(way, settings, m, scorer, graph, space, drawn).steps
    assert m <= len(found) <= 60
    chosen = min(_least_unlike(found), 4)
    again = find(way, settings | {"distance": chosen}, m, scorer, graph, space, drawn)
    assert np.array_equal(found, again.steps[: len(found)])
    if chosen < 4:
        assert len(find(way, settings | {"distance": chosen + 1}, m, scorer, graph, space, drawn).steps) < m


def test_a_smaller_distance_is_taken_where_a_larger_one_is_too_large_a_problem(problem, monkeypatch) -> None:
    scorer, graph, space, drawn = problem
    asked = []

    def best(values, graph, space, budget, found, distance=1, enough=None):
        asked.append((distance, found, enough))
        if distance > 2:
            raise TooLargeError("too large")
        return as_it_is(values, graph, space, budget, found, distance, enough)

    as_it_is = exact.best
    monkeypatch.setattr(exact, "best", best)
    found = find("exact", SEARCH | {"distance": None}, 3, scorer, graph, space, drawn).steps
    assert asked == [(4, 5, 3), (3, 5, 3), (2, 5, 3)]
    assert 3 <= len(found) <= 5
    assert _least_unlike(found) >= 2


@pytest.mark.parametrize("distance", [None, 2])
def test_an_exact_search_that_is_too_large_finds_good_candidates_and_a_bound(
    problem, monkeypatch, caplog, distance
) -> None:
    scorer, graph, space, drawn = problem
    settings, budget = SEARCH | {"distance": distance}, Budget.of(SEARCH["budget"], cost_of_graph(graph))
    best = exact.best(scorer.values, graph, space, budget, 1)[1][0]
    solved = find("exact", SEARCH, 5, scorer, graph, space, drawn)
    assert solved.facts == {"best_found": best, "bound": best, "solved": True}

    def too_large(*_: object) -> None:
        raise TooLargeError("too large")

    monkeypatch.setattr(exact, "best", too_large)
    monkeypatch.setattr(bounded, "WIDTHS", (30,))
    found = find("exact", settings, 5, scorer, graph, space, drawn)
    assert len(found.steps) == 5
    assert _least_unlike(found.steps) >= 2
    assert budget.holds(*costs_of_counts(graph, kept_counts(found.steps, graph, LEVELS))).all()
    assert found.value <= best + 1e-9 <= found.bound + 2e-9
    said = f"too large to be solved exactly: best score {found.value:.6g}, at most {found.bound:.6g}"
    assert (said in caplog.text) is not found.solved


def test_the_file_of_what_was_found_says_how_near_the_best_it_is(problem, tmp_path) -> None:
    _, graph, space, drawn = problem
    found = find("exact", SEARCH, 5, *problem)
    attributes = attributes_of(graph, LEVELS, 0.3, space.count, 0) | found.facts
    with new_configs(tmp_path / "configs.h5", drawn.steps[:2], len(found.steps), attributes) as rows:
        rows[:] = found.steps
    check_configs(tmp_path / "configs.h5", graph, LEVELS, 0.3)
    with h5py.File(tmp_path / "configs.h5") as handle:
        assert handle.attrs["best_found"] == handle.attrs["bound"] == found.value
        assert handle.attrs["solved"]


def test_a_local_search_knows_no_bound(problem) -> None:
    assert find("local", SEARCH, 5, *problem).facts == {}


@pytest.mark.parametrize("way", ["sample", "random", ""])
def test_an_unknown_way_is_an_error(problem, way: str) -> None:
    with pytest.raises(KeyError, match=f"^'{way}'$"):
        find(way, SEARCH, 5, *problem)


def test_the_ways_are_the_searches_of_the_catalogue() -> None:
    assert set(WAYS) | {SAMPLE} == set(SEARCHES)


def test_too_few_candidates_are_refused() -> None:
    check_number(8, 8, 1)
    with pytest.raises(InputError, match=r"7 candidates found, m = 8 .* lower search\.distance from 3"):
        check_number(7, 8, 3)
    for distance in (1, None):
        with pytest.raises(InputError, match=r"asked for; widen search\.budget, or lower m"):
            check_number(7, 8, distance)
