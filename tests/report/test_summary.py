"""The page of a run, as text and in a browser."""

import re
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest
from checkout import Checkout
from sacp.catalogue.outputs import FIGURES, TABLES
from sacp.report import summary
from sacp.report.glossary import TERMS, glossary
from sacp.report.page import Part
from sacp.report.units import duration

RECORD = {"rule": "train_base", "seconds": 7200.0, "started": "2026-01-01T00:00:00", "commit": "abc", "device": "cpu",
          "seed": 0, "versions": {"torch": "2"}}  # fmt: skip
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


def test_cost_is_summed_by_stage_the_longest_first():
    """In units that a reader has a feeling for."""
    records = [RECORD, {**RECORD, "seconds": 3600.0}, {**RECORD, "rule": "tune_shard", "seconds": 60.0}]
    table = summary.cost_table([records[2], *records[:2]])
    assert [tuple(row) for row in table.to_numpy()] == [
        ("train base", 2, "3 h", "2 h"), ("tune shard", 1, "1 min", "1 min"),
        ("all", 3, "3 h 1 min", "2 h"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (59.4, "59 s"), (59.6, "1 min"), (3569, "59 min"),
        (3571, "1 h"), (47.9 * 3600, "47 h 54 min"), (50 * 3600, "2 d 2 h"), (72 * 3600, "3 d"), (float("nan"), ""),
    ],
)  # fmt: skip
def test_durations_have_the_unit_of_their_size(seconds, text):
    assert duration(seconds / 3600) == text


def test_device_hours_of_a_table_are_durations():
    html = summary.results_html(pd.DataFrame({"method": ["a", "b"], "device_hours": [0.5, 3.0]}), "Device-hours: all.")
    assert "<th>Device time</th>" in html
    assert "<td>30 min</td>" in html
    assert html.endswith("Device time: all.</p>")


def test_predictors_within_bands_are_folded():
    table = pd.DataFrame({"predictor": ["a"] * 3 + ["b"] * 3, "band": ["all", "1 of 1", "within bands"] * 2})
    table["spearman"] = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    whole, bands = summary.predictors_html(table, "A caption.").split("<details>")
    assert [text in whole for text in ("0.10", "0.40", "0.20", "0.60")] == [True, True, False, False]
    assert [text in bands for text in ("0.10", "0.40", "0.20", "0.60")] == [False, False, True, True]
    assert "A caption." in whole


def test_alarms_are_in_a_box_and_without_one_the_page_says_what_was_checked():
    assert 'class="alarm"' in summary.alarms_html(["A < B."])
    assert "A &lt; B." in summary.alarms_html(["A < B."])
    assert "alarm" not in summary.alarms_html([])
    assert "Nothing looks wrong" in summary.alarms_html([])


def test_provenance_names_everything_that_differs():
    records = [RECORD, {**RECORD, "commit": "def", "versions": {"torch": "3"}, "precision": "bfloat16"}]
    html = summary.provenance_html([*records, {**RECORD, "precision": "float32"}])
    assert "<dt>Precision</dt><dd>bfloat16, float32</dd>" in html
    assert "<dt>Commit</dt><dd>abc, def</dd>" in html
    assert "<dt>torch</dt><dd>2, 3</dd>" in html


def test_the_glossary_has_the_terms_that_appear_and_no_others():
    found = glossary(
        '<style>.kendall {}</style><p title="regret">FLOPs of the &quot;base&quot;, baselines, scored.</p>'
    )
    assert list(found) == ["Base", "FLOPs"]
    for names in TERMS:
        for name in names.split("|"):
            assert names.partition("|")[0] in glossary(f"<p>({name.lower()})</p>")
    assert glossary("") == {}


def test_a_page_ends_in_its_glossary_and_each_part_has_its_place_in_the_contents():
    html = summary.summary_page("A & B", "<p>before</p>", [Part("Costs < 1", "<p>Kendall</p>"), Part("Rest", "")])
    headings = ["Costs &lt; 1", "Rest", "What the words mean"]
    for number, heading in enumerate(headings, 1):
        assert f'<li><a href="#part{number}">{heading}</a></li>' in html
        assert f'<section id="part{number}"><h2>{heading}</h2>' in html
    assert "<h1>A &amp; B</h1>" in html
    assert "What the words mean" not in summary.summary_page("A", "", [Part("Rest", "")])
    # Links lead to parts of the page; nothing is fetched.
    assert set(re.findall(r'(?:href|src)="([^"]*)"', html)) == {"data:,", "#part1", "#part2", "#part3"}


def rendered(path: Path, profile: Path) -> tuple[str, str]:
    """The page's document after its scripts have run, and what the browser wrote to its console."""
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}",
        "--enable-logging=stderr", "--virtual-time-budget=10000", "--dump-dom", path.resolve().as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    return done.stdout, "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)


@pytest.mark.workflow
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_the_summary_opens_without_an_error_and_shows_all_tables_and_figures(
    finished_demo: Checkout, tmp_path: Path
) -> None:
    document, console = rendered(finished_demo.path / "results/demo/summary.html", tmp_path)
    assert console == ""
    # The demo of tests neither measures latency nor compares predictors.
    drawn = [name for name, figure in FIGURES.items() if not (figure.needs_latency or figure.needs_sample)]
    titles = [table.title for table in TABLES.values() if not table.needs_sample]
    for heading in (*titles, "What was asked of digits-resnet14", "The best network of digits-resnet14"):
        assert f"<h2>{heading}</h2>" in document
    assert len(re.findall(r'<img alt="[^"]+" style="[^"]+" src="data:image/png;base64,', document)) == len(drawn)


@pytest.mark.workflow
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_snakemakes_report_opens_without_an_error_and_holds_every_result(demo_copy: Checkout, tmp_path: Path) -> None:
    run = demo_copy.demo("--report", "report.html")
    assert run.status == 0, run.output
    document, console = rendered(demo_copy.path / "report.html", tmp_path)
    assert "error" not in console.lower(), console
    for category in ("Summary", "Tables", "Figures"):
        assert category in document
