"""What is known only on the way: candidates that are trained fully, and which one a baseline matches."""

from typing import Any

import pytest
import rulebook
from configs import DEMO, demo
from sacp.plan.choices import Choices
from sacp.plan.experiments import Experiments, Values
from sacp.plan.paths import Paths

SEARCHES = ["sacp", "sacp-deficit", "log-mass", "sacp-1"]
FOLDER = f"<results>/{DEMO}/seed0"


class NotYetError(Exception):
    """Stands for what Snakemake raises where a checkpoint has not run."""


def tuned(experiment: str, seed: str, search: str) -> list[dict[str, Any]]:
    """Twenty tuned candidates, the better the later; two of them failed."""
    return [
        {
            "rank": rank, "candidate": 100 + rank, "validation_accuracy_percent": 50.0 + rank,
            "failure": "nan" if rank in (3, 19) else None,
        }
        for rank in range(20)
    ]  # fmt: skip


def winner(experiment: str, seed: str, search: str) -> dict[str, Any]:
    return {"candidate": {"sacp": 117, "log-mass": 118}[search]}


def kept(rule: str, where: Values) -> str:
    return f"{where.method} by {rule}"


def not_yet(*place: str) -> Any:
    raise NotYetError(*place)


def choices_of(config: dict[str, Any], rows: Any = tuned, won: Any = winner) -> Choices:
    return Choices(Paths(Experiments(config)), rows, won, kept)


def place(method: str, seed: str = "0") -> Values:
    return Values(DEMO, seed, method)


@pytest.mark.parametrize(
    ("method", "numbers"),
    [
        ("sacp", [118, 117, 116]), ("sacp-2", [118]), ("l1", [117]), ("abcpruner", [117]), ("own", [118]),
        ("tuned", [118]),
    ],
)  # fmt: skip
def test_candidates_are_the_best_tuned_ones_and_a_baselines_is_the_winner_that_it_matches(method, numbers):
    own = {"kind": "my.package:select", "match": "log-mass"}
    choices = choices_of(demo(own=own, tuned={"kind": "tuned", "match": "log-mass"}))
    assert choices.numbers(place(method)) == numbers
    metrics = [f"{FOLDER}/{method}/topk/{number}/metrics.json" for number in numbers]
    assert choices.trained(place(method)) == metrics


def test_each_look_up_is_of_the_experiment_the_seed_and_the_search():
    asked = []

    def noted(*of: str) -> Any:
        asked.append(of)
        return winner(*of) if len(asked) > 2 else tuned(*of)

    choices = choices_of(demo(), noted, noted)
    for method in ("log-mass", "sacp-2", "thinet"):
        choices.numbers(place(method, "5"))
    assert asked == [(DEMO, "5", "log-mass"), (DEMO, "5", "sacp"), (DEMO, "5", "sacp")]


def test_planning_ends_where_nothing_is_known_yet():
    unknown = choices_of(demo(), not_yet, not_yet)
    for method in ("sacp", "sacp-2", "l1"):
        with pytest.raises(NotYetError):
            unknown.trained(place(method))
    # A baseline waits for the winner alone, a search for its ranks alone.
    assert choices_of(demo(), not_yet).numbers(place("l1")) == [117]
    assert choices_of(demo(), won=not_yet).numbers(place("sacp")) == [118, 117, 116]


def test_the_sweep_trains_what_any_m_would_have_chosen():
    config = demo() | {"seeds": [0, 4]}
    found = choices_of(config).sweep(Values(DEMO))
    folders = [f"<results>/{DEMO}/seed{seed}/{method}" for method in SEARCHES for seed in (0, 4)]
    assert found["tuned"] == [f"{folder}/topm.csv" for folder in folders]
    numbers = (107, 108, 109, 116, 117, 118)  # of the ten best by score, and of all twenty
    assert found["trained"] == [f"{folder}/topk/{number}/metrics.json" for folder in folders for number in numbers]


def test_records_of_a_whole_run_hold_that_of_each_job_once():
    choices = choices_of(demo())
    records = choices.records(Values(DEMO))
    assert len(records) == len(set(records))
    *others, table = records
    assert table == "<results>/tables/table3.provenance.json"
    before = set(choices.paths.records())
    assert before < set(others)
    later = rulebook.count(set(others) - before, choices.experiments)
    assert later == {"train_candidate": 4 * 3 + 1 + 7, "select_baseline": 6, "search_colony": 1}


@pytest.mark.parametrize(
    ("method", "found"),
    [
        ("sacp", {"configs": f"{FOLDER}/configs.h5"}), ("log-mass", {"configs": f"{FOLDER}/log-mass/configs.h5"}),
        ("sacp-2", {"configs": f"{FOLDER}/configs.h5"}), ("l1", {"kept": "l1 by select_baseline"}),
        ("abcpruner", {"kept": "abcpruner by search_colony"}),
    ],
)  # fmt: skip
def test_channels_are_those_of_a_candidates_configuration_or_those_that_a_baseline_has_kept(method, found):
    assert choices_of(demo()).selection(place(method)) == found
