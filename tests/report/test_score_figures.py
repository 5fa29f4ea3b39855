import matplotlib.pyplot as plt
import numpy as np
import pytest
from sacp.report import score_figures


def test_responses_are_means_by_step_in_standard_deviations(tmp_path):
    paths = [tmp_path / f"figure.{suffix}" for suffix in ("png", "pdf", "svg")]
    steps = np.array([[0, 1], [0, 0], [2, 1], [2, 1]], np.uint8)
    found = score_figures.response(steps, np.array([3.0, 1.0, 0.0, 0.0]), 3)
    deviation = np.std([3, 1, 0, 0])
    expected = np.array([[1, np.nan, -1], [0, 0, np.nan]]) / deviation  # the mean of all is 1
    assert found == pytest.approx(expected, nan_ok=True)
    constant = score_figures.response(steps, np.ones(4), 3)
    assert np.nanmax(np.abs(constant)) == 0
    score_figures.response_figure(paths, "net", ["conv1", "conv2"], {"a": found, "b": constant})
    assert all(path.stat().st_size > 1000 for path in paths)


def test_embeddings_have_one_legend_and_no_type_below_eight_points(monkeypatch):
    saved = []
    monkeypatch.setattr(score_figures, "save", lambda figure, paths: saved.append(figure))
    rng = np.random.default_rng(0)
    every = rng.normal(size=(30, 4))
    found = score_figures.Embeddings(every, rng.uniform(size=30), every[:5], every[0], every[1])
    score_figures.embedding_figure([], "net", {name: found for name in "abcd"})
    score_figures.response_figure([], "net", ["conv1"], {name: np.eye(1, 4) for name in "abcde"})
    for figure in saved:
        figure.draw_without_rendering()
        assert min(text.get_fontsize() for text in figure.findobj(plt.Text) if text.get_text()) >= 8
        assert figure.get_figwidth() < 13.5  # inches: wider ones are shrunk on the page of a run
        plt.close(figure)
    assert len(saved[0].legends) == 1


def test_low_responses_have_a_sign_for_readers_in_black_and_white(monkeypatch):
    saved = []
    monkeypatch.setattr(score_figures, "save", lambda figure, paths: saved.append(figure))
    values = np.array([[1.0, -0.05, -0.5], [np.nan, 0.2, -1.0]])
    score_figures.response_figure([], "net", ["conv1", "conv2"], {"a": values})
    assert [text.xy for text in saved[0].axes[0].texts] == [(2, 0), (2, 1)]
    plt.close(saved[0])
