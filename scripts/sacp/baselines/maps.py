"""Feature maps of a network's layers as the layers behind read them: after batch norms, sums and activations."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, fx, nn

from sacp.tracing.layers import ELEMENTWISE, NORMS
from sacp.tracing.operations import JOINS, SIZES, is_elementwise


def maps_read(traced: fx.GraphModule, layer: str) -> fx.Node:
    """The value that a convolution, a pooling or a linear layer reads first on the way from `layer`.

    On the way lie batch norms, activations and sums: a convolution that ends a residual block leads to what follows the
    sum, one inside the block to what follows its batch norm.
    """
    value: fx.Node = next(node for node in traced.graph.nodes if node.op == "call_module" and node.target == layer)
    while True:
        users = [user for user in value.users if user.op == "call_module" or user.target not in SIZES]
        if not users or not all(_is_passed(traced, user) for user in users):
            return value
        value = users[0]  # the first in the order of the forward: a sum comes after the branch that it joins


def look_at_maps(
    traced: fx.GraphModule,
    values: Iterable[fx.Node],
    batches: Iterable[Tensor],
    look: Callable[[fx.Node, Tensor], None],
) -> None:
    """Run the network on batches [B, C, H, W] and show each of the values, [B, C', H', W'], to `look`."""
    watch = _Watch(traced, frozenset(values), look)
    with torch.no_grad():
        for batch in batches:
            watch.run(batch)


class _Watch(fx.Interpreter):
    """Shows some of the values as soon as they are computed, before an operation in place can change them."""

    def __init__(
        self, traced: fx.GraphModule, values: frozenset[fx.Node], look: Callable[[fx.Node, Tensor], None]
    ) -> None:
        super().__init__(traced)
        self.values, self.look = values, look

    def run_node(self, n: fx.Node) -> Any:
        """Run a node; show what it gives if it is one of the values."""
        result = super().run_node(n)
        if n in self.values:
            self.look(n, result)
        return result


def _is_passed(traced: fx.GraphModule, node: fx.Node) -> bool:
    """Whether a node keeps channels and positions as they are, so that it gives maps of the layer before it."""
    if node.op == "call_module":
        return isinstance(traced.get_submodule(str(node.target)), (*NORMS, nn.PReLU, *ELEMENTWISE))
    return is_elementwise(node) or node.target in JOINS
