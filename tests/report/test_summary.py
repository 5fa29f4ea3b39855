"""The page of a run, as text and in a browser."""

import re
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest
from checkout import Checkout
from sacp.catalogue.outputs import FIGURES
from sacp.report import summary

RECORD = {"rule": "train_base", "seconds": 7200.0, "started": "2026-01-01T00:00:00", "commit": "abc", "device": "cpu",
          "seed": 0, "versions": {"torch": "2"}}  # fmt: skip
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


def test_cost_is_summed_by_rule():
    rows = summary.cost_rows([RECORD, {**RECORD, "seconds": 3600.0}, {**RECORD, "rule": "tune_shard", "seconds": 60.0}])
    assert [tuple(row.values()) for row in rows] == [
        ("train_base", 2, 3.0, 120.0), ("tune_shard", 1, 60 / 3600, 1.0), ("all", 3, 3 + 60 / 3600, 120.0),
    ]  # fmt: skip


def test_reported_rows_are_set_apart_and_text_is_escaped():
    table = pd.DataFrame({"method": ["A<B", "ours"], "source": ["reported", "measured"], "top1_percent": [1.0, 2.5]})
    html = summary.table_html(table, "A & B.")
    assert '<tr class="reported"><td>A&lt;B</td>' in html
    assert "<tr><td>ours</td><td>measured</td><td>2.50</td></tr>" in html
    assert "A &amp; B." in html


def test_provenance_names_everything_that_differs():
    records = [RECORD, {**RECORD, "commit": "def", "versions": {"torch": "3"}, "precision": "bfloat16"}]
    html = summary.provenance_html([*records, {**RECORD, "precision": "float32"}])
    assert "<td>precision</td><td>bfloat16, float32</td>" in html
    assert "<td>commit</td><td>abc, def</td>" in html
    assert "<td>torch</td><td>2, 3</td>" in html


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
    drawn = [name for name, figure in FIGURES.items() if not figure.needs_latency]  # the demo measures none
    for heading in ("table3", "table4", "table1", "Cost", "Provenance", "Configuration"):
        assert f"<h2>{heading}</h2>" in document
    assert len(re.findall(r'<img alt="[^"]+" src="data:image/png;base64,', document)) == len(drawn)


@pytest.mark.workflow
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_snakemakes_report_opens_without_an_error_and_holds_every_result(demo_copy: Checkout, tmp_path: Path) -> None:
    run = demo_copy.demo("--report", "report.html")
    assert run.status == 0, run.output
    document, console = rendered(demo_copy.path / "report.html", tmp_path)
    assert "error" not in console.lower(), console
    for category in ("Summary", "Tables", "Figures"):
        assert category in document
