"""From a configuration to a trained smaller network (method section 3.5), the same way for every method."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import nn

from sacp import cost
from sacp.criteria import Kept, Order, kept_channels
from sacp.data import Splits
from sacp.graph import Graph
from sacp.networks import NetworkSpec
from sacp.space import Steps, kept_counts
from sacp.surgery import prune
from sacp.training import Recipe, accuracy_percent, train

TUNED_COLUMNS = ("candidate", "validation_accuracy_percent", "flops", "parameters")
log = logging.getLogger(__name__)


def kept_of(steps: Steps, order: Order, graph: Graph, levels: int) -> Kept:
    """Kept channels of one configuration [G] under a channel order."""
    return kept_channels(order, kept_counts(steps, graph.channels, levels))


def train_pruned(
    base: nn.Module,
    graph: Graph,
    kept: Kept,
    splits: Splits,
    recipe: Recipe,
    seed: int,
    device: torch.device,
    label: str,
) -> tuple[nn.Module, list[dict[str, float]]]:
    """Prune `base`, train the smaller network from the inherited weights, return it and its history."""
    network = prune(base, graph, kept).to(device)
    history = train(network, splits, recipe, seed, label)
    return network, history


def tune_candidates(
    base: nn.Module, graph: Graph, kept: Mapping[int, Kept], splits: Splits, recipe: Recipe, seed: int,
    device: torch.device,
) -> list[dict[str, Any]]:  # fmt: skip
    """Tune candidates one after the other; a row of candidate, validation accuracy and cost for each."""
    rows = []
    for number, (candidate, channels) in enumerate(kept.items(), start=1):
        # One seed for all: candidates differ by their channels, not by the luck of an order.
        network, _ = train_pruned(
            base, graph, channels, splits, recipe, seed, device, f"candidate {candidate} ({number}/{len(kept)})"
        )
        accuracy = accuracy_percent(network, splits.validation, splits)
        counts = np.array([[len(c) for c in channels]], np.int64)
        flops, parameters = cost.costs_of_counts(graph, counts)
        rows.append(
            {
                "candidate": candidate,
                "validation_accuracy_percent": accuracy,
                "flops": int(flops[0]),
                "parameters": int(parameters[0]),
            }
        )
        log.info("candidate %d: validation accuracy %.2f %%", candidate, accuracy)
    return rows


def measure(network: nn.Module, splits: Splits, spec: NetworkSpec) -> dict[str, Any]:
    """Validation and test accuracy of a finished network, and its cost as counted on the network itself."""
    counted = cost.count(network, spec.input_shape)
    return {
        "validation_accuracy_percent": accuracy_percent(network, splits.validation, splits),
        "test_accuracy_percent": accuracy_percent(network, splits.test, splits),
        **asdict(counted),
    }


def best(rows: Sequence[Mapping[str, Any]], key: str, number: int) -> list[Mapping[str, Any]]:
    """The `number` rows with the largest `key`; ties go to the lower candidate number."""
    return sorted(rows, key=lambda row: (-row[key], row["candidate"]))[:number]


def choose_winner(trained: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Choose among fully trained candidates by validation accuracy, and say what the paper's protocol would report.

    DEVIATION: the paper picks the winner by test accuracy among the k (section 3.5); here the test images choose
    nothing, and the paper's figure stands beside ours as `paper_protocol_test_accuracy_percent`.
    """
    winner = best(trained, "validation_accuracy_percent", 1)[0]
    by_test = best(trained, "test_accuracy_percent", 1)[0]
    return {
        **winner,
        "trained_candidates": [row["candidate"] for row in trained],
        "paper_protocol_candidate": by_test["candidate"],
        "paper_protocol_test_accuracy_percent": by_test["test_accuracy_percent"],
    }
