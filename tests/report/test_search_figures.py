"""Figure 2 and the scores of candidates: panels where there is something to see, one legend, one image as a scale."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure
from sacp.report import search_figures
from sacp.report.search_figures import Scores, Sweep, score_figure, sweep_figure


@pytest.fixture
def saved(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Figures that would be saved."""
    found: list[Figure] = []
    monkeypatch.setattr(search_figures, "save", lambda figure, paths: found.append(figure))
    yield found
    for figure in found:
        plt.close(figure)


def swept(*sizes: int) -> Sweep:
    values = np.array([[90.0 + size for size in sizes]])
    return Sweep(list(sizes), values, values + 1)


@pytest.mark.parametrize(("sizes", "panels"), [((20,), 1), ((10, 20), 2)])
def test_a_single_m_has_no_panel(saved, sizes, panels):
    sweep_figure([], "net", {"sacp": swept(1, 2, 3)}, {"sacp": swept(*sizes)}, 50)
    assert len([axes for axes in saved[0].axes if axes.axison]) == panels
    assert [text.get_text() for text in saved[0].legends[0].get_texts()] == ["best by test", "sacp"]


def test_a_bar_is_as_high_as_one_test_image(saved):
    sweep_figure([], "net", {"sacp": swept(1, 2, 3)}, {"sacp": swept(20)}, 50)
    (low, high) = saved[0].axes[0].lines[-2].get_ydata()
    assert high - low == pytest.approx(2.0)
    assert "one test image" in [text.get_text() for text in saved[0].axes[0].texts]


def test_scores_have_one_legend_and_numbers_in_the_titles(saved):
    rng = np.random.default_rng(0)
    methods = {
        name: Scores(every := rng.normal(size=number), every[:3], every[:2], float(every[0]))
        for name, number in (("a", 2000), ("b", 30))
    }
    score_figure([], "net", methods)
    (figure,) = saved
    assert len(figure.legends) == 1
    assert [axes.get_legend() for axes in figure.axes] == [None, None]
    titles = ["a: 2,000 candidates, 3 tuned, 2 trained", "b: 30 candidates, 3 tuned, 2 trained"]
    assert [axes.get_title() for axes in figure.axes] == titles
    assert [axes.get_yscale() for axes in figure.axes] == ["log", "linear"]
