"""The forest of predictors: the best first, its interval, none where there is no value."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from sacp.report import predictors_figure as module
from sacp.report.predictors import ALL, CEILING, RETEST, WITHIN


def table() -> pd.DataFrame:
    """Three predictors, of which one has a value in bands alone missing and one has none, and the rows of noise."""
    values = {"poor": (-0.2, 0.1), "good": (0.6, np.nan), "flat": (np.nan, np.nan)}
    values |= {RETEST: (0.8, 0.7), CEILING: (0.9, 0.8)}
    rows = [
        {"predictor": name, "band": band, "kendall": tau, "kendall_low": tau - 0.1, "kendall_high": tau + 0.05}
        for name, pair in values.items()
        for band, tau in zip((ALL, WITHIN), pair, strict=True)
    ]
    return pd.DataFrame([*rows, rows[0] | {"band": "1 of 2", "kendall": 0.99}]).assign(networks=24)


def test_predictors_are_in_order_with_their_intervals(monkeypatch):
    saved = []
    monkeypatch.setattr(module, "save", lambda figure, paths: saved.append(figure))
    module.predictors_figure([], "net", table())
    whole, within = saved[0].axes
    assert [text.get_text() for text in whole.get_yticklabels()] == [CEILING, RETEST, "good", "poor", "flat"]
    _, of_noise, _, of_predictors = whole.collections[:4]
    lines = [[tuple(point) for point in path.vertices] for path in whole.collections[2].get_paths()]
    assert lines[0] == [(pytest.approx(0.5), 2), (pytest.approx(0.65), 2)]
    assert of_noise.get_offsets().tolist() == [[0.9, 0], [0.8, 1]]
    assert np.array(of_predictors.get_offsets())[:2].tolist() == [[0.6, 2], [-0.2, 3]]
    drawn = np.ma.filled(within.collections[3].get_offsets(), np.nan)
    assert np.isnan(drawn[[0, 2], 0]).all()
    assert drawn[1].tolist() == [0.1, 3]
    assert [(text.get_text(), text.xy[1]) for text in within.texts] == [("no value", 2), ("no value", 4)]
    assert "24 networks" in saved[0].get_suptitle()
    plt.close(saved[0])


def test_a_table_without_the_noise_of_the_tuning_is_an_error():
    with pytest.raises(KeyError):
        module.predictors_figure([], "net", table().query("predictor != @RETEST"))
