"""The tables of docs/latency.md are those of the measured rows."""

import pandas as pd
import pytest
from benchmarks import latency, latency_budgets, latency_model
from checkout import ROOT
from sacp.errors import InputError


def test_the_page_shows_what_was_measured() -> None:
    page = (ROOT / latency.PAGE).read_text()
    assert latency.filled(page, latency.BEGIN, latency.table(latency.known(ROOT / latency.CSV))) == page
    rows = pd.read_csv(ROOT / latency_model.CSV)
    assert latency.filled(page, latency_model.BEGIN, latency_model.table(rows)) == page
    budgets = pd.read_csv(ROOT / latency_budgets.CSV)
    assert latency.filled(page, latency_budgets.BEGIN, latency_budgets.table(budgets)) == page


def test_a_page_without_a_mark_is_refused() -> None:
    with pytest.raises(InputError, match=r"latency\.md: found no line '<!-- latency: "):
        latency.filled("# Latency\n", latency.BEGIN, "")
