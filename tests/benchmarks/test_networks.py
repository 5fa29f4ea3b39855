"""The sweep over networks: its page and its rows agree, and its rows say what is right, wrong and refused."""

import csv
import re
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from benchmarks.networks import __main__ as sweep
from benchmarks.networks import masks, page, peer, rows, zoo
from benchmarks.networks.counting import counted
from networks_zoo import CUSTOM_SHAPE, Custom, any_network, depthwise, flat, thop_count
from sacp.network.surgery import prune
from torch import nn

torch_pruning = pytest.mark.skipif(peer.torch_pruning is None, reason="torch_pruning is missing")


@dataclass(frozen=True)
class Given(zoo.Entry):
    """A network of a test's own."""

    network: nn.Module = field(default_factory=depthwise, compare=False)
    shape: tuple[int, int, int, int] = CUSTOM_SHAPE  # type: ignore[misc]

    def build(self) -> nn.Module:
        return self.network.eval()


def softmaxed() -> nn.Module:
    layers = {"conv": nn.Conv2d(3, 4, 1), "fc": nn.Linear(4, 2)}
    return Custom(lambda n, x: n.fc(torch.softmax(n.conv(x), 1).mean((2, 3))), **layers)


def spinning() -> nn.Module:
    def forward(n: nn.Module, x: torch.Tensor) -> torch.Tensor:
        while True:
            time.process_time()

    return Custom(forward)


def hungry() -> nn.Module:
    return Custom(lambda n, x: n.conv(x + torch.zeros(2 * rows.LIMIT_BYTES)), conv=nn.Conv2d(3, 4, 1))


def test_the_page_shows_the_rows() -> None:
    with sweep.CSV.open(newline="") as handle:
        known = list(csv.DictReader(handle))
    assert known
    assert tuple(known[0]) == rows.HEADINGS
    text = sweep.PAGE.read_text()
    assert page.filled(text, known) == text
    assert len(known) <= len(list(zoo.entries())) == 80 + 6 + 12 + 30


@pytest.mark.parametrize(("family", "name"), [(zoo.CLASSIFIERS, "resnet18")])
def test_a_network_of_torchvision_is_accepted_and_right(family: str, name: str) -> None:
    row = rows.measured("ours", zoo.Entry(family, name))
    assert (row["outcome"], row["why"], row["costs"], row["precision"]) == ("exact", "", "equal", "float64")
    assert (row["groups"], row["channels"]) == ("12", "4800")
    assert float(row["random_widths"]) < 1e-9 > float(row["extreme_widths"])
    assert float(row["cpu_seconds"]) > 0
    assert row["torch_pruning_groups"] == (peer.MISSING if peer.torch_pruning is None else "equal")


def test_a_refused_network_has_the_message() -> None:
    row = rows.measured("ours", Given("", "softmax", softmaxed()))
    assert (row["outcome"], row["parameters"]) == ("refused", "26")
    assert re.sub(r" \(.*?:\d+\)", "", row["why"]) == (
        "network: operation 'softmax' at node 'softmax' runs over channels that pruning changes"
    )


@torch_pruning
def test_the_peer_runs_or_fails_by_its_error() -> None:
    assert rows.measured("peer", Given("", "depthwise", depthwise()))["peer"] == "runs"
    row = rows.measured(
        "peer", Given("", "no channels", Custom(lambda n, x: n.conv(x[:, :1]), conv=nn.Conv2d(3, 4, 1)))
    )
    assert row["peer"] == "fails"
    assert row["peer_why"].startswith("RuntimeError: ")


def wrongly_pruned(network: nn.Module, *arguments: object) -> nn.Module:
    """The first convolution's filters in another order: sizes are right, channels are not."""
    result = prune(network, *arguments)
    weight = next(module for module in result.modules() if isinstance(module, nn.Conv2d)).weight
    weight.data = weight.data.roll(1, 0)
    return result


def test_wrong_channels_and_costs_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masks, "prune", wrongly_pruned)
    monkeypatch.setattr("benchmarks.networks.ours.counted", lambda network, shape: counted(nn.Conv2d(3, 1, 1), shape))
    row = rows.measured("ours", Given("", "flat", flat()))
    assert (row["outcome"], row["costs"]) == ("wrong", "unequal")
    costs, channels, *_ = row["why"].split("; ")
    assert costs.startswith("costs: Cost(flops=")
    assert channels.startswith("random widths: pruned and masked differ by ")


@pytest.mark.parametrize(
    ("network", "outcome", "why"),
    [
        (None, "wrong", "building: AttributeError: 'NoneType' object has no attribute 'eval'"),
        (spinning(), "unfinished", "trace: 3 CPU seconds are not enough"),
        (hungry(), "unfinished", "trace: 18 GiB are not enough"),
    ],
)
def test_no_network_stops_the_sweep(network: nn.Module, outcome: str, why: str) -> None:
    row = rows.measured("ours", Given("", "own", network), limit_cpu_seconds=3)
    assert (row["outcome"], row["why"]) == (outcome, why)


@pytest.mark.parametrize("name", ["resnet18", "vgg16", "flat", "depthwise", "squeeze_excite"])
def test_what_is_counted_is_what_thop_counts_in_modules(name: str) -> None:
    network, _, shape = any_network(name)
    flops, parameters = thop_count(network, shape)
    found = counted(network.eval(), shape)
    means = {"squeeze_excite": 2 * 10 * (64 + 1)}  # which thop does not see
    assert (found.flops, found.parameters) == (flops + means.get(name, 0), parameters)


@pytest.mark.parametrize(
    ("ours", "word"),
    [
        ([("a", "b"), ("c",)], "equal"), ([("a",), ("b",)], "ours finer"), ([("a", "b", "c")], "ours coarser"),
        ([("a", "c"), ("b",)], "differ"), ([("c",)], "equal"),
    ],
)  # fmt: skip
def test_groups_are_compared_where_ours_can_be_pruned(ours: list[tuple[str, ...]], word: str) -> None:
    theirs = {frozenset("ab"), frozenset("c"), frozenset("d")}
    assert peer.against(ours, theirs) == word
    assert peer.against(ours, None) == "torch_pruning is missing"


@pytest.mark.parametrize(
    ("message", "cause"),
    [
        ("operation 'cat' at node 'cat_12' is not", "operation 'cat' at node '...' is not"),
        ("operation 'a.0.scale' at node 'a_0_scale' is not", "operation '...' at node '...' is not"),
        ("convolution 'a.0' has 2 groups of 64 -> 64 channels", "convolution '...' has N groups of N -> N channels"),
        ("module 'relu' is used twice", "module '...' is used twice"),
        ("forward of RegNet cannot", "forward of ... cannot"), ("differ by 2e-05 of", "differ by N of"),
        ("operation 'cat' at node 'cat' of 'a.b' (dense.py:48) and 61 more is", "operation 'cat' at node '...' is"),
    ],
)  # fmt: skip
def test_messages_are_grouped_by_cause(message: str, cause: str) -> None:
    assert page.causes(f"network: {message}; operation 'x' is not; operation 'x' is not") == [
        cause,
        "operation 'x' is not",
    ]


@pytest.mark.parametrize(("outcome", "status"), [("wrong", True), ("exact", False), ("refused", False)])
def test_what_is_accepted_and_wrong_fails_the_sweep(
    outcome: str, status: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sweep, "CSV", tmp_path / "networks.csv")
    monkeypatch.setattr(sweep, "PAGE", tmp_path / "networks.md")
    monkeypatch.setattr(sys, "argv", ["sweep", "none of them"])
    known = rows.read(sweep.CSV)
    known[zoo.Entry(zoo.CLASSIFIERS, "resnet18")] |= {"outcome": outcome, "why": "costs: 1, not 2"}
    rows.write(sweep.CSV, known)
    sweep.PAGE.write_text("".join(f"{page.BEGIN.format(name)}\n{page.END}\n" for name in page.tables([])))
    with pytest.raises(SystemExit) as caught:
        sweep.main()
    assert caught.value.code is status
    assert f"| torchvision classifiers | 1 | {int(outcome == 'exact')} |" in sweep.PAGE.read_text()
    assert ("resnet18 is accepted and wrong: costs: 1, not 2" in capsys.readouterr().err) is status
