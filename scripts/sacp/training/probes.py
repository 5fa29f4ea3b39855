"""Networks evaluated before any tuning."""

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from sacp import imports
from sacp.compute.resume import Sidecar, stop_requests
from sacp.errors import InputError
from sacp.images.batches import Normalizer, drawn_batches
from sacp.images.splits import Splits
from sacp.network.graph import Graph, Kept
from sacp.network.surgery import prune
from sacp.progress import Progress
from sacp.seeds import derive
from sacp.training.evaluation import Calibration, accuracy_percent

IMAGES = 128  # training images that predictors look at, as in NASWOT's paper
PROBE_COLUMNS = ("candidate", "untuned_accuracy_percent", "calibrated_accuracy_percent")


def probe(
    base: nn.Module, graph: Graph, kept: Sequence[Kept], splits: Splits, calibration: Calibration,
    device: torch.device, sidecar: Sidecar | None = None, zero_cost: Mapping[str, str] = MappingProxyType({}),
) -> list[dict[str, Any]]:  # fmt: skip
    """Evaluate pruned networks on the validation images: as they are, and with calibrated batch norms.

    What zero-cost predictors say of them is noted too, with calibrated batch norms.

    Args:
        base: the network they are pruned from, on the CPU.
        graph: its graph.
        kept: the channels of each.
        splits: the data.
        calibration: of the batch norms.
        device: where they are evaluated.
        sidecar: where rows are kept; those that a killed process left are not made again.
        zero_cost: import paths of the predictors by their names, called as those of `training.zero_cost` are.

    Returns:
        Rows of `PROBE_COLUMNS` and of the predictors; `candidate` is the place in `kept`.

    Raises:
        Stopped: a signal asked for an end; the rows were saved.
    """
    sidecar = sidecar or Sidecar()
    rows: list[dict[str, Any]] = sidecar.state.setdefault("rows", [])
    predictors = [(name, imports.load(path)) for name, path in zero_cost.items()]
    normalizer, seed = Normalizer(splits.mean, splits.std, device), derive(calibration.seed, "zero-cost predictors")
    images = next(drawn_batches(splits.train, normalizer, IMAGES, IMAGES, seed)) if predictors else torch.empty(0)
    progress = Progress("networks probed:", len(kept) - len(rows))
    with stop_requests() as stop:
        for candidate in range(len(rows), len(kept)):
            network = prune(base, graph, kept[candidate]).to(device).eval()
            untuned = accuracy_percent(network, splits.validation, splits)
            calibration(network)
            calibrated = accuracy_percent(network, splits.validation, splits)
            row = dict(zip(PROBE_COLUMNS, (candidate, untuned, calibrated), strict=True))
            rows.append(row | of_all(predictors, network, images, seed))
            progress.advance(1)
            sidecar.pause(stop, "rows", lambda: rows)
    return rows


def of_all(
    predictors: Sequence[tuple[str, Callable[..., Any]]], network: nn.Module, images: Tensor, seed: int
) -> dict[str, float]:
    """What predictors say of a network, by their names.

    Raises:
        InputError: one of them is no number.
    """
    found = {name: float(function(network, images, seed)) for name, function in predictors}
    for name, value in found.items():
        if math.isnan(value):
            raise InputError(f"predictor '{name}': found nan, expected a number")
    return found
