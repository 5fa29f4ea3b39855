import re
from collections import Counter
from typing import Any

import pytest
import rulebook
from checkout import Checkout
from configs import DEMO, demo, shipped
from sacp.forecast.jobs import Costs, Sizes, Speed, jobs_of, line_at, range_of, training_seconds
from sacp.plan.experiments import Experiments
from sacp.plan.paths import Paths
from sacp.training.recipe import Recipe

OWN = f"{DEMO}/0"
SIZES = Sizes(train=1000, validation=100, test=200)
SEARCHED = ("sacp", "sacp-1", "sacp-deficit", "log-mass", "sensitivity", "nsc")
COSTS = Costs(
    start=1, search_start=2, light_start=0.2, turnover=0.5, prepare=3, load=0.5, first=0.25, trace=0.1, sample=4,
    predict=0.125, sizes=SIZES, encoder={name: 5 for name in SEARCHED}, score={name: 6 for name in SEARCHED},
    find={name: 7 for name in SEARCHED},
    **{
        field: {name: Speed(seconds, 0.001) for name in ("base", "tune", "full")}
        for field, seconds in (("speeds", 0.01), ("low", 0.005), ("high", 0.02))
    },
)  # fmt: skip


def test_line_at_finds_a_line_and_takes_the_mean_where_there_is_none():
    flops = [1e9, 2e9, 4e9]
    assert line_at(flops, [3 + 2e-9 * f for f in flops], 3e9) == pytest.approx(9)
    assert line_at([1e9, 1e9], [1, 3], 5e9) == 2


def recipe(**changes: Any) -> Recipe:
    return Recipe(**({"epochs": 5, "lr": 0.1, "batch_size": 100, "momentum": 0.9, "weight_decay": 0, "nesterov": False,
                      "crop_padding": 0, "flip": False} | changes))  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "processes", "seconds"),
    [
        ({}, 1, 5 * 1000 * 0.01),
        ({}, 2, 25),
        ({"validate_every": 2}, 1, 50 + 3 * 100 * 0.001),  # after epochs 2, 4 and the last
        ({"validate_every": 5}, 1, 50 + 100 * 0.001),
        ({"epochs": 0}, 1, 0),
    ],
)
def test_seconds_of_a_training_count_steps_and_validations(changes, processes, seconds):
    assert training_seconds(recipe(**changes), Speed(0.01, 0.001), SIZES, processes) == pytest.approx(seconds)


def test_jobs_of_the_demo_take_what_was_measured():
    jobs = {job.name: job for job in jobs_of(demo(), {DEMO: COSTS})}
    assert jobs["prepare_data/digits"].seconds == 1 + 3
    # start, data, first uses, 12 epochs, 4 validations among them, validation and test
    assert jobs[f"train_base/{OWN}"].seconds == pytest.approx(1 + 0.5 + 0.25 + 12 * 10 + 4 * 0.1 + 0.3)
    assert jobs[f"tune_shard/{OWN}/sacp/10"].seconds == pytest.approx(1 + 0.5 + 0.25 + 10 * (10 + 0.1))
    assert jobs[f"train_encoder/{OWN}/sacp"].seconds == 2 + 5
    assert f"train_candidate/{OWN}/l1/3" not in jobs  # a baseline is trained as often as a search trains
    assert jobs[f"score_candidates/{OWN}/sacp-deficit"].after == (
        f"train_encoder/{OWN}/sacp-deficit", f"select_winner/{OWN}/sacp",
    )  # fmt: skip
    assert jobs[f"train_candidate/{OWN}/l1/2"].after == (f"select_baseline/{OWN}/l1",)
    assert jobs[f"train_candidate/{OWN}/sacp/2"].after == (f"rank_tuned/{OWN}/sacp",)
    assert all(set(job.after) <= set(jobs) for job in jobs.values())


def test_each_job_starts_as_what_it_imports_needs():
    jobs = {job.name: job for job in jobs_of(demo(), {DEMO: COSTS})}
    found = {
        name: jobs[f"{rule}/{OWN}{method}"].seconds
        for name, rule, method in (
            ("sampling", "sample_configs", ""), ("scoring by an encoder", "score_candidates", "/sacp"),
            ("scoring by a closed form", "score_candidates", "/log-mass"), ("finding", "find_configs", "/log-mass"),
            ("ranking", "rank_tuned", "/sacp"), ("choosing", "select_winner", "/l1"),
            ("a protocol", "write_protocol", "/sacp"), ("a baseline", "select_baseline", "/l1"),
            ("collecting", "collect_predictors", ""),
        )
    }  # fmt: skip
    assert found == {
        "sampling": 0.2 + 4, "scoring by an encoder": 2 + 6, "scoring by a closed form": 1 + 6, "finding": 1 + 7,
        "ranking": 0.2, "choosing": 0.2, "a protocol": 0.2, "a baseline": 1, "collecting": 2,
    }  # fmt: skip
    assert jobs["make_summary"].seconds == jobs[f"draw_sweeps/{DEMO}"].seconds == 0.2


def test_a_last_shard_that_is_cut_short_takes_less():
    settings = demo()
    settings["experiments"][DEMO]["refine"]["top_m"] = 13
    jobs = jobs_of(settings, {DEMO: COSTS})
    tuned = [job for job in jobs if job.name.startswith(f"tune_shard/{OWN}/sacp/")]
    assert [job.seconds - 1.75 for job in tuned] == pytest.approx([10 * 10.1, 3 * 10.1])


def test_candidates_are_ranked_anew_between_the_shards_that_teach_and_the_others():
    settings = demo(sacp={"kind": "search", "rerank": 0.3})  # 6 of 20: one shard of ten
    jobs = {job.name: job for job in jobs_of(settings, {DEMO: COSTS})}
    learned, first, second = f"rescore_candidates/{OWN}/sacp", *(f"tune_shard/{OWN}/sacp/{at}" for at in (0, 10))
    assert jobs[first].after == (f"score_candidates/{OWN}/sacp",)
    assert (jobs[learned].after, jobs[learned].seconds) == ((first,), 1 + 6)
    assert jobs[second].after == (learned,)
    assert jobs[f"rank_tuned/{OWN}/sacp"].after == (first, second)


def test_rungs_of_successive_halving_take_half_of_the_steps_and_wait_for_one_another():
    settings = demo()
    settings["experiments"][DEMO]["refine"] |= {"halving": True, "shard_size": 8}
    jobs = {job.name: job for job in jobs_of(settings, {DEMO: COSTS})}
    rungs = [f"tune_rung/{OWN}/sacp/{at}" for at in ("0/0", "0/8", "0/16", "1/0", "1/8", "2/0")]
    assert [name for name in jobs if name.startswith(f"tune_rung/{OWN}/sacp/")] == rungs
    shares = [(8, 2.5), (8, 2.5), (4, 2.5), (8, 2.5), (2, 2.5), (5, 5)]  # networks, and seconds of their steps
    expected = [number * (seconds + 0.1) for number, seconds in shares]
    assert [jobs[name].seconds - 1.75 for name in rungs] == pytest.approx(expected)
    first, second = f"rank_rung/{OWN}/sacp/0", f"rank_rung/{OWN}/sacp/1"
    assert jobs[rungs[0]].after == (f"score_candidates/{OWN}/sacp",)
    assert jobs[first].after == tuple(rungs[:3])
    assert (jobs[rungs[3]].after, jobs[second].after) == ((first,), tuple(rungs[3:5]))
    assert (jobs[rungs[5]].after, jobs[f"rank_tuned/{OWN}/sacp"].after) == ((second,), (rungs[5],))
    assert not any(name.startswith("tune_shard/") for name in jobs)
    forecast = Counter(job.rule for job in jobs.values())
    plan = Experiments(settings)
    recorded = rulebook.count(Paths(plan).records(), plan)
    assert recorded == {rule: forecast[rule] for rule in recorded}


def test_what_a_baseline_takes_is_known_by_its_kind():
    settings = demo(mine={"kind": "somewhere:select", "match": "log-mass"})
    jobs = {job.name: job for job in jobs_of(settings, {DEMO: COSTS})}
    colony = jobs[f"search_colony/{OWN}/abcpruner"]
    assert colony.seconds == pytest.approx(1.75 + 3 * (1 + 2) * 10.1)  # 3 sources, and 2 bees for each in one cycle
    assert colony.after == (f"select_winner/{OWN}/sacp",)
    assert jobs[f"select_baseline/{OWN}/slimming"].after == (f"select_winner/{OWN}/sacp", f"train_sparse/{OWN}")
    assert jobs[f"select_baseline/{OWN}/mine"].after == (f"select_winner/{OWN}/log-mass",)


def test_zero_cost_predictors_count_for_each_network_that_is_probed():
    jobs = {job.name: job for job in jobs_of(demo(), {DEMO: COSTS})}
    number = demo()["experiments"][DEMO]["predictors"]["sample"]
    assert number > 0
    each = 2 * 100 * 0.001 + 0.125  # two evaluations on the validation images, and all predictors
    assert jobs[f"probe_sample/{OWN}"].seconds == pytest.approx(1.75 + number * each)


def test_the_range_is_that_of_small_and_of_large_candidates():
    name = f"tune_shard/{OWN}/sacp/0"
    low, high = range_of(demo(), {DEMO: COSTS})
    seconds = [next(job.seconds for job in jobs if job.name == name) - 1.75 for jobs in (low, high)]
    assert seconds == pytest.approx([10 * 5.1, 10 * 20.1])


@pytest.mark.parametrize("name", ["demo", "demo_all", "cifar10_cpu", "config"])
def test_a_job_is_forecast_for_every_record_that_the_run_will_leave(name):
    settings = shipped(name)
    costs = {experiment: COSTS for experiment in settings["experiments"]}
    forecast = Counter(job.rule for job in jobs_of(settings, costs))
    plan = Experiments(settings)
    recorded = rulebook.count(Paths(plan).records(), plan)
    assert recorded == {rule: forecast[rule] for rule in recorded}


@pytest.mark.workflow
@pytest.mark.parametrize("name", ["demo", "cifar10_cpu", "config"])
def test_forecast_counts_the_jobs_that_snakemake_plans(checkout: Checkout, name: str) -> None:
    """Jobs behind a checkpoint are not known before it has run; those are counted by the demo that has run."""
    no_data = ("--config", "datasets={cifar10: {source: torchvision, path: data}}") if name != "demo" else ()
    run = checkout.snakemake("--dry-run", "--configfile", f"config/{name}.yaml", *no_data)
    assert run.status == 0, run.output
    planned = {rule: int(number) for rule, number in re.findall(r"^(\w+) +(\d+)$", run.output, re.MULTILINE)}
    settings = shipped(name, checkout.path)  # of the shortened demo
    costs = {experiment: COSTS for experiment in settings["experiments"]}
    forecast = Counter(job.rule for job in jobs_of(settings, costs))
    behind_a_checkpoint = {"train_candidate", "select_baseline", "all", "total"}
    for rule in set(planned) - behind_a_checkpoint:
        assert forecast[rule] == planned[rule], rule


def test_an_evolution_takes_a_training_and_the_networks_of_its_generations():
    settings = demo(own={"kind": "metapruning", "match": "sacp", "metapruning": {"generations": 3}})
    settings["experiments"][DEMO]["selection"] |= {"epochs": 5, "validate_every": 0}
    job = next(each for each in jobs_of(settings, {DEMO: COSTS}) if each.name == f"train_baseline/{OWN}/own")
    evaluated = 3 * 50 * (COSTS.sizes.validation + COSTS.sizes.calibration) * 0.001
    assert job.seconds == pytest.approx(1.75 + 5 * 1000 * 0.01 + 300 * 0.001 + evaluated)


def test_a_baseline_that_evaluates_networks_takes_one_evaluation_for_each_episode():
    settings = demo(amc={"kind": "amc", "match": "sacp", "amc": {"episodes": 30, "warmup": 9, "images": 50}})
    job = next(each for each in jobs_of(settings, {DEMO: COSTS}) if each.name == f"train_baseline/{OWN}/amc")
    speed = COSTS.speeds["tune"].evaluate
    assert job.seconds == pytest.approx(1.75 + 30 * (50 + COSTS.sizes.calibration) * speed)
    assert (job.cores, job.gpus) == (1, 1)


def test_a_baseline_that_trains_takes_its_training_in_one_process():
    settings = demo(oto={"kind": "oto", "match": "sacp"})
    settings["experiments"][DEMO]["selection"] |= {"epochs": 5, "validate_every": 0}
    settings["processes"] = 2
    jobs = {job.name: job for job in jobs_of(settings, {DEMO: COSTS})}
    found = jobs[f"train_baseline/{OWN}/oto"]
    assert found.seconds == pytest.approx(1.75 + 5 * 1000 * 0.01 + 300 * 0.001)
    assert (found.cores, found.gpus, found.after) == (1, 1, (f"select_winner/{OWN}/sacp",))
    assert jobs[f"train_candidate/{OWN}/oto/0"].after == (found.name,)
