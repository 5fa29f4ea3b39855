"""From a network to its graph: a torch.fx trace, read operation by operation. What is not understood is refused."""

import copy
import math
import operator
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from sacp.errors import INTERRUPTS, InputError, told
from sacp.network.graph import BATCH_NORM, CONV, LINEAR, POOL, Graph, Group, Node

ELEMENTWISE_MODULES = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SiLU, nn.GELU, nn.Mish, nn.Sigmoid, nn.Tanh,
    nn.Hardswish, nn.Hardsigmoid, nn.Dropout, nn.Dropout2d, nn.Identity,
)  # fmt: skip
ELEMENTWISE_FUNCTIONS = {
    torch.relu, F.relu, F.relu6, F.leaky_relu, F.elu, F.silu, F.gelu, F.mish, F.hardswish, F.hardsigmoid, F.dropout,
    torch.sigmoid, torch.tanh, F.sigmoid, F.tanh,
}  # fmt: skip
ELEMENTWISE_METHODS = {"relu", "relu_", "sigmoid", "tanh", "contiguous", "clone", "detach"}
JOINS = {
    operator.add, operator.iadd, operator.sub, operator.mul, operator.imul,
    torch.add, torch.sub, torch.mul, "add", "add_", "sub", "mul", "mul_",
}  # fmt: skip
POOL_FUNCTIONS = {F.max_pool2d, F.avg_pool2d, F.adaptive_avg_pool2d, F.adaptive_max_pool2d, torch.mean, "mean"}
FLATTENS = {torch.flatten, "flatten", "view", "reshape", torch.reshape}
SIZES = ("size", getattr, operator.getitem)  # of a tensor, where they give none themselves


@dataclass(frozen=True)
class _Value:
    """A tensor on its way through the network, seen by its channels."""

    sources: tuple[int, ...]  # nodes that an edge to the next node starts from
    tie: int  # channel set; sets that a sum joins are united
    channels: int
    positions: int = 1  # elements per channel once flattened


@dataclass
class _Trace:
    """What has been read so far."""

    nodes: list[dict[str, Any]] = field(default_factory=list)
    edges: list[tuple[int, int]] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)  # union-find over ties
    fixed: set[int] = field(default_factory=set)  # ties that must not be pruned

    def new_tie(self, fixed: bool = False) -> int:
        """A new channel set."""
        self.parents.append(len(self.parents))
        if fixed:
            self.fixed.add(self.parents[-1])
        return self.parents[-1]

    def root(self, tie: int) -> int:
        """The set that stands for all those united with `tie`."""
        while self.parents[tie] != tie:
            tie = self.parents[tie]
        return tie

    def unite(self, a: int, b: int) -> int:
        self.parents[self.root(b)] = self.root(a)
        return self.root(a)

    def add(self, name: str, kind: str, inputs: _Value, tie: int, channels: int, **costs: int) -> _Value:
        if any(node["name"] == name for node in self.nodes):
            raise InputError(f"network: module '{name}' is used twice; each layer must be called once to be pruned")
        zero = dict.fromkeys(("flops_pair", "flops_channel", "params_pair", "params_channel"), 0)
        node = {"name": name, "kind": kind, "in_tie": inputs.tie, "in_channels": inputs.channels, "tie": tie}
        self.nodes.append(node | {"channels": channels, "positions": inputs.positions} | zero | costs)
        self.edges += [(source, len(self.nodes) - 1) for source in inputs.sources]
        return _Value((len(self.nodes) - 1,), tie, channels)


def trace(network: nn.Module, input_shape: tuple[int, int, int, int]) -> Graph:
    """Trace `network` on an input of `input_shape` [1, C, H, W] and return its graph. The network is not changed.

    Raises:
        InputError: the forward cannot be traced, fails on the shape, or uses an operation that is not understood.
    """
    module = _symbolic(network, input_shape)
    state, values = _Trace(), {}
    for fx_node in module.graph.nodes:
        if fx_node.op == "placeholder" and "shape" not in fx_node.meta:
            continue  # an argument left at its default
        if fx_node.op == "placeholder":
            values[fx_node] = _Value((), state.new_tie(fixed=True), _shape(fx_node)[1])
        elif fx_node.op == "output":
            state.fixed |= {values[arg].tie for arg in fx_node.all_input_nodes if arg in values}
        else:
            value = _read(state, module, fx_node, values)
            if value is not None:
                values[fx_node] = value
    return _assemble(state)


def _symbolic(network: nn.Module, input_shape: tuple[int, ...]) -> fx.GraphModule:
    # On the meta device nothing would be computed, but torch loads its compiler for it: a second and more, in each job.
    device = "meta" if any(parameter.is_meta for parameter in network.parameters()) else "cpu"
    shadow = copy.deepcopy(network).to(device).eval()
    try:
        module = fx.symbolic_trace(shadow)
    except INTERRUPTS:
        raise
    except BaseException as error:  # a forward is the user's code: anything can be raised there
        raise InputError(f"network: forward of {type(network).__name__} cannot be traced ({told(error)})") from error
    try:
        with torch.no_grad():
            _Shapes(module).run(torch.zeros(input_shape, device=device))
    except INTERRUPTS:
        raise
    except BaseException as error:
        name = type(network).__name__
        raise InputError(f"network: {name} fails on an input of shape {list(input_shape)} ({told(error)})") from error
    return module


class _Shapes(fx.Interpreter):
    """Notes the shapes of all tensors, as torch's `ShapeProp` does, but loads no symbolic algebra, half a second."""

    def run_node(self, n: fx.Node) -> Any:
        """Run a node; note the shape of the tensor that it gives."""
        result = super().run_node(n)
        if isinstance(result, Tensor):
            n.meta["shape"] = tuple(result.shape)
        return result


def _shape(node: fx.Node) -> tuple[int, ...]:
    shape: tuple[int, ...] = node.meta["shape"]
    return shape


def _read(state: _Trace, module: fx.GraphModule, node: fx.Node, values: dict[fx.Node, _Value]) -> _Value | None:
    """Return what `node` does to its input's channels; None for an operation on sizes, which carries no channels."""
    inputs = [values[arg] for arg in node.all_input_nodes if arg in values]
    if node.op == "call_module":
        target = module.get_submodule(str(node.target))
        for kinds, reader in MODULE_READERS:
            if isinstance(target, kinds):
                return reader(state, target, node, inputs[0])
        raise _unknown(node, type(target).__name__)
    if node.target in SIZES and "shape" not in node.meta:
        return None
    if node.target in JOINS and inputs:
        return _join(state, node, inputs)
    if node.target in ELEMENTWISE_FUNCTIONS | ELEMENTWISE_METHODS:
        return inputs[0]
    if node.target in FLATTENS:
        return _flatten(node, inputs[0])
    if node.target in POOL_FUNCTIONS:
        return _pool_function(state, node, inputs[0])
    raise _unknown(node, getattr(node.target, "__name__", str(node.target)))


def _unknown(node: fx.Node, operation: str) -> InputError:
    return InputError(f"network: operation '{operation}' at node '{node.name}' is not understood, so not prunable")


def _read_conv(state: _Trace, conv: nn.Conv2d, node: fx.Node, inputs: _Value) -> _Value:
    window, area = math.prod(conv.kernel_size), math.prod(_shape(node)[2:])
    bias = int(conv.bias is not None)
    name = str(node.target)
    if conv.groups == 1:
        costs = {"flops_pair": window * area, "params_pair": window, "params_channel": bias}
        return state.add(name, CONV, inputs, state.new_tie(), conv.out_channels, **costs)
    if not conv.groups == conv.in_channels == conv.out_channels:
        what = f"{conv.groups} groups of {conv.in_channels} -> {conv.out_channels} channels"
        raise InputError(f"network: convolution '{name}' has {what}; only 1 group or a depthwise one can be pruned")
    costs = {"flops_channel": window * area, "params_channel": window + bias}
    return state.add(name, CONV, inputs, inputs.tie, conv.out_channels, **costs)


def _read_batch_norm(state: _Trace, norm: nn.BatchNorm2d, node: fx.Node, inputs: _Value) -> _Value:
    area = math.prod(_shape(node)[2:])
    costs = {"flops_channel": (4 if norm.affine else 2) * area, "params_channel": 2 if norm.affine else 0}
    return state.add(str(node.target), BATCH_NORM, inputs, inputs.tie, inputs.channels, **costs)


def _read_pool(state: _Trace, pool: nn.Module, node: fx.Node, inputs: _Value) -> _Value:
    cost = 0
    if isinstance(pool, nn.AdaptiveAvgPool2d):
        cost = _adaptive_cost(node)
    elif isinstance(pool, nn.AvgPool2d):
        cost = math.prod(_shape(node)[2:])
    # A pooling has no weights and may be called again; its second call has a name of its own.
    used = any(n["name"] == node.target for n in state.nodes)
    return state.add(
        node.name if used else str(node.target), POOL, inputs, inputs.tie, inputs.channels, flops_channel=cost
    )


def _pool_function(state: _Trace, node: fx.Node, inputs: _Value) -> _Value:
    dims = node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else None)
    is_mean = node.target in (torch.mean, "mean")
    if is_mean and (not isinstance(dims, (tuple, list)) or sorted(d % 4 for d in dims) != [2, 3]):
        raise _unknown(node, f"mean over {dims}")
    area = math.prod(_shape(node)[2:])
    cost = _adaptive_cost(node) if is_mean or node.target is F.adaptive_avg_pool2d else 0
    cost = area if node.target is F.avg_pool2d else cost
    return state.add(node.name, POOL, inputs, inputs.tie, inputs.channels, flops_channel=cost)


def _adaptive_cost(node: fx.Node) -> int:
    """(window + 1) x outputs per channel, as thop 0.1.1 counts it: inputs + outputs, whether or not they divide."""
    return math.prod(_shape(node.all_input_nodes[0])[2:]) + math.prod(_shape(node)[2:])


def _read_linear(state: _Trace, linear: nn.Linear, node: fx.Node, inputs: _Value) -> _Value:
    if inputs.channels * inputs.positions != linear.in_features or len(_shape(node)) != 2:
        raise InputError(f"network: linear layer '{node.target}' does not act on flattened channels; cannot be pruned")
    costs = {"flops_pair": inputs.positions, "params_pair": inputs.positions}
    bias = int(linear.bias is not None)
    tie = state.new_tie(fixed=True)
    return state.add(str(node.target), LINEAR, inputs, tie, linear.out_features, **costs, params_channel=bias)


def _read_elementwise(state: _Trace, module: nn.Module, node: fx.Node, inputs: _Value) -> _Value:
    return inputs


def _read_flatten(state: _Trace, module: nn.Module, node: fx.Node, inputs: _Value) -> _Value:
    return _flatten(node, inputs)


def _flatten(node: fx.Node, inputs: _Value) -> _Value:
    """Accept what turns [B, C, ...] into [B, C * positions] whatever C is; a hard-coded channel count is refused."""
    before, after = _shape(node.all_input_nodes[0]), _shape(node)
    sizes = node.args[1:] or tuple(node.kwargs[key] for key in ("shape",) if key in node.kwargs)
    sizes = sizes if node.target in ("view", "reshape", torch.reshape) else ()
    sizes = tuple(sizes[0]) if sizes and isinstance(sizes[0], (tuple, list)) else sizes
    if after != (before[0], math.prod(before[1:])) or (sizes and sizes[1] != -1):
        raise InputError(f"network: reshape at node '{node.name}' is not a flatten(1) or view(batch, -1)")
    return _Value(inputs.sources, inputs.tie, inputs.channels, inputs.positions * math.prod(before[2:]))


def _join(state: _Trace, node: fx.Node, inputs: list[_Value]) -> _Value:
    first = inputs[0]
    for other in inputs[1:]:
        if (other.channels, other.positions) != (first.channels, first.positions):
            raise _unknown(node, f"{getattr(node.target, '__name__', node.target)} of unequal channels")
        state.unite(first.tie, other.tie)
    sources = tuple(dict.fromkeys(source for value in inputs for source in value.sources))
    return _Value(sources, first.tie, first.channels, first.positions)


# One kind of module, one reader. The order matters only where one kind derives from another.
MODULE_READERS: list[tuple[Any, Callable[[_Trace, Any, fx.Node, _Value], _Value]]] = [
    (nn.Conv2d, _read_conv),
    (nn.BatchNorm2d, _read_batch_norm),
    ((nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d), _read_pool),
    (nn.Linear, _read_linear),
    (nn.Flatten, _read_flatten),
    (ELEMENTWISE_MODULES, _read_elementwise),
]


def _assemble(state: _Trace) -> Graph:
    """Number the groups in the order of their first layer and close the ties."""
    fixed = {state.root(tie) for tie in state.fixed}
    layers: dict[int, list[dict[str, Any]]] = {}
    for node in state.nodes:
        root = state.root(node["tie"])
        if node["kind"] == CONV and root not in fixed:
            layers.setdefault(root, []).append(node)
    if not layers:
        raise InputError("network: no convolution has output channels that can be pruned")
    index = {root: number for number, root in enumerate(layers)}
    groups = (Group(g[0]["name"], tuple(n["name"] for n in g), g[0]["channels"]) for g in layers.values())
    nodes = []
    for node in state.nodes:
        ties: dict[str, int] = {"in_group": node.pop("in_tie"), "group": node.pop("tie")}
        of: dict[str, Any] = {key: index.get(state.root(tie)) for key, tie in ties.items()}
        nodes.append(Node(**node, **of))
    return Graph(tuple(nodes), tuple(state.edges), tuple(groups))
