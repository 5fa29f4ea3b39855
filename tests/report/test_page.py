"""Parts of a page: columns that say the same in all rows, rows of the paper, text that is no HTML."""

import base64

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from sacp.report import page
from sacp.report.drawing import save

TABLE = pd.DataFrame(
    {"model": ["net"] * 2, "method": ["A<B", "ours"], "source": ["reported", "measured"], "seeds": pd.array([3, 3]),
     "top1_percent": [1.0, 2.5], "networks": [float("nan")] * 2}
)  # fmt: skip


def test_constant_columns_are_named_below_the_table_and_empty_ones_are_not():
    html = page.table_html(TABLE, "A & B.")
    assert [name in html for name in ("<th>Seeds</th>", ">Model</th>", ">Networks</th>")] == [False] * 3
    assert [name in html for name in (">Method</th>", ">Source</th>", "<th>Top-1 (%)</th>")] == [True] * 3
    assert "In all rows: Model net, Seeds 3. A &amp; B." in html


def test_reported_rows_are_set_apart_and_text_is_escaped():
    html = page.table_html(TABLE, "")
    assert '<tr class="reported"><td class="text">A&lt;B</td>' in html
    assert '<tr><td class="text">ours</td><td class="text">measured</td><td>2.50</td></tr>' in html


def test_names_of_rows_stay_and_a_single_row_keeps_all():
    same = pd.DataFrame({"Method": ["a", "a"], "x": ["1", "2"], "y": ["3", "3"]})
    left, dropped = page.without_constants(same)
    assert (list(left.columns), dropped) == (["Method", "x"], {"y": "3"})
    left, dropped = page.without_constants(same[:1])
    assert (list(left.columns), dropped) == (["Method", "x", "y"], {})


def test_a_figure_is_within_the_page_in_its_own_size(tmp_path):
    figure = plt.figure(figsize=(4, 3))
    save(figure, [tmp_path / "a.png"])
    data = base64.b64encode((tmp_path / "a.png").read_bytes()).decode()
    html = page.figure_html(tmp_path / "a.png", "Of <it>", 'Says "so".')
    assert html == (
        "<h3>Of &lt;it&gt;</h3>\n"
        f'<figure><img alt="Says &quot;so&quot;." style="width: 4.00in" src="data:image/png;base64,{data}">'
        "<figcaption>Says &quot;so&quot;.</figcaption></figure>"
    )
    with pytest.raises(FileNotFoundError):
        page.figure_html(tmp_path / "none.png", "", "")


def test_lists_are_escaped():
    html = page.list_html({"A": "x < y", "B": ["one", "<two>"]})
    assert html == "<dl><dt>A</dt><dd>x &lt; y</dd><dt>B</dt><dd><ul><li>one</li><li>&lt;two&gt;</li></ul></dd></dl>"
