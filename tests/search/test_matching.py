from pathlib import Path

import numpy as np
import pytest
from sacp.baselines.match_flops import BAND
from sacp.network.cost import Budget, Cost
from sacp.search.matching import matched, matching

BASE = Cost(flops=1_000_000, parameters=5000)


def test_a_band_around_the_winners_flops_takes_the_place_of_a_budget_in_flops():
    search = {"found": 7, "budget": {"flops": 0.5, "parameters": 0.4}}
    budget = Budget.of(matched(search, 300_000)["budget"], BASE)
    assert budget == Budget(flops=303_000, parameters=2000, least_flops=297_000)
    assert matched(search, 300_000)["found"] == 7
    assert search["budget"] == {"flops": 0.5, "parameters": 0.4}


def test_only_a_search_that_matches_a_winner_is_changed(tmp_path: Path):
    search, cost = {"budget": {"flops": 0.5}}, tmp_path / "cost.json"
    cost.write_text('{"flops": 300000, "parameters": 17}')
    assert matching(search, None) is search
    assert matching(search, str(cost)) == matched(search, 300_000)


@pytest.mark.parametrize("flops", [99, 127_930_000, 4_111_000_007])
def test_any_two_that_match_a_winner_are_within_two_percent_of_each_other(flops):
    budget = Budget.of(matched({"budget": {}}, flops)["budget"], BASE)
    tried = np.arange(flops - flops // 50 - 2, flops + flops // 50 + 3, max(1, flops // 5000))
    inside = tried[budget.holds(tried, np.zeros_like(tried))]
    assert len(inside)
    assert abs(inside / flops - 1).max() <= BAND
    assert inside.max() / inside.min() < 1.0203
