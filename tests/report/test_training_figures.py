from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from sacp.artefacts import files
from sacp.report import training_figures
from sacp.report.drawing import MOVED
from sacp.training.loop import HISTORY_COLUMNS


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    return [tmp_path / "figure.png", tmp_path / "figure.pdf", tmp_path / "figure.svg"]


def assert_saved_and_closed(paths: list[Path]) -> None:
    png, pdf, svg = (path.read_bytes() for path in paths)
    assert png.startswith(b"\x89PNG")
    assert pdf.startswith(b"%PDF")
    assert b"<svg" in svg
    assert plt.get_fignums() == []


BASE = {"test_accuracy_percent": 93.0, "flops": 4_000_000}
TUNED = pd.DataFrame({"method": ["sacp"] * 2, "flops": [1e6, 2e6], "validation_accuracy_percent": [80.0, 85.0]})
REPORTED = pd.DataFrame({"method": ["SACP", "FPGM"], "flops_pruned_percent": [60.0, 50], "top1_percent": [93.4, 93.5]})


def trained() -> pd.DataFrame:
    """Two networks of a search, one of a baseline, one that was only tuned, and one that has collapsed."""
    return pd.DataFrame(
        {
            "method": ["sacp", "sacp", "l1", "sacp-2", "gal"], "flops": [1e6, 2e6, 2e6, 3e6, 2e6],
            "test_accuracy_percent": [88.0, 92.0, 90.0, 85.0, 20.0], "winner": [False, True, True, True, True],
            "fully": [True, True, True, False, True],
        }
    )  # fmt: skip


def test_accuracy_figure_is_saved_in_every_format_and_closed(paths):
    training_figures.accuracy_figure(paths, "net", BASE, TUNED, trained(), REPORTED)
    assert_saved_and_closed(paths)
    training_figures.accuracy_figure(paths, "net", BASE, TUNED, trained()[:3], REPORTED[:0])
    assert_saved_and_closed(paths)


@pytest.fixture
def accuracies(paths, monkeypatch) -> Figure:
    saved = []
    monkeypatch.setattr(training_figures, "save", lambda figure, paths: saved.append(figure))
    training_figures.accuracy_figure(paths, "net", BASE, TUNED, trained(), REPORTED)
    plt.close(saved[0])
    return saved[0]


def test_what_was_only_tuned_is_hollow_and_the_winners_are_large(accuracies):
    points = [each for each in accuracies.axes[1].collections if len(each.get_offsets())]
    (other, winner, l1, tuned_only, _), numbers = points[:5], points[5:]
    assert [list(each.get_offsets()[0]) for each in (other, winner, l1, tuned_only)] == [
        [25, 88], [50, 92], [50, 90], [75, 85],
    ]  # fmt: skip
    assert other.get_sizes()[0] < winner.get_sizes()[0]
    assert [len(each.get_facecolor()) for each in (winner, l1, tuned_only)] == [1, 1, 0]
    assert "hollow: tuned only" in accuracies.axes[1].get_title()
    assert [list(each.get_offsets()[0]) for each in numbers] == [[40, 93.4], [50, 93.5]]


def test_winners_at_one_place_are_moved_apart_and_the_title_says_so(paths, monkeypatch):
    saved = []
    monkeypatch.setattr(training_figures, "save", lambda figure, paths: saved.append(figure))
    table = trained()
    for rows in (table[:3], table[:3].assign(flops=2e6, test_accuracy_percent=90.0, winner=True)):
        training_figures.accuracy_figure(paths, "net", BASE, TUNED, rows, REPORTED[:0])
    apart, moved = saved
    assert (apart.get_suptitle(), moved.get_suptitle()) == ("net", f"net; {MOVED}")
    for figure in saved:
        plt.close(figure)


def test_reported_points_are_named_in_the_legend(accuracies):
    names = [text.get_text() for text in accuracies.legends[0].get_texts()]
    assert names == ["sacp", "l1", "sacp-2", "gal", "base, 93.0 %", "SACP (the paper's)", "FPGM (the paper's)"]


def test_a_network_that_has_collapsed_is_named_below_the_axis(accuracies):
    assert accuracies.axes[1].get_ylim()[0] > 20
    assert "below the axis: gal 20.0 %" in [text.get_text() for text in accuracies.axes[1].texts]


def history(folder: Path, epochs: int, validate_every: int = 0) -> pd.DataFrame:
    """A history as a training writes it and the figure's script reads it."""
    rows = [
        {
            "epoch": epoch,
            "lr": 0.1,
            "train_loss": 1 / epoch,
            "train_accuracy_percent": 90 - 10 / epoch,
            "validation_accuracy_percent": 80.0 if validate_every and epoch % validate_every == 0 else None,
            "seconds": 1.0,
        }
        for epoch in range(1, epochs + 1)
    ]
    files.write_csv(folder / "history.csv", rows, HISTORY_COLUMNS)
    return pd.read_csv(folder / "history.csv", dtype=float)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("epochs", [0, 1, 12])
@pytest.mark.parametrize("base_epochs", [0, 200])
def test_learning_figure_is_saved_and_closed_however_long_the_histories(paths, tmp_path, epochs, base_epochs):
    methods = {"sacp": history(tmp_path, epochs, 3), "l1": history(tmp_path, epochs)}
    training_figures.learning_figure(paths, "net", history(tmp_path, base_epochs, 10), methods)
    assert_saved_and_closed(paths)


@pytest.fixture
def drawn(paths, tmp_path, monkeypatch) -> Figure:
    """A figure of a base validated every second epoch, a method that never was, and one of no epochs."""
    saved = []
    monkeypatch.setattr(training_figures, "save", lambda figure, paths: saved.append(figure))
    methods = {"sacp": history(tmp_path, 3), "l1": history(tmp_path, 0)}
    training_figures.learning_figure(paths, "net", history(tmp_path, 4, 2), methods)
    plt.close(saved[0])
    return saved[0]


def test_learning_figure_has_a_panel_of_losses_for_every_training(drawn):
    losses = drawn.axes[:3]
    assert [axes.get_title() for axes in losses] == ["base", "sacp", "l1 (no epochs)"]
    assert [list(axes.lines[0].get_xdata()) for axes in losses] == [[1, 2, 3, 4], [1, 2, 3], []]
    np.testing.assert_array_equal(losses[0].lines[0].get_ydata(), [1, 1 / 2, 1 / 3, 1 / 4])


def test_learning_figure_has_validations_where_there_were_any(drawn):
    base, never, _ = drawn.axes[3:]
    np.testing.assert_array_equal(base.lines[0].get_ydata(), [80, 85, 90 - 10 / 3, 87.5])
    np.testing.assert_array_equal(base.lines[1].get_ydata(), [np.nan, 80, np.nan, 80])
    assert np.isnan(never.lines[1].get_ydata()).all()


def test_panels_have_one_scale_and_those_without_a_training_are_not_seen(paths, tmp_path, monkeypatch):
    saved = []
    monkeypatch.setattr(training_figures, "save", lambda figure, paths: saved.append(figure))
    methods = {f"m{number}": history(tmp_path, 2 + number) for number in range(8)}
    training_figures.learning_figure(paths, "net", history(tmp_path, 4, 2), methods)
    rows = np.array(saved[0].axes).reshape(4, training_figures.PANELS)
    for block in (rows[0::2], rows[1::2]):
        assert len({axes.get_ylim() for axes in block.flat}) == 1
        assert [axes.axison for axes in block.flat] == [True] * 9 + [False] * 5
    plt.close(saved[0])
