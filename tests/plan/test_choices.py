"""What is known only on the way: which candidates are trained fully."""

from typing import Any

import pytest
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


def not_yet(*place: str) -> Any:
    raise NotYetError(*place)


def choices_of(config: dict[str, Any], rows: Any = tuned) -> Choices:
    return Choices(Paths(Experiments(config)), rows)


def place(method: str, seed: str = "0") -> Values:
    return Values(DEMO, seed, method)


@pytest.mark.parametrize(
    ("method", "numbers"),
    [
        ("sacp", [118, 117, 116]), ("sacp-2", [118]), ("l1", [1, 2, 3]), ("abcpruner", [1, 2, 3]),
        ("own", [1, 2]), ("tuned", [118]),
    ],
)  # fmt: skip
def test_candidates_are_the_best_tuned_ones_and_a_baselines_are_its_trainings(method, numbers):
    own = {"kind": "my.package:select", "match": "log-mass", "trainings": 2}
    choices = choices_of(demo(own=own, tuned={"kind": "tuned", "match": "log-mass"}))
    assert choices.numbers(place(method)) == numbers
    for files, name in ((choices.trained, "metrics.json"), (choices.trained_records, "provenance.json")):
        assert files(place(method)) == [f"{FOLDER}/{method}/topk/{number}/{name}" for number in numbers]


def test_each_look_up_is_of_the_experiment_the_seed_and_the_search():
    asked = []

    def noted(*of: str) -> Any:
        asked.append(of)
        return tuned(*of)

    choices = choices_of(demo(), noted)
    for method in ("log-mass", "sacp-2"):
        choices.numbers(place(method, "5"))
    assert asked == [(DEMO, "5", "log-mass"), (DEMO, "5", "sacp")]


def test_planning_ends_where_nothing_is_ranked_yet_and_baselines_wait_for_nothing():
    unknown = choices_of(demo(), not_yet)
    for method in ("sacp", "sacp-2"):
        with pytest.raises(NotYetError):
            unknown.trained(place(method))
    assert unknown.numbers(place("l1")) == [1, 2, 3]


def test_the_sweep_trains_what_any_m_would_have_chosen():
    config = demo() | {"seeds": [0, 4]}
    found = choices_of(config).sweep(Values(DEMO))
    folders = [f"<results>/{DEMO}/seed{seed}/{method}" for method in SEARCHES for seed in (0, 4)]
    assert found["tuned"] == [f"{folder}/topm.csv" for folder in folders]
    numbers = (107, 108, 109, 116, 117, 118)  # of the ten best by score, and of all twenty
    assert found["trained"] == [f"{folder}/topk/{number}/metrics.json" for folder in folders for number in numbers]
