import math

import pytest
from sacp.forecast.schedule import REST, STAGES, START, TOTAL, Job, Limits, as_text, stage_of, table, wall_seconds

TWO_CORES = Limits(2, math.inf)


def chain(*seconds: float) -> list[Job]:
    return [Job(str(n), "all", s, after=(str(n - 1),) if n else ()) for n, s in enumerate(seconds)]


@pytest.mark.parametrize(
    ("jobs", "limits", "seconds"),
    [
        ([Job(name, "all", 2) for name in "abc"], TWO_CORES, 4),
        ([Job(name, "all", 2) for name in "abcd"], Limits(4, math.inf), 2),
        ([Job("a", "all", 2, cores=2), Job("b", "all", 3), Job("c", "all", 3)], TWO_CORES, 5),
        (chain(1, 2, 3), TWO_CORES, 6),
        ([*chain(3, 4), Job("long", "all", 10)], TWO_CORES, 10),
        ([Job(name, "all", 2, cores=8) for name in "ab"], TWO_CORES, 4),  # scaled down to the two there are
        ([Job(name, "all", 2, gpus=1) for name in "ab"], Limits(8, 1), 4),
        ([Job(name, "all", 2, gpus=1) for name in "ab"], Limits(math.inf, math.inf), 2),
        # 0-1 both cores for a and b; 1-3 c waits for b, beside a, which ends at 3.
        ([Job("a", "all", 3), Job("b", "all", 1), Job("c", "all", 1, after=("b",))], TWO_CORES, 3),
        ([Job("a", "all", 2, turnover=1), Job("b", "all", 2, after=("a",), turnover=1)], TWO_CORES, 6),
        ([], TWO_CORES, 0),
    ],
)
def test_wall_time_of_cases_worked_by_hand(jobs, limits, seconds):
    assert wall_seconds(jobs, limits) == seconds


def test_a_stage_is_named_by_its_rule_and_small_rules_share_one():
    assert Job("train_candidate/net/0/sacp/3", "net", 1).rule == "train_candidate"
    assert stage_of("train_candidate") == "train_candidate"
    assert stage_of("rescore_candidates") == "rescore_candidates"
    assert stage_of("search_colony") == "search_colony"
    assert {stage_of(rule) for rule in ("select_baseline", "select_winner", "make_table3", "draw_method")} == {REST}
    assert len(set(STAGES)) == len(STAGES)


def test_table_sums_up_by_stage_and_the_wall_time_holds_snakemakes_start():
    tuned, trained = "tune_shard", "train_candidate"
    jobs = [
        Job(f"{tuned}/a", "x", 36, 2), Job(f"{tuned}/b", "x", 72, 2), Job(f"{trained}/c", "x", 36, gpus=1),
    ]  # fmt: skip
    found = table(jobs, (jobs[:1], jobs[:2]), 5.0, TWO_CORES, on_gpu=False)
    rows = {row["stage"]: row for row in found}
    assert list(rows) == [tuned, trained, START, TOTAL]
    assert rows[tuned] == {
        "experiment": "x", "stage": tuned, "jobs": 2, "seconds_per_job": 54, "devices_per_job": 2,
        "device_hours": 0.06,
    }  # fmt: skip
    assert rows[TOTAL]["device_hours"] == pytest.approx(0.07)
    assert rows[TOTAL]["wall_seconds"] == 5 + 36 + 72 + 36
    assert (rows[TOTAL]["wall_seconds_low"], rows[TOTAL]["wall_seconds_high"]) == (5 + 36, 5 + 36 + 72)
    on_gpu = {row["stage"]: row for row in table(jobs, (jobs, jobs), 5.0, TWO_CORES, on_gpu=True)}
    assert (on_gpu[tuned]["device_hours"], on_gpu[trained]["device_hours"]) == (0, 0.01)


def test_small_jobs_of_several_rules_are_one_row():
    jobs = [Job("trace_network/x", "x", 4), Job("select_winner/x/0/a", "x", 2)]
    row = table(jobs, (jobs, jobs), 0.0, TWO_CORES, on_gpu=False)[0]
    assert (row["stage"], row["jobs"], row["seconds_per_job"]) == (REST, 2, 3)


def test_the_log_shows_nothing_where_a_row_has_no_value():
    text = as_text([{"stage": START, "seconds_per_job": 1.5}], ("stage", "jobs", "seconds_per_job"))
    assert text.split() == ["stage", "jobs", "seconds_per_job", START, "1.5"]
