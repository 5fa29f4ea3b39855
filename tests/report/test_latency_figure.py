from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from sacp.report import tables
from sacp.report.latency_figure import latency_figure


def times(factor: float = 1.0) -> pd.DataFrame:
    """Two runtimes and one batch, two methods."""
    rows = [
        {
            "method": method, "runtime": runtime, "batch": 8, "threads": 2, "device": "a processor",
            "median_ms": factor * 10 / speedup, "speedup": speedup, "speedup_lower": speedup - 0.1,
            "speedup_upper": speedup + 0.2,
        }
        for runtime in ("eager (torch 2)", "onnxruntime (onnxruntime 1)")
        for method, speedup in (("Base", 1.0), ("sacp", 1.6), ("l1", 1.5))
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_the_figure_has_a_panel_for_each_setting_and_a_point_for_each_method(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[plt.Figure] = []
    monkeypatch.setattr("sacp.report.latency_figure.save", lambda figure, paths: kept.append(figure))
    latency_figure([tmp_path / "a.png"], "net", {"sacp": 0.5, "l1": 0.5}, times())
    (figure,) = kept
    assert [axes.get_title() for axes in figure.axes] == [
        "eager (torch 2)\n8 at once", "onnxruntime (onnxruntime 1)\n8 at once",
    ]  # fmt: skip
    points = [container.lines[0].get_xydata().tolist() for container in figure.axes[0].containers]
    assert points == [[[50.0, 1.6]], [[50.0, 1.5]]]
    plt.close(figure)


def test_latencies_of_a_table_are_means_over_seeds() -> None:
    found = tables.latencies([times(1.0), times(3.0)])
    assert found["sacp"] == {
        "ms, eager, 8 at once": pytest.approx(12.5), "times as fast, eager, 8 at once": pytest.approx(1.6),
        "ms, onnxruntime, 8 at once": pytest.approx(12.5), "times as fast, onnxruntime, 8 at once": pytest.approx(1.6),
    }  # fmt: skip


def test_columns_of_latency_stand_behind_the_costs_and_only_where_they_were_measured() -> None:
    row = dict.fromkeys(tables.COLUMNS) | {"model": "net", "method": "sacp", "seeds": 1}
    assert list(tables.table3([row]).columns) == tables.COLUMNS
    columns = list(tables.table3([row, row | tables.latencies([times()])["sacp"]]).columns)
    place = columns.index("ms, eager, 8 at once")
    assert columns[place - 1] == "params_pruned_percent"
    assert [name for name in columns if name not in tables.COLUMNS] == list(tables.latencies([times()])["sacp"])
