"""Networks are measured in turns, warmed up, and left as they were; mistakes end in one line. No test measures time."""

import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import sacp
import torch
from networks_zoo import CUSTOM_NETWORKS, CUSTOM_SHAPE, Custom
from sacp.errors import InputError
from sacp.timing import measure as measuring
from sacp.timing import runtimes
from sacp.timing.measure import WARM_UP, batch_of, interleaved
from sacp.timing.runtimes import Setting, ready
from torch import Tensor, nn


def need(runtime: str) -> Any:
    """Skip what needs the extra `export` where it is not installed."""
    return [pytest.importorskip(name) for name in ("onnx", "onnxscript", runtime)][-1] if runtime != "eager" else None


class FakeClock:
    """Time that passes only where something says so."""

    def __init__(self) -> None:
        self.now = 0.0
        self.calls: list[str] = []

    def __call__(self) -> float:
        return self.now

    def run(self, name: str, *seconds: float) -> Callable[[], None]:
        """What takes these times one after the other, and the last of them from then on."""
        left = iter(seconds[:-1])

        def run() -> None:
            self.calls.append(name)
            self.now += next(left, seconds[-1])

        return run


def test_runs_take_turns_and_each_second_round_goes_backwards() -> None:
    clock = FakeClock()
    interleaved([clock.run("a", 1.0), clock.run("b", 2.0)], 0, clock, least=3)
    assert "".join(clock.calls) == "a" * WARM_UP + "b" * WARM_UP + "ab" + "ba" + "ab"


def test_each_run_has_its_own_time_and_the_first_ones_do_not_count() -> None:
    clock = FakeClock()
    taken = interleaved([clock.run("a", *[100.0] * WARM_UP, 1.0), clock.run("b", 2.0)], 0, clock, least=4)
    assert np.array_equal(taken, [[1.0, 2.0]] * 4)


def test_rounds_go_on_until_the_seconds_are_over() -> None:
    clock = FakeClock()
    assert len(interleaved([clock.run("a", 0.25), clock.run("b", 0.75)], 7.5, clock, least=2)) == 8


@pytest.fixture
def times(monkeypatch: pytest.MonkeyPatch) -> list[list[float]]:
    """Rounds of seconds that the next measurements give."""
    taken: list[list[float]] = [[0.001, 0.002], [0.002, 0.006], [0.004, 0.004], [0.003, 0.006], [0.005, 0.005]]

    def fake(runs: list[Any], seconds: float) -> np.ndarray:
        return np.array(taken)[:, : len(runs)]

    monkeypatch.setattr(measuring, "interleaved", fake)
    return taken


def test_a_row_holds_quartiles_and_ratios_of_runs_that_follow_one_another(times: list[list[float]]) -> None:
    network = CUSTOM_NETWORKS["flat"]()
    row = sacp.latency(network, CUSTOM_SHAPE, original=network, batches=[4], runtimes=["eager"], threads=1)[0]
    assert (row.median_ms, row.lower_ms, row.upper_ms, row.runs) == pytest.approx((3, 2, 4, 5))
    # Ratios 2, 3, 1, 2, 1: not the ratio of the medians, 5 / 3.
    assert (row.original_ms, row.speedup, row.speedup_lower, row.speedup_upper) == pytest.approx((5, 2, 1, 2))
    assert (row.batch, row.threads) == (4, 1)
    assert row.runtime == f"eager (torch {torch.__version__.partition('+')[0]})"


def test_without_an_original_there_is_no_ratio(times: list[list[float]]) -> None:
    rows = sacp.latency(CUSTOM_NETWORKS["flat"](), CUSTOM_SHAPE, batches=(1, 2), runtimes=("eager",))
    assert [(row.batch, row.median_ms, row.speedup) for row in rows] == [(1, pytest.approx(3), None), (2, 3, None)]


@pytest.mark.parametrize("runtime", ["eager", "onnxruntime"])
def test_networks_run_in_inference_mode_and_stay_as_they_were(runtime: str, times: list[list[float]]) -> None:
    need(runtime)
    seen = list[tuple[bool, bool]]()
    network = CUSTOM_NETWORKS["flat"]().train()
    network.conv1.register_forward_pre_hook(
        lambda layer, _: seen.append((layer.training, torch.is_inference_mode_enabled()))
    )
    before = {name: value.clone() for name, value in network.state_dict().items()}
    threads = torch.get_num_threads()
    sacp.latency(network, CUSTOM_SHAPE, batches=(2,), runtimes=(runtime,), threads=threads + 1)
    assert seen[0] == (False, True)
    assert not any(training for training, _ in seen)
    assert network.training
    assert torch.get_num_threads() == threads
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_sessions_of_one_export_are_the_networks() -> None:
    onnxruntime = need("onnxruntime")
    sessions, given = list[Any](), list[Tensor]()
    torch.manual_seed(0)
    networks = [CUSTOM_NETWORKS[name]().eval() for name in ("flat", "depthwise", "concatenated", "flat")]
    networks.append(networks[0])

    class Noted(onnxruntime.InferenceSession):
        def __init__(self, *args: Any, **options: Any) -> None:
            sessions.append(self)
            super().__init__(*args, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(onnxruntime, "InferenceSession", Noted)
        given = [torch.randn(3, *CUSTOM_SHAPE[1:]) for _ in networks]
        ready(list(zip(networks, given, strict=True)), Setting("onnxruntime", 3, 1))
    assert len(sessions) == len(networks)
    for session, network, batch in zip(sessions, networks, given, strict=True):
        found = session.run(None, {session.get_inputs()[0].name: batch.numpy()})
        assert len(found) == 1
        assert np.allclose(found[0], network(batch).detach().numpy(), atol=1e-4)
        assert session.get_session_options().intra_op_num_threads == 1


def test_a_run_on_a_gpu_ends_when_the_gpu_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = list[object]()
    monkeypatch.setattr(torch.cuda, "synchronize", calls.append)
    batch: Any = SimpleNamespace(is_cuda=True, device="cuda:1")
    network: Any = calls.append
    runtimes._eager(network, batch)()
    assert calls == [batch, "cuda:1"]


def test_onnxruntime_is_refused_on_a_gpu_before_anything_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    need("onnxruntime")
    monkeypatch.setattr(runtimes, "device_of", lambda network: torch.device("cuda:0"))
    with pytest.raises(InputError, match=r"^runtimes: found a network on 'cuda:0', expected one on the cpu for onnx"):
        sacp.latency(Custom(failing), CUSTOM_SHAPE)


def test_channels_last_is_asked_for_and_leaves_the_network_as_it_was(times: list[list[float]]) -> None:
    seen = list[tuple[bool, bool]]()
    network = CUSTOM_NETWORKS["depthwise"]()

    def note(layer: nn.Module, given: tuple[Tensor]) -> None:
        last = torch.channels_last
        seen.append((given[0].is_contiguous(memory_format=last), layer.weight.is_contiguous(memory_format=last)))

    network[6].register_forward_pre_hook(note)
    row = sacp.latency(network, CUSTOM_SHAPE, batches=(2,), runtimes=("eager",), channels_last=True)[0]
    assert seen == [(True, True)]
    assert network[6].weight.is_contiguous()
    assert row.runtime.endswith(", channels last)")


def test_a_batch_repeats_the_first_input_or_is_drawn() -> None:
    network = CUSTOM_NETWORKS["flat"]().double()
    example = torch.randn(5, 3, 8, 8)
    batch = batch_of(network, example, 3)
    assert torch.equal(batch, example[:1].expand(3, 3, 8, 8))
    drawn = batch_of(network, (7, 3, 8, 8), 2)
    assert (drawn.shape, drawn.dtype) == ((2, 3, 8, 8), torch.float64)
    assert drawn.std() > 0.5


def failing(n: Any, x: Tensor) -> Tensor:
    raise RuntimeError("first\nsecond")


CONV = Custom(lambda n, x: n.conv(x), conv=nn.Conv2d(3, 4, 3))
EAGER = {"runtimes": ["eager"], "batches": [1], "seconds": 0}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"network": "net"}, "network: found 'net', expected a torch.nn.Module"),
        ({"original": 3}, "original: found 3, expected a torch.nn.Module"),
        ({"original": nn.Linear(2, 2, device="meta")}, "network: found it on 'meta', expected cpu or cuda"),
        ({"network": Custom(failing)}, "network: fails on a batch of shape [1, 3, 8, 8] (RuntimeError: first second)"),
        ({"example": (3, 8, 8)}, "example: found (3, 8, 8), expected a batch or [1, C, H, W], or [1, ...] of other"),
        ({"example": torch.zeros(0, 3, 8, 8)}, "example: found a tensor of shape [0, 3, 8, 8], expected [B, ...]"),
        ({"batches": [0]}, "batches: found 0, expected an integer from 1 on"),
        ({"batches": 32}, "batches: found 32, expected a list of one at least"),
        ({"batches": []}, "batches: found [], expected a list of one at least"),
        ({"runtimes": "eager"}, "runtimes: found 'eager', expected a list of one at least"),
        ({"runtimes": ["egaer"]}, "runtimes: found 'egaer' (did you mean 'eager'?), expected eager or onnxruntime"),
        ({"threads": 10**6}, "threads: found 1000000, expected no more than 1024"),
        ({"threads": 0}, "threads: found 0, expected an integer from 1 on"),
        ({"seconds": -1}, "seconds: found -1, expected a number from 0 on"),
        ({"seconds": float("nan")}, "seconds: found nan, expected a number from 0 on"),
        ({"runtimes": ["onnxruntime"], "channels_last": True}, "channels_last: onnxruntime chooses its own order"),
        ({"network": nn.Linear(4, 2), "example": (1, 4), "channels_last": True},
         "channels_last: found inputs of shape [1, 4], expected [B, C, H, W]"),
        ({"network": CONV.to(torch.bfloat16), "runtimes": ["onnxruntime"]}, "network: cannot be run by onnxruntime ("),
    ],
)  # fmt: skip
def test_a_mistake_ends_in_one_line(changed: dict[str, Any], message: str) -> None:
    if changed.get("runtimes") == ["onnxruntime"]:
        need("onnxruntime")
    given = {"network": CUSTOM_NETWORKS["flat"](), "example": CUSTOM_SHAPE, **EAGER, **changed}
    with pytest.raises(InputError) as caught:
        sacp.latency(given.pop("network"), given.pop("example"), **given)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_what_is_missing_is_named_before_anything_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    need("onnxruntime")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(
        InputError, match=r"^runtimes: onnxruntime needs the package 'onnxruntime'; pip install 'sacp\["
    ):
        sacp.latency(Custom(failing), CUSTOM_SHAPE)


def test_several_networks_run_in_turns_each_beside_the_first() -> None:
    torch.manual_seed(0)
    networks = {"wide": torch.nn.Linear(64, 2048), "narrow": torch.nn.Linear(64, 2), "again": torch.nn.Linear(64, 2048)}
    found = measuring.in_turns(networks, (1, 64), "eager", 4, 1, 0.0)
    assert list(found) == list(networks)
    assert {row.runs for row in found.values()} == {measuring.LEAST_ROUNDS}
    assert found["wide"].speedup == found["wide"].speedup_lower == found["wide"].speedup_upper == 1
    assert all(row.original_ms == found["wide"].median_ms for row in found.values())
    assert set(measuring.ROW_COLUMNS) >= {"runtime", "batch", "threads", "device", "median_ms", "speedup"}
