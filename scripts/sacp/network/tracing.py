"""From a network to its graph: a torch.fx trace, read operation by operation. What is not understood is refused."""

import copy
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import torch
from torch import Tensor, fx, nn

from sacp.errors import INTERRUPTS, InputError, told
from sacp.network.graph import CONV, PLAIN, DirectTensor, Graph, Group, Node
from sacp.network.operations import read
from sacp.network.reading import Number, ObstacleError, Read, Reading, Value
from sacp.network.surgery import PER_CHANNEL, check_layers, copied, tensors_of

Shape = tuple[int, int, int, int]
TORCH = f"{Path(torch.__file__).parent}{os.sep}"  # the folder of its code


@dataclass(frozen=True)
class Traced:
    """A network as it was read."""

    network: nn.Module  # a copy in evaluation mode, which shares the parameters where they lie on the CPU
    operations: fx.Graph  # what its forward does
    in_training: fx.Graph  # and what it does in training
    graph: Graph


def trace(network: nn.Module, input_shape: Shape) -> Graph:
    """Trace `network` on an input of `input_shape` [1, C, H, W] and return its graph. The network is not changed.

    Raises:
        InputError: the forward cannot be traced, fails on the shape, or does what is not understood; or what it
            computes in training is not what it computes in evaluation. All obstacles that are found are named.
    """
    return traced(network, input_shape).graph


def traced(network: nn.Module, input_shape: Shape) -> Traced:
    """Trace a network as `trace` does; return what was traced as well."""
    shadow, operations, graph = _read_evaluation(network, input_shape)
    with torch.random.fork_rng(devices=[]):  # a forward may draw
        in_training = _symbolic(shadow.train())
        _note_shapes(shadow, in_training, input_shape)
        if _told(in_training) != _told(operations):
            _check_training(shadow, in_training, operations, graph)
    return Traced(shadow.eval(), operations, in_training, graph)


def retraced(smaller: nn.Module, original: Traced, input_shape: Shape) -> Traced:
    """Trace a network that `original` was pruned to; in training, run what the original does."""
    shadow, operations, graph = _read_evaluation(smaller, input_shape)
    with torch.random.fork_rng(devices=[]):
        _note_shapes(shadow.train(), original.in_training, input_shape)
    return Traced(shadow.eval(), operations, original.in_training, graph)


def _read_evaluation(network: nn.Module, input_shape: Shape) -> tuple[nn.Module, fx.Graph, Graph]:
    if len(input_shape) != 4 or not all(isinstance(size, int) and size > 0 for size in input_shape):
        raise InputError(f"input_shape: found {input_shape}, expected [1, C, H, W]")
    check_layers(network)
    shadow = _shadow(network).eval()
    with torch.random.fork_rng(devices=[]):
        operations = _symbolic(shadow)
        _note_shapes(shadow, operations, input_shape)
        return shadow, operations, _graph_of(shadow, operations)


def _shadow(network: nn.Module) -> nn.Module:
    """A copy to trace, whose parameters are shared where they lie on the CPU or nowhere."""
    tensors = [*network.parameters(), *network.buffers()]
    # On the meta device nothing would be computed, but torch loads its compiler for it: a second and more, in each job.
    device = "meta" if any(tensor.is_meta for tensor in tensors) else "cpu"
    shadow = copied(network)
    return shadow if all(tensor.device.type == device for tensor in tensors) else copy.deepcopy(shadow).to(device)


class _Tracer(fx.Tracer):
    """Notes for each operation which line of the user's code asks for it, and in which module."""

    def create_node(self, *args: Any, **kwargs: Any) -> fx.Node:
        node = super().create_node(*args, **kwargs)
        node.meta["line"] = _line(sys._getframe(1))
        node.meta["module"] = next(reversed(self.module_stack), "")
        return node


def _line(frame: FrameType | None) -> str:
    """The file and line of the innermost code that is neither torch's nor ours; an empty string if there is none."""
    while frame is not None and frame.f_code.co_filename.startswith(TORCH):
        frame = frame.f_back
    if frame is None or frame.f_code.co_filename == __file__:
        return ""
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"


def _place(node: fx.Node) -> str:
    line = f" ({node.meta['line']})" if node.meta.get("line") else ""
    if node.op == "call_module":
        return f"'{node.target}'{line}"
    module = f" of '{node.meta['module']}'" if node.meta.get("module") else ""
    return f"node '{node.name}'{module}{line}"


def _symbolic(shadow: nn.Module) -> fx.Graph:
    try:
        return _Tracer().trace(shadow)
    except INTERRUPTS:
        raise
    except BaseException as error:  # a forward is the user's code: anything can be raised there
        line = _line_of(error.__traceback__)
        name = type(shadow).__name__
        found = f"network: forward of {name} cannot be traced{_mode(shadow)}{line}"
        raise InputError(f"{found} ({told(error)})") from error


def _line_of(traceback: TracebackType | None) -> str:
    """Where the user's code was when it failed, as ` at file:line`; an empty string if it was not in it."""
    found = ""
    while traceback is not None:
        line = _line(traceback.tb_frame)
        is_users = line.startswith(f"{Path(traceback.tb_frame.f_code.co_filename).name}:")
        found = f" at {Path(traceback.tb_frame.f_code.co_filename).name}:{traceback.tb_lineno}" if is_users else found
        traceback = traceback.tb_next
    return found


class _Shapes(fx.Interpreter):
    """Notes the shapes of all tensors, as torch's `ShapeProp` does, but loads no symbolic algebra, half a second."""

    def run_node(self, n: fx.Node) -> Any:
        """Run a node; note the shape of the tensor that it gives."""
        self.node = n
        n.meta.pop("shape", None)
        result = super().run_node(n)
        if isinstance(result, Tensor):
            n.meta["shape"] = tuple(result.shape)
        return result

    def call_method(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a method; a view of no images is a flattening."""
        sizes = args[1] if len(args) == 2 and isinstance(args[1], (tuple, list)) else args[1:]
        if target in ("view", "reshape") and tuple(sizes) == (0, -1) and not kwargs:
            return args[0].flatten(1)  # torch cannot tell what -1 means then
        return super().call_method(target, args, kwargs)


def _note_shapes(shadow: nn.Module, operations: fx.Graph, input_shape: Shape) -> None:
    """Note the shapes of all tensors, by no images, which takes no time, or by some where the forward wants them."""
    batches = (0, input_shape[0], 2) if shadow.training else (0, input_shape[0])  # a batch norm in training wants 2
    for batch in batches:
        # In training batch norms note what they see: in a copy, since the network is compared with the pruned one.
        run = _Shapes(copied(shadow) if shadow.training else shadow, graph=operations)
        run.extra_traceback = False
        try:
            with torch.no_grad():
                run.run(images_like(shadow, (batch, *input_shape[1:])))
            return
        except INTERRUPTS:
            raise
        except BaseException as error:
            if batch == batches[-1]:
                found = f"fails on an input of shape {list(input_shape)}{_mode(shadow)}, at {_place(run.node)}"
                raise InputError(f"network: {type(shadow).__name__} {found} ({told(error)})") from error


def images_like(network: nn.Module, shape: tuple[int, ...]) -> Tensor:
    """Zeros of a shape, of the type and on the device that a network's parameters have."""
    like = next((each for each in network.parameters() if each.is_floating_point()), torch.zeros(()))
    return torch.zeros(shape, device=like.device, dtype=like.dtype)


def _mode(network: nn.Module) -> str:
    return " in training" if network.training else ""


def _graph_of(shadow: nn.Module, operations: fx.Graph) -> Graph:
    """Read all operations; `InputError` names every obstacle among them."""
    state, values, obstacles = Reading(), dict[fx.Node, Read](), list[ObstacleError]()
    astray = set[fx.Node]()  # behind an obstacle, where shapes are known but not what they stand for
    for node in operations.nodes:
        try:
            values[node] = _read(state, shadow, node, values)
        except ObstacleError as obstacle:
            if obstacle.is_sure or not astray.intersection(node.all_input_nodes):
                obstacles.append(obstacle)
            astray.add(node)
            values[node] = _unread(state, node)
        if astray.intersection(node.all_input_nodes):
            astray.add(node)
    obstacles += [*_misused(state), *_unseen(state, shadow, operations)]
    if obstacles:
        raise InputError(f"network: {'; '.join(_grouped(obstacles))}")
    return _assemble(state)


def _read(state: Reading, shadow: nn.Module, node: fx.Node, values: dict[fx.Node, Read]) -> Read:
    if node.op == "placeholder":
        return _unread(state, node)  # without a shape: an argument left at its default
    if node.op == "output":
        given = [values[arg] for arg in node.all_input_nodes]
        state.fixed |= {value.tie for value in given if isinstance(value, Value)}
        state.use_numbers(node, given)
        return Number()
    return read(state, shadow, node, values)


def _unread(state: Reading, node: fx.Node) -> Read:
    """What stands for a value of which only the shape is known: its channels are never pruned."""
    shape = node.meta.get("shape", ())
    return Value((), state.new_tie(fixed=True), shape[1]) if len(shape) > 1 else Number()


def _prunable(state: Reading) -> dict[int, list[dict[str, Any]]]:
    """The convolutions of each channel set that can be pruned, in the order of their first ones."""
    fixed = {state.root(tie) for tie in state.fixed}
    layers: dict[int, list[dict[str, Any]]] = {}
    for node in state.nodes:
        root = state.root(node["tie"])
        if node["kind"] == CONV and root not in fixed:
            layers.setdefault(root, []).append(node)
    return layers


def _misused(state: Reading) -> Iterable[ObstacleError]:
    """Obstacles that show once it is known what can be pruned."""
    prunable = _prunable(state)
    for condition in state.conditions:
        roots = {state.root(tie) for tie in condition.ties}
        if roots & prunable.keys() and not (condition.unless_one and len(roots) == 1):
            yield condition.obstacle
    layers = {node["name"] for node in state.nodes if node["kind"] not in PLAIN}
    for name, (direct, _, _, node) in state.direct.items():
        layer, _, own = name.rpartition(".")
        if layer in layers and own in PER_CHANNEL:
            yield ObstacleError(node, f"{direct.label} is used directly in forward, at {{place}}, and by its own layer")


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
                found = f"layer {{place}} has a tensor '{own}' {list(tensor.shape)} that its forward does not use"
                yield ObstacleError(called[layer], f"{found}; delete it, and add it to the pruned network")


def _grouped(obstacles: Iterable[ObstacleError]) -> list[str]:
    """Texts of obstacles; of those that are alike, the first place and how many more there are."""
    places: dict[str, list[str]] = {}
    for obstacle in obstacles:
        places.setdefault(obstacle.text, []).append(_place(obstacle.node))
    return [
        text.replace("{place}", found[0] + (f" and {len(found) - 1} more" if len(found) > 1 else ""))
        for text, found in places.items()
    ]


def _assemble(state: Reading) -> Graph:
    """Number the groups in the order of their first layer and close the ties."""
    layers = _prunable(state)
    if not layers:
        raise InputError("network: no convolution has output channels that can be pruned")
    index = {root: number for number, root in enumerate(layers)}
    groups = (Group(g[0]["name"], tuple(n["name"] for n in g), g[0]["channels"]) for g in layers.values())
    nodes = []
    for node in state.nodes:
        ties: dict[str, int] = {"in_group": node.pop("in_tie"), "group": node.pop("tie")}
        of: dict[str, Any] = {key: index.get(state.root(tie)) for key, tie in ties.items()}
        nodes.append(Node(**node, **of))
    direct = []
    for name, (value, axis, tie, _) in state.direct.items():
        group = None if tie is None else index.get(state.root(tie))
        channels = 1 if group is None else value.shape[axis]
        if group is not None or value.parameters:
            direct.append(DirectTensor(name, axis, group, channels, value.parameters // channels))
    return Graph(tuple(nodes), tuple(state.edges), tuple(groups), tuple(direct))


def _told(operations: fx.Graph) -> list[str]:
    return [f"{node.op} {node.target} {node.args} {node.kwargs}" for node in operations.nodes]


def _check_training(shadow: nn.Module, in_training: fx.Graph, operations: fx.Graph, graph: Graph) -> None:
    """Raise `InputError` unless a network does to its channels in training what `graph` says, or a part of it."""
    evaluated = {node.target for node in operations.nodes if node.op == "call_module"}
    for node in in_training.nodes:
        is_new = node.op == "call_module" and node.target not in evaluated
        if is_new and list(shadow.get_submodule(str(node.target)).parameters()):
            raise InputError(
                f"network: layer {_place(node)} is called in training alone, so what it reads cannot be pruned; "
                "leave it out of the forward while the network is pruned"
            )
    try:
        found = _graph_of(shadow, in_training)
    except InputError as error:
        raise InputError(f"{error} (in training)") from error
    per_channel = {tensor.name for tensor in graph.direct if tensor.group is not None}
    for tensor in found.direct:
        if tensor.group is not None and tensor.name not in per_channel:
            raise InputError(f"network: '{tensor.name}' has a value for each channel, and is used in training alone")
    known = {node.name: node for node in graph.nodes}
    groups: dict[int | None, int | None] = {None: None}  # those in training: those in evaluation
    for part in found.nodes:
        planned = known.get(part.name, part)
        ties = ((part.in_group, planned.in_group), (part.group, planned.group))
        if any(groups.setdefault(trained, evaluated) != evaluated for trained, evaluated in ties):
            raise InputError(f"network: layer '{part.name}' is tied to other channels in training than in evaluation")
