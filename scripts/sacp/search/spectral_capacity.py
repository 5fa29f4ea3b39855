"""The score `nsc`: neural spectral capacity (Zhu, Zhao and Lu 2026), which looks at no weights and no images.

A layer with m outputs and n inputs has the capacity of a random m x n matrix W of independent entries of variance s^2,

    psi(m, n) = E ln det(I + W W^T) = k E ln(1 + M s^2 x),   k = min(m, n), M = max(m, n),

where x has the law of Marchenko and Pastur with the ratio k / M, and s^2 is 2 / (m + n) (Xavier) or 2 / n (Kaiming).
A convolution is the matrix [C_out, C_in k k]; one with g groups is g matrices, a depthwise one of C channels C matrices
[1, k k]. The score is the sum over all convolutions and linear layers, the classifier among them, without those that
are never pruned. It depends on a layer's inputs and outputs, and so on pairs of groups.

DEVIATION: where a layer reads several groups side by side, behind a concatenation, psi depends on all of them. Here it
is the mean over its parts, each weighted by its share of the layer's inputs, as if of all inputs the same share were
kept as of the part. This is right where all parts keep equal shares and, as psi is concave, nowhere too high; the same
for a layer whose outputs are of several groups.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from sacp.errors import InputError, shown
from sacp.network.graph import CONV, LINEAR, Axis, Graph, Node
from sacp.pruning.space import counts_by_step

Values = NDArray[np.float64]
Pairs = dict[tuple[int, int], Values]
XAVIER, KAIMING = INITIALISATIONS = ("xavier", "kaiming")


def capacity(outputs: Any, inputs: Any, initialisation: str = XAVIER) -> Values:
    """psi of matrices with these numbers of outputs and inputs, in nats; of any shapes that go together.

    The logarithm's mean is the Shannon transform of the law, in closed form (Tulino and Verdu 2004, section 2.2.3).
    """
    m, n = np.asarray(outputs, np.float64), np.asarray(inputs, np.float64)
    smaller, larger = np.minimum(m, n), np.maximum(m, n)
    variance = 2 / (m + n if initialisation == XAVIER else n)
    ratio, gain = smaller / larger, larger * variance
    high, low = (np.sqrt(1 + gain * (1 + sign * np.sqrt(ratio)) ** 2) for sign in (1, -1))
    x = (2 * gain / (high + low)) ** 2  # F / (4 ratio) of theirs, without its cancellation
    found: Values = smaller * (np.log1p(gain - ratio * x) + np.log1p(ratio * (gain - x)) / ratio - x / gain)
    return found


def of_network(network: nn.Module, images: Any = None, seed: int = 0) -> float:
    """The sum over all convolutions and linear layers of a network; a predictor's images and seed are not looked at."""
    layers = [each for each in network.modules() if isinstance(each, (nn.modules.conv._ConvNd, nn.Linear))]
    return sum(_of_weight(layer, XAVIER) for layer in layers)


def values(network: nn.Module, graph: Graph, levels: int, initialisation: str = XAVIER) -> tuple[Values, Pairs]:
    """What each group, and each pair of groups i < j, adds at each step, [G, levels] and [levels, levels].

    Raises:
        InputError: the initialisation is unknown.
    """
    if initialisation not in INITIALISATIONS:
        raise InputError(f"initialisation: found {shown(initialisation)}, expected {' or '.join(INITIALISATIONS)}")
    # Of each group, the share of its channels that is kept at each step; of those that are never pruned, as group G.
    kept = np.vstack([counts_by_step(graph, levels) / np.array(graph.channels)[:, None], np.ones(levels)])
    unary, pairs = np.zeros((len(kept), levels)), Pairs()
    for node in graph.nodes:
        if node.kind in (CONV, LINEAR) and node.mixes:
            _add(unary, pairs, _of_layer(graph, node, kept, initialisation))
        elif node.kind == CONV:
            conv = network.get_submodule(node.name)
            for group, share in _shares(graph, node.outputs):
                unary[group] += share * kept[group] * _of_weight(conv, initialisation)
    return unary[:-1], pairs


def _of_layer(graph: Graph, node: Node, kept: Values, initialisation: str) -> Iterator[tuple[int, int, Values]]:
    """A layer's capacity by the groups of its outputs and its inputs at all their steps, [levels, levels]."""
    for out, out_share in _shares(graph, node.outputs):
        for into, in_share in _shares(graph, node.inputs):
            m = node.channels * kept[out][:, None] / node.divisor
            n = node.in_channels * node.params_pair * kept[into] / node.divisor
            yield out, into, node.divisor * out_share * in_share * capacity(m, n, initialisation)


def _of_weight(layer: nn.Module, initialisation: str) -> float:
    """Capacity of a convolution or a linear layer as it is, all its groups together."""
    weight, groups = cast(Tensor, layer.weight), cast(int, getattr(layer, "groups", 1))
    shape = weight.transpose(0, 1).shape if getattr(layer, "transposed", False) else weight.shape
    return groups * float(capacity(shape[0] // groups, math.prod(shape[1:]), initialisation))


def _shares(graph: Graph, axis: Axis) -> Sequence[tuple[int, float]]:
    """The groups of an axis, each with the share of its elements."""
    sizes = [*graph.channels, 1]
    elements = {group: each * sizes[group] for group, each in graph.multiples_of(axis).items()}
    return [(group, own / sum(elements.values())) for group, own in elements.items()]


def _add(unary: Values, pairs: Pairs, terms: Iterator[tuple[int, int, Values]]) -> None:
    """Add terms [levels of the first, levels of the second] of two groups, which may be one, or never pruned."""
    fixed = len(unary) - 1
    for first, second, table in terms:
        if first == second:
            unary[first] += np.diagonal(table)
        elif fixed in (first, second):
            unary[min(first, second)] += table[:, 0] if second == fixed else table[0]
        else:
            pair, ordered = ((first, second), table) if first < second else ((second, first), table.T)
            pairs[pair] = pairs.get(pair, 0) + ordered
