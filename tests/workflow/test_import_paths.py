"""A criterion, a score and a whole baseline of the user's own join a finished demo by their import paths."""

import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml
from checkout import PARTS, Checkout, Run

pytestmark = pytest.mark.workflow
SEED = Path("results/demo/digits-resnet14/seed0")
MODULE = '''
import numpy as np

from helpers import halves
from sacp.network.cost import costs_of_counts


def last_first(network, graph, batches, seed):
    """Channels from the last to the first."""
    assert sum(map(len, batches)) == 500
    return [np.arange(group.channels)[::-1] for group in graph.groups]


def narrow(network, graph, levels):
    """Prune wide groups rather than narrow ones."""
    steps = np.arange(levels) / levels
    return np.array([-steps / group.channels for group in graph.groups])


def every_other(task):
    """All groups alike; single channels of the first group join until the FLOPs are met."""
    return halves(task, costs_of_counts)
'''
HELPERS = """
import numpy as np


def halves(task, costs):
    best = None
    for share in np.linspace(0.1, 1, 200):
        counts = [max(1, int(share * channels)) for channels in task.graph.channels]
        for more in range(task.graph.channels[0] - counts[0] + 1):
            tried = [counts[0] + more, *counts[1:]]
            gap = abs(int(costs(task.graph, np.array([tried]))[0][0]) - task.target_flops)
            best = min(best, (gap, tried)) if best else (gap, tried)
    return [np.arange(count) for count in best[1]]
"""
NETWORK = """
from torch import nn


def build(num_classes):
    return nn.Sequential(
        nn.Conv2d(1, {width}, 3), nn.ReLU(), nn.Conv2d({width}, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(8, num_classes),
    )
"""
METHODS = {
    "mine": {"kind": "uniform", "match": "sacp", "criterion": "own:last_first"},
    "narrow": {"kind": "search", "score": "own:narrow", "search": "exact"},
    "halves": {"kind": "own:every_other", "match": "sacp"},
}


def methods_of(run: Run) -> set[str]:
    """Methods whose jobs a run planned or ran."""
    return set(re.findall(r"wildcards: .*\bmethod=([\w-]+)", run.output))


@pytest.fixture(scope="module")
def extended(finished_demo: Checkout, tmp_path_factory: pytest.TempPathFactory) -> tuple[Checkout, Run, Run]:
    """The demo with three methods more: planned, then run. Its config and the user's modules lie beside the project."""
    copy = Checkout(tmp_path_factory.mktemp("own") / "checkout")
    shutil.copytree(finished_demo.path, copy.path, symlinks=True)
    (copy.path / "own.py").write_text(MODULE)
    (copy.path / "helpers.py").write_text(HELPERS)
    settings = yaml.safe_load((copy.path / "config/demo.yaml").read_text())
    settings["defaults"]["methods"] |= METHODS
    (copy.path / "own.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(copy.path))
        planned = copy.snakemake("--configfile", "own.yaml", "--dry-run")
        run = copy.snakemake("--configfile", "own.yaml")
    assert run.status == 0, run.output
    return copy, planned, run


def files(checkout: Checkout) -> dict[str, bytes]:
    found = [path for part in PARTS for path in (checkout.path / part).rglob("*") if path.is_file()]
    return {str(path.relative_to(checkout.path)): path.read_bytes() for path in found if path.suffix != ".pyc"}


def test_no_file_of_the_project_was_changed(extended, finished_demo: Checkout) -> None:
    assert files(extended[0]) == files(finished_demo)


def test_only_their_own_jobs_are_planned_and_run(extended) -> None:
    _, planned, run = extended
    shared = {"prepare_data", "trace_network", "train_base", "sample_configs", "train_encoder"}
    for each in (planned, run):
        assert methods_of(each) == set(METHODS)
        assert shared.isdisjoint(each.jobs)
    assert run.jobs.count("select_baseline") == 2
    assert run.jobs.count("train_candidate") == 3 * 3  # a baseline is trained as often as a search trains


def test_their_rows_stand_in_table_3_at_the_flops_that_were_asked_for(extended) -> None:
    checkout, *_ = extended
    rows = pd.read_csv(checkout.path / "results/demo/tables/table3.csv").set_index("method")
    assert list(rows.index) == ["Base", "sacp", "l1", "random", *METHODS]
    for method in ("mine", "halves"):
        assert rows.loc[method, "flops_millions"] / rows.loc["sacp", "flops_millions"] == pytest.approx(1, abs=0.02)


def test_an_edit_of_the_users_module_reruns_what_uses_it_and_nothing_else(extended, monkeypatch) -> None:
    checkout, *_ = extended
    monkeypatch.setenv("PYTHONPATH", str(checkout.path))
    assert checkout.snakemake("--configfile", "own.yaml", "--dry-run").jobs == []
    (checkout.path / "helpers.py").write_text(HELPERS.replace("200", "201"))
    again = checkout.snakemake("--configfile", "own.yaml", "--dry-run")
    assert methods_of(again) == set(METHODS)  # a user's module counts whole, and with it what it imports
    assert {"train_base", "train_encoder", "sample_configs"}.isdisjoint(again.jobs)


def test_a_function_that_fails_is_named_with_its_line(extended, monkeypatch) -> None:
    checkout, *_ = extended
    monkeypatch.setenv("PYTHONPATH", str(checkout.path))
    (checkout.path / "own.py").write_text(MODULE.replace("== 500", "== 501"))
    # Targets first: --configfile takes every word that follows it.
    run = checkout.snakemake(str(SEED / "mine/winner/metrics.json"), "--configfile", "own.yaml")
    assert run.status == 1
    line = 1 + MODULE[: MODULE.index("== 500")].count("\n")
    expected = f"error: 'own:last_first' fails: AssertionError ({checkout.path / 'own.py'}, line {line})"
    assert expected in run.output
    assert "defect of sacp" not in run.output


def test_of_two_modules_of_one_name_the_one_that_runs_counts(checkout: Checkout, tmp_path: Path, monkeypatch) -> None:
    """Jobs take the one in the folder of PYTHONPATH, not the one beside the Snakefile; so must the plan."""
    named, beside = tmp_path / "named/twice.py", checkout.path / "twice.py"
    named.parent.mkdir()
    for path, width in ((named, 8), (beside, 12)):
        path.write_text(NETWORK.format(width=width))
    monkeypatch.setenv("PYTHONPATH", str(named.parent))
    config = checkout.path / "config/demo.yaml"
    settings = yaml.safe_load(config.read_text())
    settings["experiments"]["digits-resnet14"] |= {
        "network": {"name": "twice:build"}, "space": {"training_size": 50, "search_size": 50, "threshold": 0.1},
    }  # fmt: skip
    config.write_text(yaml.safe_dump(settings))
    target = "results/demo/digits-resnet14/network.json"
    run = checkout.demo(target)
    assert run.status == 0, run.output
    assert json.loads((checkout.path / target).read_text())["groups"][0]["channels"] == 8
    beside.write_text(NETWORK.format(width=16))
    assert checkout.demo(target, "--dry-run").jobs == []
    named.write_text(NETWORK.format(width=16))
    assert "trace_network" in checkout.demo(target, "--dry-run").jobs
