"""Modelled times are sums over the layers of the pruned network. Layers take synthetic times; no test measures time."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from networks_zoo import Custom, any_network
from sacp.errors import InputError
from sacp.network.graph import Graph
from sacp.network.surgery import prune
from sacp.pruning.criteria import kept_of, random_order
from sacp.pruning.space import kept_counts
from sacp.timing import model, tables
from sacp.timing.known import Known
from sacp.timing.layers import layers_of
from sacp.timing.model import Times, modelled
from sacp.timing.runtimes import Pair, Setting
from sacp.timing.tables import grids, monotone, shares
from sacp.tracing.trace import traced
from scipy.interpolate import RegularGridInterpolator
from torch import nn
from torch.nn.modules.conv import _ConvNd

LEVELS = 5
CPU = torch.device("cpu")
REST = 0.25  # seconds of a network beside its layers
ROUNDING = 20  # nanoseconds by which as many rounded tables may err
Rule = Callable[[int, int], float]  # seconds by input and output channels


def bilinear(n: int, m: int) -> float:
    return 0.1 + 0.02 * n + 0.03 * m + 0.005 * n * m


def bent(n: int, m: int) -> float:
    return 0.1 + 0.01 * n**1.5 + 0.03 * m**0.5 + 0.005 * n * m


def seconds_of(layer: nn.Module, rule: Rule) -> float:
    """What a convolution or linear layer takes; in groups, by the channels that it gives alone."""
    if isinstance(layer, nn.Linear):
        return rule(layer.in_features, layer.out_features)
    return rule(layer.in_channels if layer.transposed else layer.weight.shape[1], layer.out_channels)


class FakeTimer:
    """Times of layers by a rule of their widths, and of a network as its layers and a rest take."""

    def __init__(self, rule: Rule, rest: float = REST, kill_at: int | None = None) -> None:
        self.rule, self.rest, self.kill_at = rule, rest, kill_at
        self.seen: list[str] = []
        self.calls = 0

    def __call__(self, parts: Sequence[Sequence[Pair]]) -> np.ndarray:
        if self.calls == self.kill_at:
            raise KeyboardInterrupt
        self.calls += 1
        if len(parts) == 1:  # widths of one layer
            self.seen += [f"{cut} {list(batch.shape)}" for cut, batch in parts[0]]
            return np.array([[self.layer(*pair) for pair in parts[0]]] * 3)
        (whole,), *layers = parts  # the whole network and its layers
        return np.array([[self.whole(*whole), *(self.layer(*pair) for part in layers for pair in part)]] * 3)

    def layer(self, cut: nn.Module, batch: torch.Tensor) -> float:
        with torch.no_grad():
            cut(batch)  # it must run
        return seconds_of(cut[0], self.rule)

    def whole(self, network: nn.Module, batch: torch.Tensor) -> float:
        return self.rest + brute_force(network, tuple(batch.shape), self.rule)


def brute_force(network: nn.Module, shape: tuple[int, ...], rule: Rule) -> float:
    """Seconds of all calls of layers when a network runs."""
    taken = list[float]()
    handles = [
        layer.register_forward_hook(lambda layer, *_: taken.append(seconds_of(layer, rule)))
        for layer in network.modules()
        if isinstance(layer, (_ConvNd, nn.Linear))
    ]
    with torch.no_grad():
        network(torch.zeros(shape))
    for handle in handles:
        handle.remove()
    return sum(taken)


def counts_of(graph: Graph, levels: int = LEVELS) -> np.ndarray:
    steps = np.repeat(np.arange(levels)[:, None], len(graph.groups), axis=1)
    return kept_counts(steps, graph, levels).T


def times_of(
    network: nn.Module, shape: tuple[int, ...], timer: Any, points: int = LEVELS, path: Path | None = None
) -> Times:
    """What `model.times_of` does, with another timer."""
    original = traced(network, shape)
    layers, counts = layers_of(original), counts_of(original.graph)
    found = grids(layers, original.graph, counts, 1, Known(path, "here"), timer, CPU, points)
    return modelled(original.graph, layers, found, counts, *shares(layers, (network, torch.zeros(shape)), timer))


def drawn(graph: Graph, number: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, LEVELS, (number, len(graph.groups)), dtype=np.uint8)


@pytest.mark.parametrize("points", [2, 3, LEVELS])
@pytest.mark.parametrize(
    "name", ["flat", "depthwise", "squeeze_excite", "concatenated", "in_groups", "linear_gate", "resnet20", "vgg11"]
)
def test_a_time_is_the_sum_over_the_layers_of_the_pruned_network(name: str, points: int) -> None:
    network, graph, shape = any_network(name)
    network.eval()
    found = times_of(network, shape, FakeTimer(bilinear), points)
    order = random_order(graph, np.random.default_rng(0))
    for steps in [np.zeros(len(graph.groups), np.uint8), *drawn(graph, 4)]:
        smaller = prune(network, graph, kept_of(steps, order, graph, LEVELS))
        expected = 1e9 * (REST + brute_force(smaller, shape, bilinear))
        assert found.times(steps[None])[0] == pytest.approx(expected, abs=ROUNDING)


@pytest.mark.parametrize("name", ["flat", "depthwise", "squeeze_excite", "resnet20"])
def test_on_the_grid_a_time_need_not_be_a_product(name: str) -> None:
    network, graph, shape = any_network(name)
    network.eval()
    found, order = times_of(network, shape, FakeTimer(bent)), random_order(graph, np.random.default_rng(0))
    for steps in drawn(graph, 3):
        smaller = prune(network, graph, kept_of(steps, order, graph, LEVELS))
        expected = 1e9 * (REST + brute_force(smaller, shape, bent))
        assert found.times(steps[None])[0] == pytest.approx(expected, abs=ROUNDING)


def chain() -> nn.Module:
    layers = [nn.Conv2d(3, 16, 1), nn.ReLU(), nn.Conv2d(16, 20, 1), nn.Flatten(), nn.Linear(20, 3)]
    return nn.Sequential(*layers).eval()


def test_between_points_it_is_bilinear() -> None:
    network, shape = chain(), (1, 3, 1, 1)
    graph = traced(network, shape).graph
    counts, (wide, high) = counts_of(graph), (np.array([3, 9, 16]), np.array([4, 12, 20]))
    assert [list(row[::-1][[0, 2, 4]]) for row in counts] == [list(wide), list(high)]
    found = times_of(network, shape, FakeTimer(bent), points=3)
    middle = RegularGridInterpolator((wide, high), bent(wide[:, None], high[None]))
    for i in range(LEVELS):
        for j in range(LEVELS):
            n, m = counts[0, i], counts[1, j]
            ends = np.interp(n, wide, bent(3, wide)) + np.interp(m, high, bent(high, 3))
            expected = 1e9 * (REST + ends + middle((n, m)))
            assert found.times(np.array([[i, j]]))[0] == pytest.approx(expected, abs=ROUNDING)


def test_a_concatenation_is_right_at_both_ends_of_its_width() -> None:
    network, graph, shape = any_network("concatenated")
    network.eval()
    found, order = times_of(network, shape, FakeTimer(bent)), random_order(graph, np.random.default_rng(0))
    for step in (0, LEVELS - 1):
        steps = np.full(len(graph.groups), step, np.uint8)
        smaller = prune(network, graph, kept_of(steps, order, graph, LEVELS))
        expected = 1e9 * (REST + brute_force(smaller, shape, bent))
        assert found.times(steps[None])[0] == pytest.approx(expected, abs=ROUNDING)


@given(arrays(float, st.tuples(st.integers(1, 5), st.integers(1, 5)), elements=st.floats(1, 1e6)))
@settings(max_examples=200, deadline=None)
def test_made_monotone_times_rise_lie_between_the_measured_ones_and_stay_where_they_rise(times: np.ndarray) -> None:
    found = monotone(times)
    assert all((np.diff(found, axis=axis) >= 0).all() for axis in (0, 1))
    assert found.min() >= times.min()
    assert found.max() <= times.max()
    assert np.array_equal(monotone(found), found)


@pytest.mark.parametrize("name", ["flat", "depthwise", "concatenated", "resnet20"])
def test_noise_makes_no_wider_network_faster(name: str) -> None:
    network, graph, shape = any_network(name)
    rng = np.random.default_rng(0)
    found = times_of(network.eval(), shape, FakeTimer(lambda n, m: rng.uniform(0.5, 1.5) * bilinear(n, m)))
    steps = drawn(graph, 30, seed=1)
    before = found.times(steps)
    for group in range(len(graph.groups)):
        narrower = steps.copy()
        narrower[:, group] = np.minimum(steps[:, group] + 1, LEVELS - 1)
        assert (found.times(narrower) <= before + ROUNDING).all()


def test_layers_that_take_longer_alone_are_scaled_to_the_whole() -> None:
    network, graph, shape = any_network("flat")
    network.eval()
    timer = FakeTimer(bilinear, rest=-0.3)
    found, whole = times_of(network, shape, timer), timer.whole(network, torch.zeros(shape))
    none, all_of = np.zeros((1, len(graph.groups)), int), np.full((1, len(graph.groups)), LEVELS - 1)
    order = random_order(graph, np.random.default_rng(0))
    smaller = prune(network, graph, kept_of(all_of[0], order, graph, LEVELS))
    share = brute_force(smaller, shape, bilinear) / brute_force(network, shape, bilinear)
    assert found.times(none)[0] == pytest.approx(1e9 * whole, abs=ROUNDING)
    assert found.times(all_of)[0] == pytest.approx(1e9 * whole * share, abs=ROUNDING)
    assert found.times(all_of)[0] > 0


def test_a_load_that_changes_between_layers_does_no_harm() -> None:
    """Each grid is timed under another load; the shares are timed in turns, under one."""
    network, graph, shape = any_network("flat")
    network.eval()
    quiet, loads = FakeTimer(bilinear), iter([1.0, 3.0, 2.0, 1.5])

    def loaded(parts: Sequence[Sequence[Pair]]) -> np.ndarray:
        return next(loads) * quiet(parts)

    steps = drawn(graph, 10)
    expected = times_of(network, shape, FakeTimer(bilinear)).times(steps)
    found = times_of(network, shape, loaded).times(steps)
    assert np.allclose(found / 1.5, expected, rtol=1e-7)


def test_equal_layers_are_measured_once() -> None:
    network, _, shape = any_network("resnet20")
    timer = FakeTimer(bilinear)
    times_of(network.eval(), shape, timer, points=3)
    assert len(set(timer.seen)) == len(timer.seen)
    assert len(layers_of(traced(network, shape))) == 22  # 19 of 3x3, 2 of 1x1 and the last one
    assert timer.calls == 1 + 12  # the stem, the last one, two in the first stage, four in each other


def test_layers_that_are_too_large_to_be_timed_in_turns_are_timed_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    network, graph, shape = any_network("flat")
    together, apart, steps = FakeTimer(bent), FakeTimer(bent), drawn(graph, 10)
    expected = times_of(network.eval(), shape, together)
    monkeypatch.setattr(tables, "MOST_ELEMENTS", 1)
    assert np.array_equal(times_of(network, shape, apart).times(steps), expected.times(steps))
    assert apart.seen == together.seen
    assert apart.calls == len(apart.seen) + 1


@pytest.mark.parametrize("kill_at", [1, 2, 3])
def test_what_was_measured_before_a_kill_is_not_measured_again(tmp_path: Path, kill_at: int) -> None:
    network, graph, shape = any_network("flat")
    network.eval()
    path, first, second = tmp_path / "times.json", FakeTimer(bent, kill_at=kill_at), FakeTimer(bent)
    whole = FakeTimer(bent)
    expected = times_of(network, shape, whole)
    with pytest.raises(KeyboardInterrupt):
        times_of(network, shape, first, path=path)
    found = times_of(network, shape, second, path=path)
    assert first.seen
    assert first.seen + second.seen == whole.seen
    steps = drawn(graph, 10)
    assert np.array_equal(found.times(steps), expected.times(steps))
    assert [file.name for file in tmp_path.iterdir()] == ["times.json"]


def test_settings_do_not_share_times_and_keep_what_others_write(tmp_path: Path) -> None:
    path = tmp_path / "times.json"
    one, other = Known(path, "one"), Known(path, "other")
    one.add({"a": 1})
    other.add({"a": 2})
    again = Known(path, "one")
    one.add({"b": 3})
    again.add({"c": 4})
    assert json.loads(path.read_text()) == {"one": {"a": 1, "b": 3, "c": 4}, "other": {"a": 2}}
    assert Known(path, "other").times == {"a": 2}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not valid JSON"), ("[]", "holds a list"), ('{"one": 3}', "'one' holds 3, expected times by layer"),
        ('{"one": {"a": 0}}', "'a' holds 0, expected nanoseconds from 1 on"),
        ('{"one": {"a": 1.5}}', "'a' holds 1.5, expected nanoseconds from 1 on"),
        ('{"other": {"a": true}}', "'a' holds True, expected nanoseconds from 1 on"),
    ],
)  # fmt: skip
def test_a_damaged_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "times.json"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        Known(path, "one")
    assert str(caught.value).startswith(f"{path}: {message}")
    assert "\n" not in str(caught.value)


def test_a_layer_has_what_follows_it_alone() -> None:
    network = Custom(
        lambda n, x: n.c(n.pool(torch.relu(n.norm(n.a(x)))) + n.b(x).mul(2).clamp(0, 6)),
        c=nn.Conv2d(4, 2, 1), a=nn.Conv2d(3, 4, 3), norm=nn.BatchNorm2d(4), pool=nn.AvgPool2d(1), b=nn.Conv2d(3, 4, 3),
    )  # fmt: skip
    chains = [[type(part).__name__ for part in layer.chain] for layer in layers_of(traced(network, (1, 3, 8, 8)))]
    assert chains == [["Conv2d", "BatchNorm2d", "Call", "AvgPool2d"], ["Conv2d"], ["Conv2d"]]


@pytest.mark.parametrize(
    ("name", "runtime"),
    [("depthwise", "eager"), ("in_groups", "eager"), ("normalised", "eager"), ("flat", "onnxruntime")],
)
def test_layers_of_all_widths_run(name: str, runtime: str, tmp_path: Path) -> None:
    if runtime != "eager":
        [pytest.importorskip(each) for each in ("onnx", "onnxscript", runtime)]
    network, graph, shape = any_network(name)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    original, path = traced(network, shape), tmp_path / "times.json"
    found = model.times_of(network, original, shape, counts_of(graph), Setting(runtime, 2, 1), path, 0, points=2)
    times = found.times(drawn(graph, 20))
    assert (times > 0).all()
    assert found.times(np.zeros((1, len(graph.groups)), int))[0] >= times.max() - ROUNDING
    (setting,) = json.loads(path.read_text())
    assert setting.endswith(", threads 1, float32")
    assert runtime in setting
    assert network.training
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())


@pytest.mark.parametrize(
    "counts", [[[1]], [[6, 3], [5, 6]], [[5, 3], [5, 2]], [[6.0, 3.0], [5.0, 2.0]], [[6, 0], [5, 0]]]
)
def test_a_table_of_another_network_is_refused(counts: list[list[float]]) -> None:
    network, _, shape = any_network("flat")
    with pytest.raises(InputError, match=r"^counts: found a table \[.*\], expected kept channels \[G, levels\]"):
        model.times_of(network, traced(network, shape), shape, np.array(counts), Setting("eager", 1, 1), seconds=0)
