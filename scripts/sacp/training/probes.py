"""Networks evaluated before any tuning."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from sacp.compute.resume import Sidecar, stop_requests
from sacp.images.splits import Splits
from sacp.network.graph import Graph, Kept
from sacp.network.surgery import prune
from sacp.progress import Progress
from sacp.training.evaluation import Calibration, accuracy_percent

PROBE_COLUMNS = ("candidate", "untuned_accuracy_percent", "calibrated_accuracy_percent")


def probe(
    base: nn.Module, graph: Graph, kept: Sequence[Kept], splits: Splits, calibration: Calibration,
    device: torch.device, sidecar: Sidecar | None = None,
) -> list[dict[str, Any]]:  # fmt: skip
    """Evaluate pruned networks on the validation images: as they are, and with calibrated batch norms.

    Args:
        base: the network they are pruned from, on the CPU.
        graph: its graph.
        kept: the channels of each.
        splits: the data.
        calibration: of the batch norms.
        device: where they are evaluated.
        sidecar: where rows are kept; those that a killed process left are not made again.

    Returns:
        Rows of `PROBE_COLUMNS`; `candidate` is the place in `kept`.

    Raises:
        Stopped: a signal asked for an end; the rows were saved.
    """
    sidecar = sidecar or Sidecar()
    rows: list[dict[str, Any]] = sidecar.state.setdefault("rows", [])
    progress = Progress("networks probed:", len(kept) - len(rows))
    with stop_requests() as stop:
        for candidate in range(len(rows), len(kept)):
            network = prune(base, graph, kept[candidate]).to(device).eval()
            untuned = accuracy_percent(network, splits.validation, splits)
            calibration(network)
            calibrated = accuracy_percent(network, splits.validation, splits)
            rows.append(dict(zip(PROBE_COLUMNS, (candidate, untuned, calibrated), strict=True)))
            progress.advance(1)
            sidecar.pause(stop, "rows", lambda: rows)
    return rows
