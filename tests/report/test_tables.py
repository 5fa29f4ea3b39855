import numpy as np
import pandas as pd
import pytest
from checkout import ROOT
from sacp.report import frontier
from sacp.report.formats import HEADINGS, readable, to_latex, to_markdown
from sacp.report.tables import (
    COLUMNS,
    TABLE4_COLUMNS,
    device_hours,
    failure_note,
    images_note,
    measured_rows,
    reading_note,
    reported_rows,
    runs,
    table3,
    table4,
    variant_rows,
)

REPORTED = pd.read_csv(ROOT / "config/reported/table3.csv")
VARIANTS = pd.read_csv(ROOT / "config/reported/table4.csv")


def metrics(accuracy: float, flops: int, parameters: int, **more: float) -> dict[str, float]:
    return {"test_accuracy_percent": accuracy, "flops": flops, "parameters": parameters, "device_hours": 1.5} | more


SETTINGS = {"sacp": {"kind": "search", "labels": 20}, "l1": {"kind": "uniform"}}
ALL = {"match": None, "space": "all groups"}  # of a method that has no FLOPs to meet
SPACES = {"sacp": ALL, "sacp-2": ALL, "l1": {"match": "sacp", "space": "all groups, by one ratio"}}
ALONE = {"l1": ALL}


OF_THREE = {"tuned_candidates": 150, "trained_candidates": [1, 2, 3]}
# Two seeds; the base costs the same in both, the candidates do not.
BASE = [metrics(90.0, 4_000_000, 200_000), metrics(93.0, 4_000_000, 200_000)]
METHOD = [
    metrics(88.0, 1_000_000, 50_000, paper_protocol_test_accuracy_percent=88.5, **OF_THREE),
    metrics(92.0, 2_000_000, 70_000, paper_protocol_test_accuracy_percent=93.5, **OF_THREE | {"device_hours": 2.5}),
]


def test_measured_rows_are_means_and_deviations_over_seeds():
    base, method = measured_rows("net", BASE, {"sacp": METHOD}, SETTINGS, SPACES)
    assert method == {
        "model": "net",
        "method": "sacp",
        "source": "measured",
        "space": "all groups",
        "seeds": 2,
        "top1_percent": 90.0,
        "top1_std": pytest.approx(8**0.5),  # (2^2 + 2^2) / (2 - 1)
        "change_percent": -1.5,  # the mean of -2 and -1, each against the base of its own seed
        "flops_millions": 1.5,
        "flops_pruned_percent": 62.5,  # the mean of 75 and 50
        "flops_gap_percent": None,
        "params_millions": pytest.approx(0.06),
        "params_pruned_percent": pytest.approx(70.0),  # the mean of 75 and 65
        "networks_tuned": 170,  # those that were labelled included
        "networks_trained": 3,
        "device_hours": 2.0,
        "paper_protocol_top1_percent": 91.0,
        "protocol_difference_percent": 1.0,  # the mean of 0.5 and 1.5
    }
    assert (base["method"], base["top1_percent"], base["change_percent"]) == ("Base", 91.5, 0.0)
    assert (base["flops_pruned_percent"], base["paper_protocol_top1_percent"]) == (0.0, None)
    assert (base["networks_tuned"], base["networks_trained"], base["device_hours"]) == (0, 1, 1.5)


@pytest.mark.parametrize(
    ("shares", "gap"),
    [
        ((1.0, 1.0), None),
        ((1.019, 0.981), None),  # within 2 %
        ((1.03, 0.9), -10),  # the farthest seed's, and no mean that would hide both
        ((1.5, 0.9), 50),
    ],
)
def test_how_far_a_method_is_off_the_flops_that_it_has_to_meet_is_that_of_the_farthest_seed(shares, gap):
    runs = [run | {"flops": round(share * run["flops"])} for run, share in zip(METHOD, shares, strict=True)]
    rows = measured_rows("net", BASE, {"sacp": METHOD, "l1": runs}, SETTINGS, SPACES)
    found = {row["method"]: row.get("flops_gap_percent") for row in rows}
    assert found == {"Base": None, "sacp": None, "l1": None if gap is None else pytest.approx(gap)}
    shown = readable(table3(rows))
    assert shown["Prunes"].tolist() == ["", "all groups", "all groups, by one ratio"]
    assert shown["FLOPs off target (%)"].tolist() == ["", "", "" if gap is None else f"{gap:.2f}"]


def test_the_papers_protocol_says_nothing_of_one_network():
    once = [run | {"trained_candidates": [7], "tuned_candidates": 0} for run in METHOD]
    row = measured_rows("net", BASE, {"l1": once}, SETTINGS, ALONE)[1]
    assert (row["paper_protocol_top1_percent"], row["protocol_difference_percent"]) == (None, None)
    assert (row["networks_tuned"], row["networks_trained"]) == (0, 1)


def test_a_network_that_is_taken_as_it_was_tuned_is_not_trained():
    row = measured_rows("net", BASE, {"sacp-2": METHOD}, {"sacp-2": {"kind": "tuned"}}, SPACES)[1]
    assert (row["networks_tuned"], row["networks_trained"]) == (150, 0)


@pytest.mark.parametrize(("on_gpu", "hours"), [(False, (3600 * 2 + 1800 * 4) / 3600), (True, 1800 * 2 / 3600)])
def test_device_hours_are_those_of_gpus_or_of_cores_where_there_are_none(on_gpu, hours):
    records = [{"seconds": 3600, "cores": 2, "gpus": 0}, {"seconds": 1800, "cores": 4, "gpus": 2}]
    assert device_hours(records, on_gpu) == hours


def test_notes_name_the_readings_of_the_paper_and_the_images():
    readings = {"sacp": {"objective": "contrastive", "anchor": "original"}}
    assert reading_note(readings, "net") == "Readings of the paper in net: sacp objective contrastive, anchor original."
    assert reading_note({}, "net") == ""
    base = [{"training_images": 45_000, "validation_images": 5000}]
    own = "net: 45,000 training images, 5,000 held out to choose by."
    assert images_note(base, "net", None) == own
    assert images_note(base, "net", "vgg16") == f"{own} The paper presumably learns from all 50,000."


def test_runs_deals_out_metrics_by_model_method_and_seed():
    models = {"a": {"methods": ["x", "y"]}, "b": {"methods": ["x"]}}
    bases, winners = ([{"number": number} for number in range(length)] for length in (4, 6))
    assert list(runs(models, 2, bases, winners)) == [
        ("a", bases[:2], {"x": winners[:2], "y": winners[2:4]}),
        ("b", bases[2:], {"x": winners[4:]}),
    ]


def test_one_seed_has_a_mean_and_no_deviation():
    row = measured_rows("net", BASE[:1], {"sacp": METHOD[:1]}, SETTINGS, SPACES)[1]
    assert (row["seeds"], row["top1_percent"], row["change_percent"]) == (1, 88.0, -2.0)
    assert np.isnan(row["top1_std"])


@pytest.mark.parametrize(
    ("model", "change"),
    [("vgg16", 92.76 - 92.60), ("resnet56", -4.52)],
)
def test_reported_rows_change_against_the_base_of_the_paper(model, change):
    rows = {row["method"]: row for row in reported_rows(REPORTED, model, "mine")}
    assert rows["SACP"]["change_percent"] == pytest.approx(change)
    assert rows["Base"]["change_percent"] == 0
    assert {row["source"] for row in rows.values()} == {"reported"}
    assert {row["model"] for row in rows.values()} == {"mine"}
    assert len(rows) == (REPORTED["model"] == model).sum()


def test_reported_base_rows_are_those_of_the_definitions():
    bases = REPORTED[REPORTED["method"] == "Base"].set_index("model")
    found = {name: (row["flops_millions"], row["params_millions"]) for name, row in bases.iterrows()}
    assert found == {"vgg16": (314.31, 14.73), "resnet18": (557.89, 11.17), "resnet56": (127.93, 0.86)}


def test_table_has_its_columns_in_order_for_reported_and_measured_rows():
    table = table3(
        [*reported_rows(REPORTED, "vgg16", "net"), *measured_rows("net", BASE, {"sacp": METHOD}, SETTINGS, SPACES)]
    )
    assert list(table.columns) == COLUMNS
    assert table["source"].tolist() == ["reported"] * (len(table) - 2) + ["measured"] * 2
    assert table["seeds"].isna().sum() == len(table) - 2


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_markdown_has_two_decimals_and_empty_cells_where_there_is_no_value():
    rows = [
        *reported_rows(REPORTED, "vgg16", "net"),
        *measured_rows("net", BASE[:1], {"sacp": METHOD[:1]}, SETTINGS, SPACES),
    ]
    text = to_markdown(frontier.parted(table3(rows))[0], "A caption.")
    header, _, first, *_, last = text.split("\n\n")[0].splitlines()
    assert cells(header) == [HEADINGS[name] for name in COLUMNS if name not in ("top1_std", frontier.CITED)]
    assert cells(first) == [
        "*net*", "*Base*", "*reported*", "", "", "*92.60*", "*0.00*", "*314.31*", "*0.00*", "", "*14.73*", "*0.00*",
        "", "", "", "", "",
    ]  # fmt: skip
    assert cells(last) == [
        "net", "sacp", "measured", "all groups", "1", "88.00", "-2.00", "1.00", "75.00", "", "0.05", "75.00", "170",
        "3", "1.50", "88.50", "0.50",
    ]  # fmt: skip
    assert text.endswith("\n\nA caption.\n")
    assert "nan" not in text.lower()


def test_the_footnote_counts_failed_candidates_over_seeds_and_gives_the_first_reason():
    tune = {"stage": "tune", "candidate": 7, "reason": "candidate 7: the loss is nan in epoch 1; lower lr 9"}
    full = {"stage": "full", "candidate": 8, "reason": "sacp 8: the loss is inf in epoch 2; lower lr 9"}
    methods = {"sacp": [{"failures": [tune]}, {"failures": [tune, full]}], "l1": [{"failures": []}, {}]}
    assert failure_note(methods, "net") == (
        "net, sacp: 2 tunings and 1 full trainings failed and were ranked last; "
        "the first: candidate 7: the loss is nan in epoch 1; lower lr 9."
    )
    assert failure_note({"l1": methods["l1"]}, "net") == ""


def test_means_and_deviations_share_a_cell():
    table = table3(measured_rows("net", BASE, {"sacp": METHOD}, SETTINGS, SPACES))
    assert "90.00 ± 2.83" in readable(table)["Top-1 (%)"].tolist()


def test_latex_is_a_booktabs_table_with_reported_rows_in_italics_and_a_rule_between_models():
    rows = [
        *reported_rows(REPORTED, "vgg16", "net_a"),
        *measured_rows("net_b", BASE, {"sacp": METHOD}, SETTINGS, SPACES),
    ]
    text = to_latex(table3(rows), "50 % & more_", "tab:table3")
    assert text.count(r"\midrule") == 2
    assert r"\caption{50 \% \& more\_}" in text
    assert r"\textit{net\_a} & \textit{Base} & \textit{reported}" in text
    assert r"net\_b & sacp & measured & all groups & 2 & 90.00 $\pm$ 2.83" in text
    columns = text.split(r"\begin{tabular}{")[1].split("}")[0]
    body = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert {line.count(" & ") + 1 for line in body} == {len(columns)}
    assert text.count("{") == text.count("}")


def test_table_4_says_what_a_variant_has_cost():
    cost = {"tuned_candidates": 20, "trained_candidates": [1, 2, 3], "paper_protocol_test_accuracy_percent": 89.0}
    winners = [metrics(88.0, 1, 1, **cost)] * 2
    settings = {"sacp-1": {"kind": "search", "labels": 50}, "sacp-2": {"kind": "tuned"}}
    rows = variant_rows("net", BASE, {name: winners for name in settings}, settings)
    table = table4([*reported_rows(VARIANTS, "resnet18", "net"), *rows])
    assert list(table.columns) == TABLE4_COLUMNS
    costs = table.set_index("method")[["networks_labelled", "networks_tuned", "networks_trained"]]
    assert costs.loc["SACP-1"].isna().all()
    assert (tuple(costs.loc["sacp-1"]), tuple(costs.loc["sacp-2"])) == ((50, 20, 3), (0, 20, 0))


@pytest.mark.parametrize("name", ["table1", "table3", "table4"])
def test_reported_numbers_are_those_of_the_paper(name):
    shared = ROOT.parent / f"shared/paper/{name}.csv"
    if not shared.is_file():
        pytest.skip("shared/paper is not there")
    own, paper = pd.read_csv(ROOT / f"config/reported/{name}.csv"), pd.read_csv(shared)
    pd.testing.assert_frame_equal(own[list(paper.columns)], paper)
