"""Accuracy against what it costs: points where they belong, the base as a line, units for people."""

from collections.abc import Iterator

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sacp.report import cost_figures
from sacp.report.cost_figures import accuracy_cost_figure, accuracy_latency_figure
from sacp.report.drawing import MOVED

METHODS = ["Base", "sacp", "l1", "fpgm", "hrank", "gal"]
ROWS = pd.DataFrame(
    {"method": METHODS, "top1_percent": [93.0, 91.0, 90.0, 90.5, 91.5, 10.0],
     "top1_std": [0.1, 0.2, *[float("nan")] * 4], "device_hours": [10.0, 2.0, 1 / 60, 0.1, 0.2, 0.5]}
)  # fmt: skip
TIMES = pd.DataFrame(
    [
        {"method": method, "runtime": runtime, "batch": batch, "threads": 1, "device": "cpu", "median_ms": time * batch}
        for runtime in ("eager", "onnx") for batch in (1, 8) for method, time in (("Base", 4), ("sacp", 2), ("l1", 3))
    ]
)  # fmt: skip
ACCURACIES = {"Base": 93.0, "sacp": 91.0, "l1": 90.0}


@pytest.fixture
def saved(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Figure]]:
    """Figures that would be saved."""
    found: list[Figure] = []
    monkeypatch.setattr(cost_figures, "save", lambda figure, paths: found.append(figure))
    yield found
    plt.close("all")  # one that was begun and not saved, too


def points(axes: Axes) -> dict[str, list[float]]:
    return {str(each.get_label()): list(each.get_offsets()[0]) for each in axes.collections if len(each.get_offsets())}


def test_each_method_stands_at_the_time_that_it_has_taken(saved):
    accuracy_cost_figure([], "net", ROWS)
    (axes,) = saved[0].axes
    found = {name: place for name, place in points(axes).items() if not name.startswith("_")}
    assert found == {
        "sacp": [2.0, 91.0], "l1": [1 / 60, 90.0], "fpgm": [0.1, 90.5], "hrank": [0.2, 91.5], "gal": [0.5, 10.0],
    }  # fmt: skip
    assert [text.get_text() for text in axes.get_xticklabels()] == ["1 min", "3 min", "10 min", "30 min", "1 h", "3 h"]
    assert "below the axis: gal 10.0 %" in [text.get_text() for text in axes.texts]
    assert axes.get_ylim()[0] > 80


def test_the_legend_names_the_base_and_all_methods(saved):
    accuracy_cost_figure([], "net", ROWS)
    names = [text.get_text() for text in saved[0].legends[0].get_texts()]
    assert names == ["base, 93.0 %", *METHODS[1:]]


def test_there_is_a_panel_for_each_runtime_and_size_of_the_batch(saved):
    accuracy_latency_figure([], "net", ACCURACIES, TIMES)
    panels = [axes for axes in saved[0].axes if axes.axison]
    assert [axes.get_title() for axes in panels] == [
        "eager\n1 at once", "eager\n8 at once", "onnx\n1 at once", "onnx\n8 at once",
    ]  # fmt: skip
    assert points(panels[0]) == {"sacp": [2, 91.0], "l1": [3, 90.0], "base": [4, 93.0]}
    assert points(panels[3]) == {"sacp": [16, 91.0], "l1": [24, 90.0], "base": [32, 93.0]}
    assert panels[1].get_xlabel() == "time for 8 images (ms)"
    assert saved[0].get_suptitle() == "net, 1 thread, cpu"


def test_a_method_that_has_taken_nothing_is_on_the_figure(saved):
    accuracy_cost_figure([], "net", ROWS.assign(device_hours=[10.0, 2.0, 0.0, 0.1, 0.2, 0.5]))
    (axes,) = saved[0].axes
    assert axes.get_xscale() == "linear"
    assert axes.get_xlim()[0] <= points(axes)["l1"][0] == 0
    saved[0].draw_without_rendering()
    assert "2 h" in [text.get_text() for text in axes.get_xticklabels()]


def test_methods_at_one_place_stand_side_by_side_and_the_heading_says_so(saved):
    accuracy_cost_figure([], "net", ROWS.assign(device_hours=1.0, top1_percent=90.0))
    assert saved[0].get_suptitle() == f"net\n{MOVED}"


def test_a_method_without_a_time_is_an_error(saved):
    with pytest.raises(KeyError):
        accuracy_latency_figure([], "net", ACCURACIES | {"other": 90.0}, TIMES)


def test_twenty_six_methods_have_a_name_each_and_the_figure_fits_a_page(saved):
    number = range(26)
    rows = pd.DataFrame({"method": ["Base", *(f"method-{each}" for each in number)]})
    rows = rows.assign(top1_percent=90.0, top1_std=float("nan"), device_hours=1.0)
    accuracy_cost_figure([], "net", rows)
    saved[0].draw_without_rendering()
    legend = saved[0].legends[0]
    assert len(legend.get_texts()) == 27
    box, whole = legend.get_window_extent(), saved[0].bbox
    assert (box.x1 <= whole.x1, box.y0 >= whole.y0, box.y1 <= whole.y1) == (True, True, True)
    assert saved[0].get_figwidth() < 13.5
