"""A network in memory becomes a smaller one within its budget, the best of its space."""

import inspect
import math
import time
from collections.abc import Callable
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
import pytest
import sacp
import torch
import torchvision
from networks_zoo import CUSTOM_SHAPE, any_network
from sacp import imports
from sacp.api import pruning
from sacp.api.report import Report
from sacp.catalogue.criteria import CRITERIA
from sacp.errors import InputError
from sacp.network.cost import Budget, cost_of_graph, costs_of_counts
from sacp.pruning.criteria import l1_norms
from sacp.pruning.returned import order_of
from sacp.pruning.sensitivity import measure
from sacp.pruning.space import Space, counts_by_step, kept_counts
from sacp.search import sensitivity
from sacp.search.log_mass import kept_mass
from sacp.solver import bounded
from sacp.timing.measure import Row
from sacp.timing.model import Times
from sacp.tracing.trace import count


@pytest.mark.parametrize("limits", [{"flops": 0.5}, {"parameters": 0.3}, {"flops": 0.5, "parameters": 0.4}])
@pytest.mark.parametrize("name", ["resnet20", "depthwise", "squeeze_excite"])
def test_a_pruned_network_is_within_its_budget_and_runs(name: str, limits: dict[str, float]) -> None:
    network, graph, shape = any_network(name)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    smaller = sacp.prune(network, shape, **limits)
    cost, base = count(smaller, shape), cost_of_graph(graph)
    for kind, share in limits.items():
        assert getattr(cost, kind) <= share * getattr(base, kind)
    assert smaller.eval()(torch.zeros(shape)).shape == network.eval()(torch.zeros(shape)).shape
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())


def test_it_is_the_best_of_its_space() -> None:
    network, graph, shape = any_network("squeeze_excite")
    steps = np.array(list(product(range(10), repeat=len(graph.groups))), np.uint8)
    counts = kept_counts(steps, graph, 10)
    flops, _ = costs_of_counts(graph, counts)
    weights = [len(group.layers) * group.channels**0.5 for group in graph.groups]
    scores = np.log(kept_mass(l1_norms(network, graph), counts)) @ weights
    best = np.argmax(np.where(flops <= 0.4 * cost_of_graph(graph).flops, scores, -np.inf))
    assert count(sacp.prune(network, shape, flops=0.4), shape).flops == flops[best]


@pytest.mark.parametrize(
    ("limits", "found"),
    [
        ({"flops": 0}, "flops: found 0"), ({"parameters": -0.5}, "parameters: found -0.5"),
        ({"flops": "50%"}, "flops: found '50%'"), ({"flops": [0.2, 0.5]}, "flops: found [0.2, 0.5]"),
        ({"flops": math.nan}, "flops: found nan"), ({"flops": math.inf}, "flops: found inf"),
        ({"flops": True}, "flops: found True"), ({"flops": 1j}, "flops: found 1j"),
        ({"flops": 0.5, "parameters": "0.5"}, "parameters: found '0.5'"),
        ({"flops": np.zeros((2, 2))}, "flops: found array("),
    ],
)  # fmt: skip
def test_a_budget_must_be_given_in_numbers_above_0(limits: dict[str, Any], found: str) -> None:
    network, _, shape = any_network("flat")
    with pytest.raises(InputError) as caught:
        sacp.prune(network, shape, **limits)
    assert str(caught.value).startswith(found)
    assert str(caught.value).endswith(", expected a number above 0; up to 1.0 a share, as 0.5")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        *(({"levels": levels}, f"levels: found {levels!r}, expected an integer from 2 to 256")
          for levels in (0, 1, 257, -3, True, 2.5, "10", None)),
        ({"network": "net"}, "network: found 'net', expected a torch.nn.Module"),
        ({"network": torch.nn.Identity}, "network: found <class 'torch.nn.modules.linear.Identity'>, expected a torch"),
        ({"example": (3, 8, 8)}, "example: found (3, 8, 8), expected a batch of inputs or a shape, [1, C, H, W]"),
        ({"example": None}, "example: found None, expected a batch of inputs or a shape, [1, C, H, W]"),
        ({"example": 8}, "example: found 8, expected a batch of inputs or a shape, [1, C, H, W]"),
        ({"timings": 3}, "timings: found 3, expected the path of a file"),
        ({"report": "print"}, "report: found 'print', expected a function that takes the report"),
        ({"example": (True, 3, 8, 8)}, "example: found (True, 3, 8, 8), expected a batch of inputs or a shape"),
        ({"flops": None}, "budget: found none, expected flops, parameters or latency above 0; up to 1.0, a share"),
        ({"macs": 0.5}, "macs: prune has no such argument (did you mean 'flops'?); known: network, example, flops,"),
        ({"criterium": "l1"}, "criterium: prune has no such argument (did you mean 'criterion'?); known: network"),
        # what nothing would look at
        ({"runtime": "onnxruntime"}, "runtime: found 'onnxruntime' without a budget on latency; expected latency=,"),
        ({"batch": 8}, "batch: found 8 without a budget on latency; expected latency=, or no batch"),
        ({"threads": 2}, "threads: found 2 without a budget on latency"),
        ({"timings": "t.json"}, "timings: found 't.json' without a budget on latency"),
        ({"images": []}, "images: found no batch, expected some of training images, or no `images`"),
        ({"images": iter(())}, "images: found no batch, expected some of training images, or no `images`"),
        (
            {"images": [torch.zeros(2, *CUSTOM_SHAPE[1:])], "score": "nsc", "criterion": "l1"},
            "images: neither the score 'nsc' nor the criterion 'l1' looks at them",
        ),
    ],
)  # fmt: skip
def test_an_argument_of_another_form_is_refused_by_its_name(changed: dict[str, Any], message: str) -> None:
    network, _, shape = any_network("flat")
    with pytest.raises(InputError) as caught:
        sacp.prune(**{"network": network, "example": shape, "flops": 0.5} | changed)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("levels", [2, 3, 256])
def test_any_number_of_levels_that_a_config_can_have_is_taken(levels: int) -> None:
    network, graph, shape = any_network("flat")
    assert count(sacp.prune(network, shape, flops=0.5, levels=levels), shape).flops <= cost_of_graph(graph).flops / 2


@pytest.mark.parametrize("number", [np.float32, np.float64, Fraction])
def test_a_share_can_be_any_real_number(number: Callable[[float], Any]) -> None:
    network, _, shape = any_network("flat")
    found, expected = (count(sacp.prune(network, shape, flops=share), shape) for share in (number(0.5), 0.5))
    assert found == expected


@pytest.mark.parametrize("number", [int, np.int64, np.uint32])
def test_an_absolute_budget_can_be_any_whole_number(number: Callable[[int], Any]) -> None:
    network, graph, shape = any_network("flat")
    most = cost_of_graph(graph).flops // 2
    found, expected = (count(sacp.prune(network, shape, flops=limit), shape) for limit in (number(most), 0.5))
    assert found == expected


def test_a_budget_that_nothing_meets_is_refused() -> None:
    network, _, shape = any_network("flat")
    narrowest = r"; the narrowest network has \d+ FLOPs and \d+ parameters$"
    for limits in ({"flops": 1e-6}, {"flops": 1}, {"flops": 200}, {"parameters": 1e-6, "flops": 0.5}):
        with pytest.raises(InputError, match=f"^budget: no configuration of the space is within .*{narrowest}"):
            sacp.prune(network, shape, **limits)
    for percent in ({"flops": 50}, {"parameters": 3.0, "flops": 0.5}):
        with pytest.raises(InputError, match=r"FLOPs and \d+ parameters; a share is written as 0\.5$"):
            sacp.prune(network, shape, **percent)


def test_a_share_of_one_is_the_whole_network_and_an_example_says_its_shape() -> None:
    network, graph, shape = any_network("flat")
    whole = sacp.prune(network, torch.zeros(4, *shape[1:]), flops=1.0)
    assert count(whole, shape) == cost_of_graph(graph)
    for more in (2e9, 10**30):
        assert count(sacp.prune(network, shape, flops=more), shape) == cost_of_graph(graph)


def test_calls_that_lack_an_argument_or_have_too_many_are_refused_in_one_line() -> None:
    network, _, shape = any_network("flat")
    for call, message in (
        (lambda: sacp.prune(network), "prune() missing 1 required positional argument: 'example'"),
        (lambda: sacp.prune(network, shape, 0.5), "prune() takes 2 positional arguments but 3 were given"),
        (lambda: sacp.load("x", netwrok=None), "netwrok: load has no such argument (did you mean 'network'?); known:"),
    ):
        with pytest.raises(InputError) as caught:
            call()
        assert str(caught.value).startswith(message)


def test_a_type_error_of_users_code_stays_as_it_is() -> None:
    network, _, shape = any_network("flat")
    with pytest.raises(TypeError, match="unhappy"):
        sacp.prune(network, shape, flops=0.5, report=unhappy)


def unhappy(report: object) -> None:
    raise TypeError("unhappy")


def test_a_shape_of_numpys_integers_is_one() -> None:
    network, _, shape = any_network("flat")
    found, expected = (sacp.prune(network, each, flops=0.5) for each in (tuple(np.array(shape)), shape))
    assert count(found, shape) == count(expected, shape)


def test_the_deepest_network_of_torchvision_is_solved_in_seconds() -> None:
    network, reports = torchvision.models.resnet152(weights=None), list[Report]()
    started = time.process_time()
    sacp.prune(network, (1, 3, 64, 64), flops=0.5, report=reports.append)
    assert time.process_time() - started < 60
    before, after = reports[0].flops
    assert 0.495 * before < after <= 0.5 * before


def test_mnasnet_comes_out_exact_and_in_its_own_version() -> None:
    network = torchvision.models.mnasnet0_5(weights=None)
    smaller = sacp.prune(network, (1, 3, 64, 64), flops=0.5)
    assert smaller.state_dict()._metadata[""] == network.state_dict()._metadata[""]
    assert count(smaller, (1, 3, 64, 64)).flops <= count(network, (1, 3, 64, 64)).flops / 2


def test_a_layer_of_zeros_is_refused_by_name() -> None:
    network, _, shape = any_network("squeeze_excite")
    torch.nn.init.zeros_(network.get_parameter("squeeze.weight"))
    with pytest.raises(InputError, match="network: all weights of 'squeeze' are 0, so none of the channels is worth"):
        sacp.prune(network, shape, flops=0.5)


def test_some_filters_of_zeros_are_the_first_to_go() -> None:
    network, _, shape = any_network("flat")
    network.get_parameter("conv1.weight").data[[0, 3]] = 0
    smaller = sacp.prune(network, shape, flops=0.6, levels=6)
    assert bool(smaller.get_parameter("conv1.weight").abs().sum(dim=(1, 2, 3)).gt(0).all())


def kept_by(report: Report, name: str) -> tuple[int, int]:
    return next(layer.channels for layer in report.layers if layer.name == name)


@pytest.mark.parametrize("name", ["resnet20", "depthwise", "squeeze_excite"])
def test_a_report_says_what_the_pruned_network_has(name: str) -> None:
    network, _, shape = any_network(name)
    reports = list[Report]()
    smaller = sacp.prune(network, shape, flops=0.5, report=reports.append)
    (found,) = reports
    assert found == sacp.compare(network, smaller, torch.zeros(2, *shape[1:]))
    before, after = count(network, shape), count(smaller, shape)
    assert (found.flops, found.parameters) == ((before.flops, after.flops), (before.parameters, after.parameters))
    for layer in found.layers:
        weights = [net.get_submodule(layer.name).weight.shape for net in (network, smaller)]
        assert layer.channels == (weights[0][0], weights[1][0])
    lines = str(found).splitlines()
    assert lines[0].split() == ["layer", "channels", "FLOPs", "parameters"]
    assert len({len(line) for line in lines}) == 1
    assert f"{before.flops:,} -> {after.flops:,} ({after.flops / before.flops:.1%})" in lines[-1]


def test_a_report_of_two_other_networks_is_refused() -> None:
    (one, _, shape), (other, _, _) = any_network("flat"), any_network("squeeze_excite")
    with pytest.raises(InputError, match=r"^report: the two networks do not have the same layers"):
        sacp.compare(one, other, shape)


def test_layers_that_are_ignored_stay_whole_and_others_give_more() -> None:
    network, _, shape = any_network("resnet20")
    reports = list[Report]()
    for ignore in ([], ["stages.1.0", "conv1"]):
        sacp.prune(network, shape, flops=0.5, ignore=ignore, report=reports.append)
    free, found = reports
    layers = [layer.name for layer in found.layers if layer.name.startswith("stages.1.0")]
    assert len(layers) > 1
    assert all(before == after for before, after in (kept_by(found, name) for name in [*layers, "conv1"]))
    assert any(before > after for before, after in (kept_by(free, name) for name in layers))
    assert found.flops[1] <= found.flops[0] / 2


@pytest.mark.parametrize(("round_to", "at_least"), [(2, 1), (4, 1), (8, 1), (1, 0.5), (2, 3)])
def test_kept_channels_are_multiples_and_as_many_as_asked_for(round_to: int, at_least: float) -> None:
    network, graph, shape = any_network("resnet20")
    prunable = {layer for group in graph.groups for layer in group.layers}
    reports = list[Report]()
    sacp.prune(network, shape, flops=0.8, round_to=round_to, at_least=at_least, report=reports.append)
    for before, after in (layer.channels for layer in reports[0].layers if layer.name in prunable):
        assert after == before or after % round_to == 0
        assert after >= min(before, at_least if at_least >= 1 else at_least * before)
    assert reports[0].flops[1] <= 0.8 * reports[0].flops[0]


def test_what_constraints_leave_out_of_reach_is_refused_with_the_narrowest() -> None:
    network, _, shape = any_network("resnet20")
    for constraint in ({"at_least": 0.9}, {"round_to": 64}, {"ignore": ["stages.1", "stages.2"]}):
        with pytest.raises(InputError, match=r"no configuration .* is within .*; the narrowest network has \d+ FLOPs"):
            sacp.prune(network, shape, flops=0.2, **constraint)
    with pytest.raises(InputError, match="no layer has output channels that can be pruned; layer 'conv1' and"):
        sacp.prune(network, shape, flops=0.2, ignore=["*"])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"ignore": ["stages.3"]}, "ignore: found 'stages.3', which no convolution, no linear layer and"),
        ({"ignore": 3}, "ignore: found 3, expected patterns of layers"),
        ({"ignore": [torch.nn.ReLU()]}, "ignore: found [ReLU()], expected patterns of layers"),
        ({"round_to": 0}, "round_to: found 0, expected an integer from 1 to 1000000"),
        ({"round_to": 8.0}, "round_to: found 8.0, expected an integer"),
        ({"round_to": True}, "round_to: found True, expected an integer"),
        ({"at_least": 0}, "at_least: found 0, expected an integer from 1 to 1000000, or a share below 1"),
        ({"at_least": 2.5}, "at_least: found 2.5, expected an integer"),
        ({"at_least": math.nan}, "at_least: found nan, expected an integer"),
        ({"at_least": "half"}, "at_least: found 'half', expected an integer"),
        ({"criterion": "l2"}, "unknown criterion 'l2' (did you mean 'l1'?); known: l1,"),
        ({"criterion": 3}, "criterion: found 3, expected a name, an import path 'module:function', or None"),
        ({"score": ""}, "score: found '', expected a name, an import path 'module:function', or None"),
        ({"criterion": "hrank"}, "images: found none, but the criterion 'hrank' looks at them; expected batches"),
        ({"criterion": "nowhere:orders"}, "cannot import 'nowhere:orders'"),
        ({"score": "log_mass"}, "unknown score 'log_mass' (did you mean 'log-mass'?)"),
        ({"score": "encoder"}, "score: 'encoder' needs a trained encoder, as a workflow has it; expected one of log-"),
        ({"seed": -1}, "seed: found -1, expected an integer from 0"),
    ],
)  # fmt: skip
def test_what_is_no_constraint_criterion_or_score_is_refused(given: dict[str, Any], message: str) -> None:
    network, _, shape = any_network("resnet20")
    with pytest.raises(InputError) as caught:
        sacp.prune(network, shape, flops=0.5, **given)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("criterion", ["l1", "fpgm", "hrank", "thinet", "sensitivity", "random"])
def test_a_criterion_decides_which_channels_stay(criterion: str) -> None:
    network, graph, shape = any_network("squeeze_excite")
    images, was = [torch.randn(8, *shape[1:])] * 2, network.train()
    smaller = sacp.prune(network, shape, flops=0.5, criterion=criterion, images=images, seed=1)
    assert network.training
    assert count(smaller, shape).flops <= 0.5 * cost_of_graph(graph).flops
    layer = graph.groups[0].layers[0]
    order = order_of(
        imports.call(CRITERIA[criterion].function, was.eval(), graph, images, 1), graph, criterion
    )  # fmt: skip
    left = smaller.get_parameter(f"{layer}.weight")
    original = network.get_parameter(f"{layer}.weight")
    assert torch.equal(left, original[np.sort(order[0][: len(left)])][:, : left.shape[1]])


def test_a_score_is_given_by_its_import_path() -> None:
    network, _, shape = any_network("squeeze_excite")
    by_name = sacp.prune(network, shape, flops=0.5, score="log-mass", criterion="l1")
    by_path = sacp.prune(network, shape, flops=0.5, score="sacp.search.log_mass:values", criterion="l1")
    pairs = zip(by_name.parameters(), by_path.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


def test_the_signature_is_told() -> None:
    names = list(inspect.signature(sacp.prune).parameters)
    assert names[:5] == ["network", "example", "flops", "parameters", "latency"]
    assert sacp.prune.__doc__ is not None
    assert all(f"{name}:" in sacp.prune.__doc__ for name in names)


@pytest.mark.parametrize("latency", [0.7, "100000 ms"])
def test_a_budget_on_latency_is_met_by_what_is_measured(latency: float | str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock of its own says what a network takes: as much as it has channels, so that no load can matter."""
    network, graph, shape = any_network("resnet20")
    counts = counts_by_step(graph, 10)
    whole = int(counts[:, 0].sum())
    unary = 1_000_000 * counts
    monkeypatch.setattr(pruning, "times_of", lambda *_: Times(unary, {}, 0))

    def measured(*_: Any) -> Callable[[torch.nn.Module], Row]:
        def row(smaller: torch.nn.Module) -> Row:
            found = sacp.compare(network, smaller, shape)
            groups = {group.name for group in graph.groups}
            left = sum(layer.channels[1] for layer in found.layers if layer.name in groups)
            return Row("clock", 1, 1, "none", left, left, left, 10, whole, whole / left, whole / left, whole / left)

        return row

    monkeypatch.setattr(pruning, "beside", measured)
    reports = list[Report]()
    sacp.prune(network, shape, latency=latency, report=reports.append)
    row = reports[0].latency
    assert row is not None
    share = row.median_ms / whole
    assert share <= 1 if isinstance(latency, str) else 0.6 < share <= 0.7
    assert f"latency: {whole:.2f} -> {row.median_ms:.2f} ms, {whole / row.median_ms:.2f} times as fast" in str(
        reports[0]
    )


def test_a_budget_on_latency_that_no_measured_network_meets_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    network, graph, shape = any_network("resnet20")
    monkeypatch.setattr(pruning, "times_of", lambda *_: Times(1_000_000 * counts_by_step(graph, 10), {}, 0))
    slow = Row("clock", 1, 1, "none", 90.0, 90.0, 90.0, 10, 100.0, 100 / 90, 1.1, 1.2)
    monkeypatch.setattr(pruning, "beside", lambda *_: lambda _: slow)
    with pytest.raises(
        InputError, match=r"^latency: found no network within 0\.5 of the original's time; the fastest of"
    ):
        sacp.prune(network, shape, latency=0.5)


@pytest.mark.parametrize("latency", [0, 1.5, 2, "3", "ms", "-1 ms", "0 ms", "fast", True, math.nan, [0.5]])
def test_a_budget_on_latency_is_a_share_or_says_its_unit(latency: Any) -> None:
    network, _, shape = any_network("flat")
    with pytest.raises(
        InputError,
        match=r"^latency: found .*, expected a share of the original's time up to 1\.0, or a text as '3\.5 ms'$",
    ):
        sacp.prune(network, shape, latency=latency)


def test_all_budgets_hold_together() -> None:
    network, _, shape = any_network("flat")
    reports = list[Report]()
    sacp.prune(network, shape, flops=0.6, parameters=0.7, latency=1.0, threads=1, report=reports.append)
    assert reports[0].flops[1] <= 0.6 * reports[0].flops[0]
    assert reports[0].parameters[1] <= 0.7 * reports[0].parameters[0]
    assert reports[0].latency is not None


def test_sensitivities_are_measured_for_the_score_that_needs_them() -> None:
    network, graph, shape = any_network("resnet20")
    images = [torch.randn(16, *shape[1:], generator=torch.Generator().manual_seed(0))]
    reports = list[Report]()
    for seed in (0, 0):
        sacp.prune(network, shape, flops=0.5, score="sensitivity", images=images, seed=seed, report=reports.append)
    assert reports[0] == reports[1]
    assert reports[0].flops[1] <= reports[0].flops[0] / 2
    table = sensitivity.values(network, graph, 10, measure(network, graph, images, 0).groups)
    best = bounded.best(table, graph, Space.of(graph, 10, 0), Budget(flops=reports[0].flops[0] // 2))
    kept = dict(zip([group.name for group in graph.groups], kept_counts(best.steps[0], graph, 10), strict=True))
    assert {name: kept_by(reports[0], name)[1] for name in kept} == kept
    with pytest.raises(InputError, match=r"^images: found none, but the score 'sensitivity' looks at them; expected"):
        sacp.prune(network, shape, flops=0.5, score="sensitivity")
