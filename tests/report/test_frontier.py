"""What others report: its numbers, its rows in table 3, and that it stands apart from the paper's and ours."""

import pandas as pd
import pytest
from checkout import ROOT
from sacp.report import frontier, summary
from sacp.report.formats import HEADINGS, save
from sacp.report.tables import reported_rows, table3

KNOWN = pd.read_csv(ROOT / "config/reported/frontier.csv")
REPORTED = pd.read_csv(ROOT / "config/reported/table3.csv")


def test_every_number_is_somebodys_and_of_a_model_of_the_paper():
    assert KNOWN[frontier.CITED].str.len().min() > 0
    assert set(KNOWN["model"]) == set(REPORTED["model"])
    assert KNOWN["top1_percent"].between(90, 96).all()
    assert not KNOWN.duplicated().any()


@pytest.mark.parametrize("cost", ["flops", "params"])
def test_costs_and_what_is_pruned_of_them_are_of_one_base(cost):
    """That of the authors, who count the networks within 2 % of the paper's."""
    found = KNOWN.dropna(subset=f"{cost}_millions")
    bases = REPORTED[REPORTED["method"] == "Base"].set_index("model")[f"{cost}_millions"]
    own = found[f"{cost}_millions"] / (1 - found[f"{cost}_pruned_percent"] / 100)
    assert len(found) == 6
    assert own.to_numpy() == pytest.approx(bases[found["model"]].to_numpy(), rel=0.035)


def test_the_papers_networks_are_behind_what_others_report_at_nearly_the_same_flops():
    for model, points in (("vgg16", 5), ("resnet56", 6)):
        paper = REPORTED[(REPORTED["model"] == model) & (REPORTED["method"] == "SACP")].iloc[0]
        near = KNOWN[
            (KNOWN["model"] == model) & (KNOWN["flops_pruned_percent"] > paper["flops_pruned_percent"] - points)
        ]
        assert near["top1_percent"].max() > paper["top1_percent"] + 1


def test_a_model_without_reported_rows_has_none_of_others():
    assert frontier.rows(KNOWN, None, "mine") == []
    assert {row["model"] for row in frontier.rows(KNOWN, "vgg16", "mine")} == {"mine"}


def blocks(tmp_path, model: str) -> tuple[pd.DataFrame, str, str]:
    rows = [*reported_rows(REPORTED, model, model), *frontier.rows(KNOWN, model, model)]
    csv, markdown, latex = save(tmp_path / "table3.csv", table3(rows), "A caption.")
    return pd.read_csv(csv), markdown.read_text(), latex.read_text()


def test_they_have_a_block_of_their_own_and_a_mark_in_the_csv(tmp_path):
    table, markdown, latex = blocks(tmp_path, "vgg16")
    assert table["source"].tolist() == ["reported"] * 5 + ["frontier"] * 6
    assert table[frontier.CITED].isna().tolist() == [True] * 5 + [False] * 6
    own, theirs = markdown.split(f"\n\n## {frontier.HEADING}\n\n")
    assert "CORING" not in own
    assert "Reported by" not in own
    assert "SACP" not in theirs
    assert "CORING-C-10" in theirs
    assert "Pham et al., Neural Networks 2024" in theirs
    assert theirs.endswith(f"\n\n{frontier.CAPTION}\n")
    assert [part.count(r"\begin{tabular}") for part in latex.split(r"\end{table}")] == [1, 1, 0]
    assert r"\label{tab:table3-frontier}" in latex
    html = summary.results_html(table, "A caption.")
    assert html.count("<table>") == 2
    assert html.index("SACP") < html.index("A caption.") < html.index("CORING") < html.index("Known frontier: ")


def test_a_number_that_is_not_given_is_an_empty_cell(tmp_path):
    table, markdown, _ = blocks(tmp_path, "resnet18")
    [row] = table[table["source"] == "frontier"].to_dict("records")
    assert (row["method"], row["top1_percent"]) == ("HESSO", 92.91)
    assert pd.isna(row["flops_millions"])
    assert pd.isna(row["flops_pruned_percent"])
    header = markdown.split(frontier.HEADING)[1].strip().splitlines()[0]
    assert [cell.strip() for cell in header.strip("|").split("|")] == [
        HEADINGS[name] for name in ("model", "method", "top1_percent", frontier.CITED)
    ]


def test_tables_of_other_rows_are_as_they_were():
    other = pd.DataFrame({"predictor": ["a"], "kendall": [0.5]})
    own, theirs = frontier.parted(other)
    pd.testing.assert_frame_equal(own, other)
    assert theirs.empty
