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
