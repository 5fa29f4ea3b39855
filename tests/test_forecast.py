import json
import math
import re
from collections import Counter
from pathlib import Path

import h5py
import pandas as pd
import pytest
import torch
import yaml
from conftest import Checkout
from sacp import config, records, spent
from sacp.children import side_by_side
from sacp.errors import InputError
from sacp.forecast import (
    BASELINES,
    REST,
    SEARCHES,
    START,
    TOTAL,
    Costs,
    Job,
    Limits,
    Sizes,
    Speed,
    jobs_of,
    line_at,
    table,
    training_seconds,
    wall_seconds,
)
from sacp.measure import _sizes
from sacp.training import Recipe

ROOT = Path(__file__).parents[1]
TWO_CORES = Limits(2, math.inf)
SIZES = Sizes(train=1000, validation=100, test=200)
SEARCHED = ("sacp", "sacp-1", "sacp-deficit", "log-mass")
COSTS = Costs(
    start=1, search_start=2, turnover=0.5, prepare=3, load=0.5, first=0.25, trace=0.1, sample=4, sizes=SIZES,
    encoder={name: 5 for name in SEARCHED}, score={name: 6 for name in SEARCHED}, find={"log-mass": 7}, **{
        field: {name: Speed(seconds, 0.001) for name in ("base", "tune", "full")}
        for field, seconds in (("speeds", 0.01), ("low", 0.005), ("high", 0.02))
    },
)  # fmt: skip


def chain(*seconds: float) -> list[Job]:
    return [Job(str(n), REST, "all", s, after=(str(n - 1),) if n else ()) for n, s in enumerate(seconds)]


def resolved(name: str, root: Path = ROOT) -> dict:
    path = root / f"config/{name}.yaml"
    return config.resolve(yaml.safe_load(path.read_text()), ROOT / "config/schema.yaml", str(path))


@pytest.mark.parametrize(
    ("jobs", "limits", "seconds"),
    [
        ([Job(name, REST, "all", 2) for name in "abc"], TWO_CORES, 4),
        ([Job(name, REST, "all", 2) for name in "abcd"], Limits(4, math.inf), 2),
        ([Job("a", REST, "all", 2, cores=2), Job("b", REST, "all", 3), Job("c", REST, "all", 3)], TWO_CORES, 5),
        (chain(1, 2, 3), TWO_CORES, 6),
        ([*chain(3, 4), Job("long", REST, "all", 10)], TWO_CORES, 10),
        ([Job(name, REST, "all", 2, cores=8) for name in "ab"], TWO_CORES, 4),  # scaled down to the two there are
        ([Job(name, REST, "all", 2, gpus=1) for name in "ab"], Limits(8, 1), 4),
        ([Job(name, REST, "all", 2, gpus=1) for name in "ab"], Limits(math.inf, math.inf), 2),
        # 0-1 both cores for a and b; 1-3 c waits for b, beside a, which ends at 3.
        ([Job("a", REST, "all", 3), Job("b", REST, "all", 1), Job("c", REST, "all", 1, after=("b",))], TWO_CORES, 3),
        ([Job("a", REST, "all", 2, turnover=1), Job("b", REST, "all", 2, after=("a",), turnover=1)], TWO_CORES, 6),
        ([], TWO_CORES, 0),
    ],
)
def test_wall_time_of_cases_worked_by_hand(jobs, limits, seconds):
    assert wall_seconds(jobs, limits) == seconds


def test_line_at_finds_a_line_and_takes_the_mean_where_there_is_none():
    flops = [1e9, 2e9, 4e9]
    assert line_at(flops, [3 + 2e-9 * f for f in flops], 3e9) == pytest.approx(9)
    assert line_at([1e9, 1e9], [1, 3], 5e9) == 2


def recipe(**changes) -> Recipe:
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
    jobs = {job.name: job for job in jobs_of(resolved("demo"), {"digits-resnet14": COSTS})}
    own = "digits-resnet14/0"
    assert jobs["prepare_data/digits"].seconds == 1 + 3
    # start, data, first uses, 12 epochs, 4 validations among them, validation and test
    assert jobs[f"train_base/{own}"].seconds == pytest.approx(1 + 0.5 + 0.25 + 12 * 10 + 4 * 0.1 + 0.3)
    assert jobs[f"tune_shard/{own}/sacp/10"].seconds == pytest.approx(1 + 0.5 + 0.25 + 10 * (10 + 0.1))
    assert jobs[f"train_encoder/{own}/sacp"].seconds == 2 + 5
    assert jobs[f"train_candidate/{own}/l1"].after == (f"select_baseline/{own}/l1",)
    assert jobs[f"train_candidate/{own}/sacp/2"].after == (f"rank_tuned/{own}/sacp",)
    assert all(set(job.after) <= set(jobs) for job in jobs.values())


def test_a_last_shard_that_is_cut_short_takes_less():
    settings = resolved("demo")
    settings["experiments"]["digits-resnet14"]["refine"]["top_m"] = 13
    jobs = jobs_of(settings, {"digits-resnet14": COSTS})
    tuned = [job for job in jobs if job.name.startswith("tune_shard/digits-resnet14/0/sacp/")]
    assert [job.seconds - 1.75 for job in tuned] == pytest.approx([10 * 10.1, 3 * 10.1])


def test_table_sums_up_by_stage_and_the_wall_time_holds_snakemakes_start():
    jobs = [Job("a", SEARCHES, "x", 36, 2), Job("b", SEARCHES, "x", 72, 2), Job("c", BASELINES, "x", 36, gpus=1)]
    rows = {row["stage"]: row for row in table(jobs, (jobs[:1], jobs[:2]), 5.0, TWO_CORES, on_gpu=False)}
    assert rows[SEARCHES] == {
        "experiment": "x", "stage": SEARCHES, "jobs": 2, "seconds_per_job": 54, "devices_per_job": 2,
        "device_hours": 0.06,
    }  # fmt: skip
    assert rows[TOTAL]["device_hours"] == pytest.approx(0.07)
    assert rows[TOTAL]["wall_seconds"] == 5 + 36 + 72 + 36
    assert (rows[TOTAL]["wall_seconds_low"], rows[TOTAL]["wall_seconds_high"]) == (5 + 36, 5 + 36 + 72)
    on_gpu = {row["stage"]: row for row in table(jobs, (jobs, jobs), 5.0, TWO_CORES, on_gpu=True)}
    assert (on_gpu[SEARCHES]["device_hours"], on_gpu[BASELINES]["device_hours"]) == (0, 0.01)


def record(start: str, seconds: float) -> dict:
    return {"code": "0", "inputs": {}, "started": f"2026-01-01T00:{start}+00:00", "seconds": seconds}


def test_spent_table_compares_the_jobs_that_left_a_record():
    forecast = pd.DataFrame(
        [
            {"experiment": "x", "stage": SEARCHES, "jobs": 2, "seconds_per_job": 36, "device_hours": 0.04},
            {"experiment": "x", "stage": REST, "jobs": 3, "seconds_per_job": 2, "device_hours": 6 / 3600},
            {"experiment": "all", "stage": START, "seconds_per_job": 5},
            {"experiment": "all", "stage": TOTAL, "jobs": 5, "device_hours": 0.0416, "wall_seconds": 105},
        ]
    )
    records = {SEARCHES: [record("00:00.000", 18), record("00:30.000", 54)], REST: [record("01:24.000", 1)]}
    search, rest, total = spent.table(forecast, records)
    assert (search["forecast_device_hours"], search["spent_device_hours"]) == (0.04, 0.04)  # two devices each
    assert (search["spent_seconds_per_job"], search["spent_percent_of_forecast"]) == (36, 100)
    assert (rest["jobs"], rest["forecast_device_hours"], rest["spent_percent_of_forecast"]) == (1, 0.000556, 50)
    assert (total["forecast_wall_seconds"], total["spent_wall_seconds"]) == (100, 85)
    assert (total["jobs"], total["spent_percent_of_forecast"]) == (3, 85)


def test_records_are_read_from_every_kind_of_file_and_refused_where_they_do_not_tell_the_time(tmp_path):
    made = record("00:00", 3.5)
    torch.save({"provenance": made}, tmp_path / "a.pt")
    (tmp_path / "b.json").write_text(json.dumps(made))
    (tmp_path / "c.json").write_text(json.dumps({"provenance": made, "flops": 1}))
    with h5py.File(tmp_path / "d.h5", "w") as handle:
        handle.attrs["provenance"] = json.dumps(made)
    for path in tmp_path.iterdir():
        assert records.load_timed(path) == made
    (tmp_path / "old.json").write_text(json.dumps({"code": "0", "inputs": {}}))
    with pytest.raises(InputError, match=r"old\.json: its record does not say how long"):
        records.load_timed(tmp_path / "old.json")
    with pytest.raises(InputError, match=r"none\.h5: no provenance record can be read"):
        records.load_timed(tmp_path / "none.h5")


def test_image_files_are_refused_before_anything_is_measured() -> None:
    dataset = {"source": "imagefolder", "path": "photos", "classes": 10}
    with pytest.raises(InputError, match="datasets: no forecast for source imagefolder"):
        _sizes(dataset, {"validation": {"fraction": 0.1}})


def test_a_measurement_that_fails_says_why():
    with pytest.raises(InputError, match=r"the measurement failed: network\.name: unknown network 'resnet7'"):
        side_by_side("measure_search", {"threads": 1, "network": NETWORK | {"name": "resnet7"}}, 1)


NETWORK = {"name": "resnet8", "width": 0.5, "in_channels": 1, "image_size": 8, "num_classes": 10}


@pytest.mark.workflow
@pytest.mark.parametrize("name", ["demo", "cifar10_cpu", "config"])
def test_forecast_counts_the_jobs_that_snakemake_plans(checkout: Checkout, name: str) -> None:
    """Jobs behind a checkpoint are not known before it has run; those are counted by the demo that has run."""
    no_data = ("--config", "datasets={cifar10: {source: torchvision, path: data}}") if name != "demo" else ()
    run = checkout.snakemake("--dry-run", "--configfile", f"config/{name}.yaml", *no_data)
    assert run.status == 0, run.output
    planned = {rule: int(number) for rule, number in re.findall(r"^(\w+) +(\d+)$", run.output, re.MULTILINE)}
    settings = resolved(name, checkout.path)  # of the shortened demo
    costs = {experiment: COSTS for experiment in settings["experiments"]}
    forecast = Counter(job.name.partition("/")[0] for job in jobs_of(settings, costs))
    behind_a_checkpoint = {"train_candidate", "select_baseline", "all", "total"}
    for rule in set(planned) - behind_a_checkpoint:
        assert forecast[rule] == planned[rule], rule


@pytest.mark.workflow
def test_the_demo_is_forecast_and_compared_with_what_it_has_spent(finished_demo: Checkout) -> None:
    run = finished_demo.demo("results/demo/forecast_spent.csv")
    assert run.status == 0, run.output
    assert run.jobs == ["compare_forecast", "make_forecast"]
    results = finished_demo.path / "results/demo"
    forecast = pd.read_csv(results / "forecast.csv").set_index("stage")
    found = pd.read_csv(results / "forecast_spent.csv").set_index("stage")
    assert forecast.loc[SEARCHES, "jobs"] == found.loc[SEARCHES, "jobs"] == 3
    assert forecast.loc[BASELINES, "jobs"] == found.loc[BASELINES, "jobs"] == 2
    assert (forecast["seconds_per_job"].dropna() > 0).all()
    total = found.loc[TOTAL]
    # Machines that run tests are shared: no more than the order of magnitude is asked for here.
    assert 1 / 3 < total["spent_wall_seconds"] / total["forecast_wall_seconds"] < 3
