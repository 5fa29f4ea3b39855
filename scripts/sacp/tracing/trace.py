"""A torch.fx trace of a network, in evaluation and in training, read operation by operation."""

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import fx, nn

from sacp.errors import InputError
from sacp.network.constraints import NONE, Constraints, ignored
from sacp.network.cost import Cost, cost_of_graph
from sacp.network.graph import PLAIN, Graph
from sacp.network.surgery import PER_CHANNEL, check_layers, copied, tensors_of
from sacp.tracing.groups import Grouping, faults, graph_of, is_layer, ungrouped
from sacp.tracing.operations import read
from sacp.tracing.running import note_shapes
from sacp.tracing.symbolic import place, symbolic
from sacp.tracing.values import FIXED, Condition, Labels, Number, ObstacleError, Read, Reading, Value, tensors_in

Shape = tuple[int, ...]
SHAPE = "[1, C, H, W], or [1, ...] of other inputs"


@dataclass(frozen=True)
class Traced:
    """A network as it was read."""

    network: nn.Module  # a copy in evaluation mode, which shares the parameters where they lie on the CPU
    operations: fx.Graph  # what its forward does
    in_training: fx.Graph  # and what it does in training
    graph: Graph
    stays: tuple[str, ...]  # what is not pruned, and why


def is_shape(value: Any) -> bool:
    """Whether this is the shape of one input with its batch axis."""
    sizes = value if isinstance(value, Sequence) and not isinstance(value, str) else ()
    is_sizes = len(sizes) > 1 and all(isinstance(size, int) and size > 0 and size is not True for size in sizes)
    return is_sizes and (len(sizes) == 4 or sizes[0] == 1)


def trace(network: nn.Module, input_shape: Shape, constraints: Constraints = NONE) -> Graph:
    """Trace `network` on an input of `input_shape`, [1, C, H, W] or another, and return its graph.

    The network is not changed.

    Args:
        network: to be pruned.
        input_shape: of one input with its batch axis.
        constraints: what pruning has to leave alone.

    Raises:
        InputError: the forward cannot be traced, fails on the shape, or does to channels that could be pruned what is
            not understood. All obstacles that are found are named.
    """
    return traced(network, input_shape, constraints).graph


def count(network: nn.Module, input_shape: Shape) -> Cost:
    """Count a built network by tracing it, whatever made it; it need not have anything that can be pruned."""
    return cost_of_graph(counted(network, input_shape))


def counted(network: nn.Module, input_shape: Shape) -> Graph:
    """The graph of a network as `count` counts it: without groups."""
    state, obstacles = _read_passes(*_passes(network, input_shape))
    _raise(obstacles)
    return ungrouped(state)


def traced(network: nn.Module, input_shape: Shape, constraints: Constraints = NONE) -> Traced:
    """Trace a network as `trace` does; return what was traced as well."""
    shadow, passes = _passes(network, input_shape)
    state, obstacles = _read_passes(shadow, passes)
    kept_whole = _ignored(state, constraints)
    grouping = Grouping(state)
    _raise([*obstacles, *faults(state, grouping), *_unseen(state, shadow, passes[0])])
    reasons = [*state.stays, *(() if grouping.count else state.conditions)]
    stays = [*kept_whole, *_grouped([*_of_layers(state, reasons), *state.wholes])]
    if names := grouping.undivided():
        more = f" and of {len(names) - 1} more" if len(names) > 1 else ""
        stays.append(f"the channels of layer '{names[0]}'{more} go together, so that there is nothing to choose")
    if not grouping.count:
        raise InputError("; ".join(["network: no layer has output channels that can be pruned", *stays]))
    return Traced(shadow, passes[0], passes[-1], graph_of(state, grouping, constraints), tuple(stays))


def _ignored(state: Reading, constraints: Constraints) -> list[str]:
    """Fix the channels of the layers that are to keep them; say which."""
    layers = [node for node in state.nodes if is_layer(node)]
    names = ignored(constraints, [node["name"] for node in layers])
    for node in layers:
        if node["name"] in names:
            state.fix(node["outputs"])
    more = f" and {len(names) - 1} more are" if len(names) > 1 else " is"
    return [f"layer '{names[0]}'{more} to be ignored"] if names else []


def _passes(network: nn.Module, input_shape: Shape) -> tuple[nn.Module, list[fx.Graph]]:
    """A copy of a network and what its forward does, and in training if that is another thing."""
    shadow, operations = _evaluated(network, input_shape)
    with torch.random.fork_rng(devices=[]):  # a forward may draw
        in_training = symbolic(shadow.train())
        note_shapes(shadow, in_training, input_shape)
    is_same = _told(in_training) == _told(operations)
    return shadow.eval(), [operations] if is_same else [operations, in_training]


def _raise(obstacles: Sequence[ObstacleError]) -> None:
    """Raise `InputError` if there is any obstacle."""
    if obstacles:
        raise InputError(f"network: {'; '.join(_grouped(obstacles))}")


def retraced(smaller: nn.Module, original: Traced, input_shape: Shape) -> Traced:
    """Trace a network that `original` was pruned to; in training, run what the original does.

    Its graph has no groups: it is not to be pruned again.
    """
    shadow, operations = _evaluated(smaller, input_shape)
    for node in original.in_training.nodes:
        # Tensors that a forward makes of nothing are attributes that a trace gives to the network.
        if node.op == "get_attr" and not hasattr(shadow, str(node.target)) and "." not in str(node.target):
            setattr(shadow, str(node.target), getattr(original.network, str(node.target)))
    with torch.random.fork_rng(devices=[]):
        note_shapes(shadow.train(), original.in_training, input_shape)
    is_same = original.in_training is original.operations
    passes = [operations] if is_same else [operations, original.in_training]
    state, obstacles = _read_passes(shadow.eval(), passes)
    _raise(obstacles)
    return Traced(shadow, operations, passes[-1], ungrouped(state), ())


def _evaluated(network: nn.Module, input_shape: Shape) -> tuple[nn.Module, fx.Graph]:
    if not is_shape(input_shape):
        raise InputError(f"input_shape: found {input_shape}, expected {SHAPE}")
    check_layers(network)
    shadow = _shadow(network).eval()
    with torch.random.fork_rng(devices=[]):
        operations = symbolic(shadow)
        note_shapes(shadow, operations, input_shape)
    return shadow, operations


def _shadow(network: nn.Module) -> nn.Module:
    """A copy to trace, whose parameters are shared where they lie on the CPU or nowhere."""
    tensors = [*network.parameters(), *network.buffers()]
    # On the meta device nothing would be computed, but torch loads its compiler for it: a second and more, in each job.
    device = "meta" if any(tensor.is_meta for tensor in tensors) else "cpu"
    shadow = copied(network)
    return shadow if all(tensor.device.type == device for tensor in tensors) else copy.deepcopy(shadow).to(device)


def _read_passes(shadow: nn.Module, passes: Sequence[fx.Graph]) -> tuple[Reading, list[ObstacleError]]:
    """What is read in evaluation, and in training behind it, and obstacles whatever is pruned."""
    tensors = reversed(shadow.state_dict(keep_vars=True).items())  # the first name of what has two
    state, obstacles = Reading({id(tensor): name for name, tensor in tensors}), list[ObstacleError]()
    for number, operations in enumerate(passes):
        state.in_training = number > 0
        before = len(state.conditions)
        found = _read_pass(state, shadow, operations)
        for obstacle in {*found, *(each.obstacle for each in state.conditions[before:])} if state.in_training else ():
            obstacle.text += " (in training)"
        obstacles += found
    return state, obstacles


def _of_layers(state: Reading, conditions: Iterable[Condition]) -> Iterable[ObstacleError]:
    """The obstacles of conditions that speak of what layers give."""
    is_given = np.zeros(state.size, bool)
    for node in filter(is_layer, state.nodes):
        is_given[node["outputs"]] = True
    is_given[FIXED] = False
    return (each.obstacle for each in conditions if any(is_given[labels].any() for labels in each.labels))


def _read_pass(state: Reading, shadow: nn.Module, operations: fx.Graph) -> list[ObstacleError]:
    """Read all operations of a trace; return the obstacles that are ones whatever can be pruned."""
    values, sure = dict[fx.Node, Read](), list[ObstacleError]()
    for node in operations.nodes:
        try:
            values[node] = _read(state, shadow, node, values)
        except ObstacleError as obstacle:
            given = [values[arg] for arg in node.all_input_nodes]
            if obstacle.is_sure:
                sure.append(obstacle)
            else:
                state.conditions.append(Condition(_labels_of(given), obstacle))
            # What comes behind an obstacle is read as if nothing before it was ever pruned.
            is_tensor = "shape" in node.meta or "length" in node.meta
            values[node] = Value((), obstacle=obstacle) if is_tensor else Number()
    return sure


def _labels_of(given: Sequence[Read]) -> tuple[Labels, ...]:
    """All channels that some values tell of."""
    numbers = [labels for value in given if isinstance(value, Number) for labels in value.labels]
    return (*numbers, *(each.labels for each in tensors_in(given) if each.labels is not None))


def _read(state: Reading, shadow: nn.Module, node: fx.Node, values: dict[fx.Node, Read]) -> Read:
    if node.op == "placeholder":
        return Value(()) if "shape" in node.meta else Number()  # without a shape: an argument left at its default
    if node.op == "output":
        given = [values[arg] for arg in node.all_input_nodes]
        for labels in _labels_of([value for value in given if not isinstance(value, Number)]):
            state.fix(labels)
        state.use_numbers(node, given)
        return Number()
    return read(state, shadow, node, values)


def _unseen(state: Reading, shadow: nn.Module, operations: fx.Graph) -> Iterable[ObstacleError]:
    """Obstacles in what a trace does not show: hooks of what it takes as a whole, tensors that no operation uses."""
    called = {str(node.target): node for node in operations.nodes if node.op == "call_module"}
    for path, node in {"": next(iter(operations.nodes)), **called}.items():
        module = shadow.get_submodule(path)
        if module._forward_hooks or module._forward_pre_hooks:
            found = f"{'layer {place}' if path else 'the network'} has a forward hook, which is not read"
            yield ObstacleError(node, f"{found}; remove it, and add it to the pruned network")
    for layer in (node["name"] for node in state.nodes if node["kind"] not in PLAIN):
        for own, tensor in tensors_of(shadow.get_submodule(layer)):
            if own not in PER_CHANNEL and tensor.numel() > 1 and f"{layer}.{own}" not in state.direct:
                found = f"layer '{layer}' has a tensor '{own}' {list(tensor.shape)} that its forward does not use"
                node = called.get(layer, next(iter(operations.nodes)))
                yield ObstacleError(node, f"{found}; delete it, and add it to the pruned network")


def _grouped(obstacles: Iterable[ObstacleError]) -> list[str]:
    """Texts of obstacles; of those that are alike, the first place and how many more there are."""
    places: dict[str, list[str]] = {}
    for obstacle in dict.fromkeys(obstacles):
        places.setdefault(obstacle.text, []).append(place(obstacle.node))
    return [
        text.replace("{place}", found[0] + (f" and {len(found) - 1} more" if len(found) > 1 else ""))
        for text, found in places.items()
    ]


def _told(operations: fx.Graph) -> list[str]:
    return [f"{node.op} {node.target} {node.args} {node.kwargs}" for node in operations.nodes]
