"""Small tasks of baselines that train while they choose, which several tests share."""

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sacp.baselines.learning import Learned, LongTask
from sacp.compute.resume import Sidecar, Stop
from sacp.network.constraints import NONE, Constraints
from sacp.network.cost import cost_of_graph, costs_of_counts
from sacp.network.graph import Graph
from sacp.pruning.space import Space
from sacp.tracing.trace import trace
from sacp.training.evaluation import Calibration
from sacp.training.stepwise import Stepwise
from trainings import RECIPE, SPEC, digits, fresh, same_weights, timeless

CPU = torch.device("cpu")


def task(options: dict[str, Any], share: float = 0.5, constraints: Constraints = NONE, **more: Any) -> LongTask:
    """Half of the FLOPs of a small network, a training of a few steps."""
    base = fresh().eval()
    graph, splits = trace(base, SPEC.input_shape, constraints), digits()
    given = {
        "base": base, "graph": graph, "target_flops": round(share * cost_of_graph(graph).flops), "seed": 3,
        "space": Space.of(graph, 10, 0), "splits": splits, "device": CPU, "options": options,
        "calibration": Calibration(splits, 64, 0), "recipe": replace(RECIPE, epochs=3), "sidecar": Sidecar(),
    }  # fmt: skip
    return LongTask(**given | more)


def stopped(select: Callable[[LongTask], Learned], own: LongTask, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a baseline until a signal comes with the step of this number, after which it saves and ends."""
    pause = Stepwise._pause

    def interrupted(self: Stepwise, stop: Stop) -> None:
        if self.number == number + 1:
            os.kill(os.getpid(), signal.SIGTERM)
        pause(self, stop)

    with monkeypatch.context() as patched:
        patched.setattr(Stepwise, "_pause", interrupted)
        with pytest.raises(SystemExit):
            select(own)


def ends_alike(
    select: Callable[[LongTask], Learned], options: dict[str, Any], number: int, path: Path,
    monkeypatch: pytest.MonkeyPatch, share: float = 0.5,
) -> None:  # fmt: skip
    """A baseline that is stopped after the step of this number, and goes on, ends in the bits of one that is not."""
    whole = select(task(options, share, own_weights=True))
    stopped(select, task(options, share, own_weights=True, sidecar=saved(path)), number, monkeypatch)
    sidecar = saved(path)
    done = sidecar.state["training"]
    assert done["epoch"] * 4 + done["step"] == number + 1  # of four steps an epoch
    again = select(task(options, share, own_weights=True, sidecar=sidecar))
    assert whole.network is not None
    assert again.network is not None
    assert same_weights(again.network, whole.network)
    assert all(map(np.array_equal, again.kept, whole.kept))
    assert timeless(again.history) == timeless(whole.history)
    assert again.judged == whole.judged


def saved(path: Path) -> Sidecar:
    """A state beside a job, saved by signals alone."""
    return Sidecar(path, "key", 1e9)


def flops_of(graph: Graph, counts: NDArray[np.int64]) -> int:
    """FLOPs of a network with so many channels in each group, [G]."""
    return int(costs_of_counts(graph, counts[None])[0][0])
