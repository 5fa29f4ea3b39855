"""What is said of table 3, from its numbers."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from checkout import ROOT
from sacp.errors import InputError
from sacp.report import outcome
from sacp.report.tables import COLUMNS
from safetensors.numpy import save_file

IMAGES = 400


def row(method: str, accuracy: float, flops: float, **other: object) -> dict[str, object]:
    base = {"model": "net", "method": method, "source": "measured", "seeds": 1, "top1_percent": accuracy}
    pruned = {"flops_millions": flops, "flops_pruned_percent": 100 - flops, "params_pruned_percent": 100 - flops}
    counts = {"change_percent": accuracy - 99, "networks_tuned": 0, "networks_trained": 3, "device_hours": 0.1}
    return {**base, **pruned, **counts, **other}


def table(*methods: dict[str, object]) -> pd.DataFrame:
    return pd.DataFrame([row("Base", 99, 100), row("l1", 95, 25), *methods], columns=COLUMNS)


@pytest.mark.parametrize(
    ("first", "second", "images", "interval"),
    [(90, 30, 10, (17.05, 80.90)), (100, 0, 10, (60.75, 100)), (100 * 6 / 7, 100 * 2 / 7, 7, (5.82, 80.62))],
)
def test_intervals_are_those_of_newcombes_table(first, second, images, interval):
    assert outcome.difference(first, second, images) == pytest.approx(interval, abs=0.01)


def test_the_best_is_of_those_with_the_flops_of_uniform_pruning():
    said = outcome.sentences(table(row("sacp", 96, 25.4), row("other", 96, 24.6), row("wide", 98, 40)), IMAGES)
    low, high = outcome.difference(96, 95, IMAGES)
    first = "Of 3 methods that prune 75 % of the FLOPs, sacp and other are best: 96.00 %"
    assert said[0] == f"{first}, 1.00 points [{low:.2f}, {high:.2f}] above uniform l1."
    low, high = outcome.difference(99, 96, IMAGES)
    assert said[1] == f"The base has 99.00 %: the best is 3.00 points [{low:.2f}, {high:.2f}] below it."


def test_what_is_worse_beyond_noise_is_named():
    within, beyond = row("near", 95.5, 25), row("far", 80, 25)
    assert "Beyond noise, none of these methods is worse than the best." in outcome.sentences(table(within), IMAGES)[2]
    assert outcome.sentences(table(within, beyond), IMAGES)[2].endswith(
        "Beyond noise, only far is worse than the best."
    )
    assert "400 test images" in outcome.sentences(table(within), IMAGES)[2]


def test_where_uniform_pruning_is_best_that_is_said():
    assert "none is better than uniform pruning (l1), 95.00 %" in outcome.sentences(table(row("x", 94, 25)), IMAGES)[0]


def test_a_table_of_another_form_is_a_mistake():
    with pytest.raises(InputError, match="several networks or seeds"):
        outcome.sentences(table(row("x", 95, 25, seeds=3)), IMAGES)
    with pytest.raises(InputError, match="no row l1"):
        outcome.sentences(table().query("method != 'l1'"), IMAGES)


def test_the_narrow_table_leaves_out_what_is_the_same_everywhere_and_fits():
    lines = outcome.narrow(table(row("a-method-of-a-long-name", 96, 25, networks_tuned=20))).splitlines()
    assert max(map(len, lines)) <= 120
    headings = re.split(r"  +| (?=[A-Z])", lines[0].strip())
    assert headings == ["Method", "Top-1 (%)", "Change", "FLOPs pruned (%)", "Params pruned (%)", "Tuned"]


def called(*arguments: Path) -> subprocess.CompletedProcess[str]:
    """The command; it fails if torch was loaded."""
    code = (
        "import sys; from sacp.report import outcome; status = outcome.main(); "
        "sys.exit(status + ('torch' in sys.modules))"
    )
    command = [sys.executable, "-c", code, *map(str, arguments)]
    environment = {"PYTHONPATH": str(ROOT / "scripts")}
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def test_the_command_prints_both_without_torch_and_a_mistake_in_one_line(tmp_path):
    made, data = tmp_path / "table3.csv", tmp_path / "data.safetensors"
    table(row("sacp", 96, 25)).to_csv(made, index=False)
    save_file({"test_labels": np.zeros(IMAGES, np.int64)}, data)
    done = called(made, data)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 8
    done = called(made, made)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(rf"error: {made}: .*; expected prepared data\n", done.stderr)
