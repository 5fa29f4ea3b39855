"""How far a run is, and how long it still takes."""

import threading

import pytest
from run_records import Clock
from snakemake_logger_plugin_stages.counts import Counts


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def counts(clock: Clock) -> Counts:
    counts = Counts(clock)
    counts.cores = 2
    return counts


def test_no_time_is_left_to_tell_before_a_job_of_the_stage_is_done(counts, clock):
    counts.plan({"tune_shard": 4})
    stage = counts.begin(1, "tune_shard", 1)
    clock.now = 100.0
    assert stage.seconds_left(clock.now, 2) is None
    assert counts.seconds_left() == (None, False)


def test_time_left_is_the_mean_of_those_done_for_those_left_on_all_cores(counts, clock):
    counts.plan({"tune_shard": 5})
    stage = counts.begin(1, "tune_shard", 1)
    clock.now = 10.0
    counts.finish(1)
    counts.begin(2, "tune_shard", 1)
    counts.begin(3, "tune_shard", 1)
    clock.now = 14.0
    # Two of ten seconds wait, two run since four: 10 + 10 + 6 + 6 on two cores.
    assert stage.seconds_left(clock.now, 2) == 16.0
    assert counts.seconds_left() == (16.0, True)


@pytest.mark.parametrize(("threads", "left"), [(1, 15.0), (2, 30.0), (8, 30.0)])
def test_jobs_of_several_threads_run_after_one_another(counts, clock, threads, left):
    counts.plan({"train_base": 4})
    stage = counts.begin(1, "train_base", threads)
    clock.now = 10.0
    counts.finish(1)
    assert stage.seconds_left(clock.now, 2) == left
    assert counts.seconds_left() == (left, True)


def test_a_single_job_is_not_shared_by_cores(counts, clock):
    counts.plan({"train_base": 2})
    stage = counts.begin(1, "train_base", 1)
    clock.now = 10.0
    counts.finish(1)
    assert stage.seconds_left(clock.now, 2) == 10.0


def test_a_job_that_takes_longer_than_the_others_promises_nothing(counts, clock):
    counts.plan({"train_base": 2})
    stage = counts.begin(1, "train_base", 1)
    clock.now = 10.0
    counts.finish(1)
    counts.begin(2, "train_base", 1)
    clock.now = 50.0
    assert stage.seconds_left(clock.now, 2) is None


def test_the_whole_has_a_time_only_if_most_jobs_are_of_stages_that_are_known(counts, clock):
    counts.plan({"trace_network": 2, "train_base": 3})
    counts.begin(1, "trace_network", 1)
    clock.now = 1.0
    counts.finish(1)
    assert counts.seconds_left() == (None, False)
    counts.plan({"trace_network": 3, "train_base": 3})
    assert counts.seconds_left() == (1.5, False)


def test_a_later_plan_adds_to_what_is_done(counts):
    counts.plan({"rank_tuned": 1, "train_candidate": 3}, ["train_candidate"])
    assert counts.whole().total == 4
    assert counts.whole().grows
    counts.begin(1, "rank_tuned", 1)
    counts.finish(1)
    counts.plan({"train_candidate": 5})
    assert (counts.whole().done, counts.whole().total, counts.whole().grows) == (1, 6, False)


def test_a_stage_is_as_large_as_what_has_begun(counts):
    counts.plan({"tune_shard": 1})
    counts.begin(1, "tune_shard", 1)
    assert counts.begin(2, "tune_shard", 1).total == 2


def test_a_job_that_is_tried_again_has_not_failed(counts):
    counts.plan({"train_base": 1})
    counts.begin(1, "train_base", 1)
    assert counts.fail(1)
    assert not counts.fail(1)
    assert (counts.whole().failed, counts.whole().running) == ({1}, {})
    counts.begin(1, "train_base", 1)
    counts.finish(1)
    assert (counts.whole().failed, counts.whole().done) == (set(), 1)


def test_stages_can_be_read_while_they_change():
    counts, rules = Counts(), [f"rule{number}" for number in range(40)]
    faults = list[Exception]()

    def read() -> None:
        while not over.is_set():
            with counts.lock:
                try:
                    counts.whole()
                    counts.seconds_left()
                except RuntimeError as fault:  # a dictionary has changed
                    faults.append(fault)

    over, reader = threading.Event(), threading.Thread(target=read)
    reader.start()
    for job in range(4000):
        counts.begin(job, rules[job % len(rules)], 1)
        if job > 100:
            counts.finish(job - 100)
    over.set()
    reader.join()
    assert faults == []
