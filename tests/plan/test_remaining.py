"""Jobs that are left, with those that come when candidates are ranked."""

import logging
from types import SimpleNamespace

import pytest
import snakemake.api  # noqa: F401 - first, as its other modules import one another
from configs import DEMO, demo
from sacp.plan import remaining
from sacp.plan.experiments import Experiments, Values
from snakemake.logging import logger


def job(rule: str, method: str = "", seed: str = "0", output: str = "file") -> SimpleNamespace:
    return SimpleNamespace(
        rule=SimpleNamespace(name=rule), wildcards=Values(DEMO, seed, method), output=[output] if output else []
    )


def winners(*methods: str) -> list[SimpleNamespace]:
    return [job("select_winner", method) for method in methods]


@pytest.fixture
def experiments() -> Experiments:
    return Experiments(demo())


def test_a_search_that_is_not_ranked_trains_k_and_one_that_takes_its_best_trains_it(experiments):
    jobs = [job("rank_tuned", "sacp"), *winners("sacp", "sacp-2", "log-mass", "l1"), job("train_candidate", "l1")]
    left, growing = remaining.remaining(jobs, experiments)
    # Three of sacp, the best of sacp-2, and the one that is planned; log-mass is ranked.
    assert left == {"rank_tuned": 1, "select_winner": 4, "train_candidate": 5}
    assert growing == []


def test_only_what_is_wanted_is_counted(experiments):
    assert remaining.remaining([job("rank_tuned", "sacp")], experiments) == ({"rank_tuned": 1}, [])
    other_seed = [job("rank_tuned", "sacp", seed="1"), *winners("sacp"), job("all", output="")]
    assert remaining.remaining(other_seed, experiments)[0] == {"rank_tuned": 1, "select_winner": 1}


@pytest.mark.parametrize(("sizes", "growing"), [([10], ["train_candidate"]), ([], [])])
def test_more_may_come_where_a_figure_asks_for_other_numbers_of_candidates(sizes, growing):
    config = demo()
    config["experiments"][DEMO]["sweep"]["m"] = sizes
    jobs = [job("rank_tuned", "sacp"), *winners("sacp"), job("draw_sweeps")]
    assert remaining.remaining(jobs, Experiments(config))[1] == growing
    assert remaining.remaining(jobs[1:], Experiments(config))[1] == []


def test_what_is_left_is_told_to_logger_plugins(experiments, monkeypatch):
    told: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = told.append  # type: ignore[method-assign]
    monkeypatch.setattr(logger, "handlers", [handler])
    remaining.tell(winners("l1"), experiments, "results/x")
    (record,) = told
    assert (record.jobs_left, record.growing, record.results) == ({"select_winner": 1}, [], "results/x")
    assert (record.getMessage(), record.levelno) == ("", logging.DEBUG)  # nothing, in Snakemake's own output
