"""Networks timed in turns, so that all of them see the same load of the machine."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sacp.errors import InputError, shown
from sacp.network.surgery import copied
from sacp.timing.runtimes import RUNTIMES, Run, Setting, check_device, device_name, device_of, ready, using_threads
from sacp.tracing.running import images_like
from sacp.tracing.trace import SHAPE, is_shape

WARM_UP = 3  # runs of each network that do not count
LEAST_ROUNDS = 10  # that count
QUARTILES = (50, 25, 75)
Seconds = NDArray[np.float64]
Clock = Callable[[], float]


@dataclass(frozen=True)
class Row:
    """What was measured of a network under one setting, and of an original beside it."""

    runtime: str  # with its version
    batch: int
    threads: int
    device: str
    median_ms: float
    lower_ms: float  # quartiles over the runs
    upper_ms: float
    runs: int
    original_ms: float | None = None  # its median
    speedup: float | None = None  # original / network, of runs that follow one another: median and quartiles
    speedup_lower: float | None = None
    speedup_upper: float | None = None


ROW_COLUMNS = tuple(field.name for field in fields(Row))


def interleaved(
    runs: Sequence[Run], seconds: float, clock: Clock = time.perf_counter, least: int = LEAST_ROUNDS
) -> Seconds:
    """Seconds that each of some runs takes, in rounds of one run of each, [rounds, n].

    Each second round goes backwards, so that none always comes behind the same other. Runs before the first round warm
    up caches and clocks, and do not count.

    Args:
        runs: what is timed.
        seconds: how long all rounds take together, about.
        clock: seconds since some moment.
        least: rounds at least.
    """
    for run in runs:
        for _ in range(WARM_UP):
            run()
    rounds, end = list[list[float]](), clock() + seconds
    while len(rounds) < least or clock() < end:
        taken = [0.0] * len(runs)
        for number in range(len(runs))[:: -1 if len(rounds) % 2 else 1]:
            started = clock()
            runs[number]()
            taken[number] = clock() - started
        rounds.append(taken)
    return np.array(rounds)


def measure(
    network: nn.Module, example: Sequence[int] | Tensor, *, original: nn.Module | None = None,
    batches: Sequence[int] = (1, 32), runtimes: Sequence[str] = RUNTIMES, threads: int | None = None,
    seconds: float = 2.0, channels_last: bool = False,
) -> list[Row]:  # fmt: skip
    """See `sacp.latency`."""
    networks = {"network": network} | ({} if original is None else {"original": original})
    _check_networks(networks)
    _check_lists(batches=batches, runtimes=runtimes)
    number = torch.get_num_threads() if threads is None else threads
    settings = [Setting(runtime, batch, number, channels_last) for runtime in runtimes for batch in batches]
    for setting in settings:
        check_device(network, setting)
    copies = [evaluated(each) for each in networks.values()]
    return [_row(copies, example, setting, checked_seconds(seconds)) for setting in settings]


def in_turns(
    networks: Mapping[str, nn.Module], example: Sequence[int] | Tensor, runtime: str, batch: int, threads: int,
    seconds: float,
) -> dict[str, Row]:  # fmt: skip
    """How long several networks take, all of them run in turns, by name; the first is the original of the others."""
    _check_networks(networks)
    setting = Setting(runtime, batch, threads)
    taken = _taken([evaluated(each) for each in networks.values()], example, setting, checked_seconds(seconds))
    device = device_name(device_of(next(iter(networks.values()))))
    return {name: _row_of(taken[:, number], taken[:, 0], setting, device) for number, name in enumerate(networks)}


def _taken(
    networks: Sequence[nn.Module], example: Sequence[int] | Tensor, setting: Setting, seconds: float
) -> Seconds:  # fmt: skip
    """Seconds of networks that are run in turns, [rounds, n]."""
    with using_threads(setting.threads):
        runs = ready([(each, batch_of(each, example, setting.batch)) for each in networks], setting)
        return interleaved(runs, seconds)


def _row_of(taken: Seconds, original: Seconds | None, setting: Setting, device: str) -> Row:
    """A row of the times of one network and of its original, if there is one, [rounds] each."""
    median, lower, upper = map(float, 1000 * np.percentile(taken, QUARTILES))
    row = Row(setting.release, setting.batch, setting.threads, device, median, lower, upper, len(taken))
    if original is None:
        return row
    speedup, least, most = map(float, np.percentile(original / taken, QUARTILES))
    return replace(
        row, original_ms=float(1000 * np.median(original)), speedup=speedup, speedup_lower=least, speedup_upper=most
    )


def _check_networks(networks: Mapping[str, Any]) -> None:
    for name, found in networks.items():
        if not isinstance(found, nn.Module):
            raise InputError(f"{name}: found {shown(found)}, expected a torch.nn.Module")
    if len(places := {str(device_of(network)) for network in networks.values()}) > 1:
        raise InputError(f"original: found the networks on {' and '.join(sorted(places))}, expected one device")


def _check_lists(**given: Any) -> None:
    for name, found in given.items():
        if isinstance(found, str) or not isinstance(found, Sequence) or not found:
            raise InputError(f"{name}: found {shown(found)}, expected a list of one at least")


def checked_seconds(seconds: Any) -> float:
    """A time to measure for, as a number; `InputError` if it is none."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < float("inf"):
        raise InputError(f"seconds: found {shown(seconds)}, expected a number from 0 on")
    return float(seconds)


def evaluated(network: nn.Module) -> nn.Module:
    """A copy in evaluation mode that shares the parameters."""
    return copied(network).eval()


def batch_of(network: nn.Module, example: Sequence[int] | Tensor, batch: int) -> Tensor:
    """So many inputs like the example, on the network's device, [batch, ...].

    Raises:
        InputError: the example is neither a batch of inputs nor the shape of one.
    """
    if isinstance(example, Tensor):
        if example.dim() < 2 or not len(example):
            raise InputError(f"example: found a tensor of shape {list(example.shape)}, expected [B, ...]")
        first = example[:1].to(device_of(network))
    elif is_shape(example):
        zeros = images_like(network, (1, *example[1:]))
        first = torch.randn(zeros.shape, generator=torch.Generator().manual_seed(0)).to(zeros)
    else:
        raise InputError(f"example: found {shown(example)}, expected a batch or {SHAPE}")
    return first.repeat(batch, *(1,) * (first.dim() - 1))


def _row(networks: Sequence[nn.Module], example: Sequence[int] | Tensor, setting: Setting, seconds: float) -> Row:
    """Measure a network, and behind it in the list maybe its original."""
    taken = _taken(networks, example, setting, seconds)
    original = taken[:, 1] if len(networks) > 1 else None
    return _row_of(taken[:, 0], original, setting, device_name(device_of(networks[0])))
