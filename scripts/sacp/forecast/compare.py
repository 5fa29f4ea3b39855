"""Forecast against spent: what the jobs of a finished run took, from the records of their artefacts."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import pandas as pd

from sacp.forecast.schedule import REST, STAGES, START, TOTAL, stage_of

COLUMNS = (
    "stage", "jobs", "forecast_seconds_per_job", "spent_seconds_per_job", "forecast_device_hours", "spent_device_hours",
    "forecast_wall_seconds", "spent_wall_seconds", "spent_percent_of_forecast",
)  # fmt: skip


def wall_seconds(records: Sequence[Mapping[str, Any]]) -> float:
    """Seconds from the start of the first job to the end of the last, pauses between runs included."""
    starts = [datetime.fromisoformat(record["started"]).timestamp() for record in records]
    ends = [start + float(record["seconds"]) for start, record in zip(starts, records, strict=True)]
    return max(ends) - min(starts)


def table(forecast: pd.DataFrame, records: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows of `COLUMNS`, one per stage and the total, for the jobs that left a record.

    Args:
        forecast: as `forecast.csv`, all experiments.
        records: of the finished jobs; each says its rule.
    """
    by_stage: dict[str, list[Mapping[str, Any]]] = {stage: [] for stage in (*STAGES, REST)}
    for record in records:
        by_stage[stage_of(record["rule"])].append(record)
    rows = [_row(forecast[forecast["stage"] == stage], stage, made) for stage, made in by_stage.items() if made]
    start = float(forecast.loc[forecast["stage"] == START, "seconds_per_job"].sum())
    total = {name: round(sum(row[name] for row in rows), 6) for name in COLUMNS if name.endswith(("jobs", "hours"))}
    wall = float(forecast.loc[forecast["stage"] == TOTAL, "wall_seconds"].sum()) - start
    spent = wall_seconds(records)
    walls = {"forecast_wall_seconds": round(wall, 1), "spent_wall_seconds": round(spent, 1)}
    return [*rows, {"stage": TOTAL, **total, **walls, "spent_percent_of_forecast": round(100 * spent / wall, 1)}]


def _row(forecast: pd.DataFrame, stage: str, records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    jobs = forecast["jobs"].sum()
    expected = float((forecast["seconds_per_job"] * forecast["jobs"]).sum() / jobs)
    hours_per_second = float(forecast["device_hours"].sum() / (expected * jobs))
    seconds = [record["seconds"] for record in records]
    return {
        "stage": stage,
        "jobs": len(records),
        "forecast_seconds_per_job": round(expected, 3),
        "spent_seconds_per_job": round(sum(seconds) / len(seconds), 3),
        "forecast_device_hours": round(expected * len(records) * hours_per_second, 6),
        "spent_device_hours": round(sum(seconds) * hours_per_second, 6),
        "spent_percent_of_forecast": round(100 * sum(seconds) / (expected * len(records)), 1),
    }
