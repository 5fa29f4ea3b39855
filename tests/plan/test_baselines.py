"""What is refused of a baseline before any job starts, in one line; and what is the same but can be done."""

import copy
import json
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from checkout import ROOT
from configs import resolved
from sacp.baselines.ato import check_steps, span
from sacp.errors import InputError
from sacp.network.architectures import build
from sacp.network.constraints import Constraints
from sacp.network.graph import Graph
from sacp.network.spec import NetworkSpec
from sacp.plan import baselines, preflight
from sacp.tracing.trace import trace

REPORTED = ROOT / "config/reported/table3.csv"
CONFIG = {"datasets": {"digits": {"source": "digits"}}}
IMAGES = 1437  # of which a fifth is held out: 18 steps of 64 in each of 3 epochs
EXPERIMENT = {
    "dataset": "digits",
    "validation": 0.2,
    "network": {"name": "resnet8"},
    "space": {"training_size": 5, "search_size": 5, "threshold": 0},
    "refine": {"top_m": 2, "top_k": 1},
    "selection": {"epochs": 3, "batch_size": 64, "crop_padding": 1},
}
KINDS = ("amc", "agmc", "metapruning", "apib", "oto", "gal", "ato")
OPTIONS = {"gal": {"every": 5}, "ato": {"every": 5}}  # the training is short
SUMMED = """
from torch import nn
class Summed(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.left, self.right = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(1, 8, 3, padding=1)
        self.norm, self.pool, self.last = nn.BatchNorm2d(8), nn.AdaptiveAvgPool2d(1), nn.Linear(8, num_classes)
    def forward(self, x):
        return self.last(self.pool(self.norm(self.left(x) + self.right(x)).relu()).flatten(1))
"""
INNER = ["stages.0.0.conv1", "stages.1.0.conv1", "stages.2.0.conv1"]  # of resnet8


def checked(kind: str, options: dict[str, Any] | None = None, **changes: Any) -> None:
    """Check a run of one search and a baseline of a kind; changes are keys of the experiment."""
    experiment = copy.deepcopy(EXPERIMENT)
    own = {kind: OPTIONS.get(kind, {}) | (options or {})}
    experiment["methods"] = {"s": {"kind": "search"}, "b": {"kind": kind, "match": "s"} | own}
    for key, value in changes.items():
        experiment[key] = experiment[key] | value if isinstance(experiment.get(key), dict) else value
    complete = resolved(CONFIG | {"experiments": {"net": experiment}})["experiments"]["net"]
    space = {key: value for key, value in complete["space"].items() if key in ("ignore", "round_to", "at_least")}
    baselines.check(traced(complete["network"]["name"], json.dumps(space)), complete, IMAGES)


@cache
def traced(name: str, space: str) -> Graph:
    spec = NetworkSpec(name, width=1.0, in_channels=1, image_size=8, num_classes=10)
    return trace(build(spec), spec.input_shape, Constraints.of(**json.loads(space)))


def refusal(kind: str, options: dict[str, Any] | None = None, **changes: Any) -> str:
    with pytest.raises(InputError) as caught:
        checked(kind, options, **changes)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def summed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A network whose only group is that of a sum."""
    (tmp_path / "summed.py").write_text(SUMMED)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "summed", raising=False)
    return {"name": "summed:Summed"}


@pytest.mark.parametrize("kind", KINDS)
def test_what_can_be_done_is_let_through(kind):
    checked(kind)


@pytest.mark.parametrize("kind", ["apib", "gal", "ato"])
def test_a_network_of_sums_alone_has_nothing_for_methods_of_inner_groups(summed, kind):
    other = ", or apib.sums: true" if kind == "apib" else ""
    assert refusal(kind, network=summed) == (
        f"methods.b.kind: '{kind}' prunes groups whose channels one layer makes, of no sum, but the network has none "
        f"with channels to remove; expected another kind{other}, or less to be left alone (space.ignore, "
        "space.round_to, space.at_least)"
    )


@pytest.mark.parametrize(
    ("kind", "options"), [("apib", {"sums": True}), ("amc", {}), ("agmc", {}), ("oto", {}), ("metapruning", {})]
)
def test_methods_of_all_groups_prune_a_network_of_sums(summed, kind, options):
    checked(kind, options, network=summed)


@pytest.mark.parametrize("kind", ["apib", "gal", "ato"])
@pytest.mark.parametrize("left", [{"ignore": INNER}, {"ignore": INNER[1:], "round_to": 16}])
def test_constraints_that_leave_all_inner_groups_whole_are_refused(kind, left):
    assert refusal(kind, space=left).startswith(f"methods.b.kind: '{kind}' prunes groups whose channels one layer m")
    checked("oto", space=left)
    checked("apib", {"sums": True}, space=left)
    checked(kind, space={"ignore": INNER[1:]})


def test_a_least_share_above_the_budget_is_refused():
    found = refusal("amc", {"least_share": 0.9}, search={"budget": {"flops": 0.5}})
    assert "methods.b.amc.least_share: with 0.9 of every group the network has " in found
    assert "that the winner of 's' has at most (budget.flops); expected a smaller share" in found
    checked("amc", {"least_share": 0.9})  # nothing bounds the winner
    checked("amc", {"least_share": 0.9}, search={"budget": {"parameters": 0.5}})
    checked("amc", {"least_share": 0.5}, search={"budget": {"flops": 0.5}})


def test_the_budget_is_that_of_the_search_that_is_matched_or_of_the_one_that_it_matches():
    narrow = {"kind": "search", "budget": {"flops": 0.5}}
    wide = {"kind": "search", "budget": {"flops": 0.95}}
    amc = {"kind": "amc", "amc": {"least_share": 0.9}}
    methods = {"narrow": narrow, "wide": wide, "same": {"kind": "search", "match": "narrow"}}
    checked("oto", methods=methods | {"a": amc | {"match": "wide"}})
    for match in ("narrow", "same"):
        assert "methods.a.amc.least_share" in refusal("oto", methods=methods | {"a": amc | {"match": match}})


def test_widths_that_are_all_above_the_budget_are_refused(monkeypatch):
    monkeypatch.setattr("sacp.baselines.metapruning.generator.LEAST", 0.9)  # a tenth is less than a search can reach
    monkeypatch.setattr("sacp.baselines.metapruning.generator.STEP", 0.0)
    found = refusal("metapruning", search={"budget": {"flops": 0.5}})
    assert "methods.b.kind: the smallest network of 'metapruning'" in found
    checked("metapruning", search={"budget": {"flops": 0.95}})


@pytest.mark.parametrize(
    ("kind", "every", "expected"),
    [
        ("gal", 100, "gal.every: found 100 steps, expected no more than the 54 of the training (selection.epochs)"),
        ("ato", 30, "ato.every: found 30 steps, of which none ends within the 22 between start and freeze of 54"),
    ],
)
def test_a_training_too_short_to_choose_in_is_refused(kind, every, expected):
    assert refusal(kind, {"every": every}).startswith(f"methods.b.{expected}")
    checked(kind, {"every": every}, selection={"epochs": 6})


def test_networks_of_made_weights_need_calibration():
    expected = (
        "experiments.net.calibration: found 0, but methods.b makes networks whose batch norms have seen no images"
    )
    assert expected in refusal("metapruning", calibration=0)
    checked("agmc", calibration=0)


def test_a_run_is_refused_before_it_starts_by_the_file_and_the_key():
    methods = {"s": {"kind": "search"}} | {kind: {"kind": kind, "match": "s"} for kind in KINDS}
    config = CONFIG | {"experiments": {"net": EXPERIMENT | {"methods": methods}}}
    with pytest.raises(
        InputError, match=r"^my\.yaml: experiments.net.methods.gal.gal.every: found 200 steps, expected"
    ):
        preflight.check(resolved(config), "my.yaml", REPORTED)
    methods["gal"]["gal"], methods["ato"]["ato"] = OPTIONS["gal"], OPTIONS["ato"]
    preflight.check(resolved(config), "my.yaml", REPORTED)
    if not torch.cuda.is_available():
        preflight.check(resolved(config | {"device": "cpu"}), "my.yaml", REPORTED)
        with pytest.raises(InputError, match=r"^my\.yaml: device: 'cuda' asked for, but no GPU was found"):
            preflight.check(resolved(config | {"device": "cuda"}), "my.yaml", REPORTED)


@pytest.mark.parametrize("steps", [1, 2, 7, 40])
@pytest.mark.parametrize("every", [1, 3, 20])
def test_steps_of_the_controller_are_counted_as_they_are_taken(steps, every):
    options = {"start": 0.1, "freeze": 0.5, "every": every}
    first, frozen = span(options, steps)
    taken = [number for number in range(first, frozen) if (number + 1) % every == 0]
    if taken:
        check_steps(options, steps)
    else:
        with pytest.raises(InputError, match=f"ato.every: found {every} steps, of which none ends within the "):
            check_steps(options, steps)
