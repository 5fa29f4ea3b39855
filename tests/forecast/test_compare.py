import json
from typing import Any

import pandas as pd
import pytest
from sacp.artefacts import lookup
from sacp.artefacts.digests import sealed
from sacp.errors import InputError
from sacp.forecast.compare import table
from sacp.forecast.schedule import REST, START, TOTAL

TRAINED = "train_candidate"


def record(rule: str, start: str, seconds: float) -> dict[str, Any]:
    started = f"2026-01-01T00:{start}+00:00"
    made = {"rule": rule, "settings": {}, "code": {}, "seed": None, "inputs": {}, "outputs": {}, "commit": None}
    return made | {"versions": {}, "device": "cpu", "cores": 1, "gpus": 0, "started": started, "seconds": seconds}


def test_spent_table_compares_the_jobs_that_left_a_record():
    forecast = pd.DataFrame(
        [
            {"experiment": "x", "stage": TRAINED, "jobs": 2, "seconds_per_job": 36, "device_hours": 0.04},
            {"experiment": "x", "stage": REST, "jobs": 3, "seconds_per_job": 2, "device_hours": 6 / 3600},
            {"experiment": "all", "stage": START, "seconds_per_job": 5},
            {"experiment": "all", "stage": TOTAL, "jobs": 5, "device_hours": 0.0416, "wall_seconds": 105},
        ]
    )
    # In whatever order they come; the small rule has no stage of its own.
    records = [
        record("make_table3", "01:24.000", 1), record(TRAINED, "00:30.000", 54), record(TRAINED, "00:00.000", 18),
    ]  # fmt: skip
    trained, rest, total = table(forecast, records)
    assert [row["stage"] for row in (trained, rest, total)] == [TRAINED, REST, TOTAL]
    assert (trained["forecast_device_hours"], trained["spent_device_hours"]) == (0.04, 0.04)  # two devices each
    assert (trained["spent_seconds_per_job"], trained["spent_percent_of_forecast"]) == (36, 100)
    assert (rest["jobs"], rest["forecast_device_hours"], rest["spent_percent_of_forecast"]) == (1, 0.000556, 50)
    assert (total["forecast_wall_seconds"], total["spent_wall_seconds"]) == (100, 85)
    assert (total["jobs"], total["spent_percent_of_forecast"]) == (3, 85)


def test_records_are_read_and_refused_where_they_do_not_tell_the_time(tmp_path):
    made = sealed(record(TRAINED, "00:00", 3.5) | {"results": None, "place": None})
    (tmp_path / "a.provenance.json").write_text(json.dumps(made))
    assert lookup.load(tmp_path / "a.provenance.json") == made
    for name, found in (
        ("started", {"seconds": 1.0}), ("seconds", {"started": made["started"]}), ("metrics", {"flops": 1}),
    ):  # fmt: skip
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps({"code": {}, "inputs": {}, "outputs": {}} | found))
        with pytest.raises(InputError, match=rf"{name}\.json: not a provenance record"):
            lookup.load(path)
    with pytest.raises(InputError, match=r"none\.json: no such file"):
        lookup.load(tmp_path / "none.json")
