"""What pruning has made of a network: channels, FLOPs and parameters of every layer, before and after."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sacp.errors import InputError
from sacp.network.cost import Cost, cost_of_graph, costs_by_node, costs_of_counts
from sacp.network.graph import CONV, LINEAR, Graph, Node
from sacp.timing.measure import Row

HEADINGS = ("layer", "channels", "FLOPs", "parameters")


@dataclass(frozen=True)
class Layer:
    """A convolution or linear layer before and after; the batch norm that follows it is no part of it."""

    name: str
    channels: tuple[int, int]  # outputs
    flops: tuple[int, int]  # multiply-accumulates on one input
    parameters: tuple[int, int]


@dataclass(frozen=True)
class Report:
    """Layers in the order of the data flow, and the whole network."""

    layers: tuple[Layer, ...]
    flops: tuple[int, int]
    parameters: tuple[int, int]
    latency: Row | None = None  # where it was measured, beside the original

    @classmethod
    def of(cls, graph: Graph, counts: NDArray[np.int64], latency: Row | None = None) -> "Report":
        """Of a network with its graph, and the same with these kept channels, [G]."""
        whole = np.array(graph.channels, np.int64)
        flops, parameters = costs_of_counts(graph, np.stack([whole, counts]))
        sides = [_sides(graph, each) for each in (whole, counts)]
        return cls(_paired(*sides), _pair(flops), _pair(parameters), latency)

    @classmethod
    def between(cls, before: Graph, after: Graph) -> "Report":
        """Of two networks with the same layers, by their graphs.

        Raises:
            InputError: their layers have other names.
        """
        sides = [_sides(graph, np.array(graph.channels, np.int64)) for graph in (before, after)]
        names = [[node.name for node, _, _ in side] for side in sides]
        if names[0] != names[1]:
            other = next(iter(set(names[0]) ^ set(names[1])), "their order")
            raise InputError(
                f"report: the two networks do not have the same layers: {other}; expected one pruned to the other"
            )
        costs = [cost_of_graph(graph) for graph in (before, after)]
        return cls(_paired(*sides), _pair([each.flops for each in costs]), _pair([each.parameters for each in costs]))

    def __str__(self) -> str:
        rows = [HEADINGS, *(self._row(layer) for layer in self.layers), self._total()]
        widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
        lines = [
            "  ".join([row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))])
            for row in rows
        ]
        return "\n".join([*lines, *([] if self.latency is None else [_timed(self.latency)])])

    @staticmethod
    def _row(layer: Layer) -> tuple[str, ...]:
        return layer.name, _arrow(layer.channels), _arrow(layer.flops), _arrow(layer.parameters)

    def _total(self) -> tuple[str, ...]:
        return "whole network", "", _arrow(self.flops, share=True), _arrow(self.parameters, share=True)


Side = list[tuple[Node, int, Cost]]


def _sides(graph: Graph, counts: NDArray[np.int64]) -> Side:
    """Convolutions and linear layers with their output channels and costs at these kept channels."""
    k = [*counts.tolist(), 1]
    costs, multiples = costs_by_node(graph, counts), graph.multiples
    return [
        (node, sum(number * k[group] for group, number in multiples[place][1].items()), costs[place])
        for place, node in enumerate(graph.nodes)
        if node.kind in (CONV, LINEAR)
    ]


def _paired(before: Side, after: Side) -> tuple[Layer, ...]:
    return tuple(
        Layer(node.name, (width, left), (cost.flops, less.flops), (cost.parameters, less.parameters))
        for (node, width, cost), (_, left, less) in zip(before, after, strict=True)
    )


def _pair(values: Sequence[int] | NDArray[np.int64]) -> tuple[int, int]:
    return int(values[0]), int(values[1])


def _arrow(values: tuple[int, int], share: bool = False) -> str:
    before, after = values
    text = f"{before:,}" if before == after else f"{before:,} -> {after:,}"
    return f"{text} ({after / max(before, 1):.1%})" if share else text


def _timed(row: Row) -> str:
    """A line on latency; without an original beside it, there is no speed-up."""
    where = f"{row.runtime}, batch {row.batch}, {row.threads} threads, {row.device}"
    before = "" if row.original_ms is None else f"{row.original_ms:.2f} -> "
    faster = "" if row.speedup is None else f", {row.speedup:.2f} times as fast"
    return f"latency: {before}{row.median_ms:.2f} ms{faster} ({where})"
