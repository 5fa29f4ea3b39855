"""A torch.fx trace of a network, in evaluation and in training, read operation by operation."""

import copy
import math
import operator
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.overrides import TorchFunctionMode

from sacp.errors import INTERRUPTS, InputError, told
from sacp.network.cost import Cost, cost_of_graph
from sacp.network.graph import PLAIN, Graph
from sacp.network.surgery import PER_CHANNEL, check_layers, copied, tensors_of
from sacp.tracing.groups import Grouping, faults, graph_of, is_layer, ungrouped
from sacp.tracing.layers import LAYERS, computes_as
from sacp.tracing.operations import PERMUTATIONS, is_elementwise, read
from sacp.tracing.values import Condition, Labels, Number, ObstacleError, Read, Reading, Several, Value, argument

Shape = tuple[int, ...]
SHAPE = "[1, C, H, W], or [1, ...] of other inputs"
TORCH = f"{Path(torch.__file__).parent}{os.sep}"  # the folder of its code


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
    is_sizes = len(sizes) > 1 and all(isinstance(size, int) and size > 0 for size in sizes)
    return is_sizes and (len(sizes) == 4 or sizes[0] == 1)


def trace(network: nn.Module, input_shape: Shape) -> Graph:
    """Trace `network` on an input of `input_shape`, [1, C, H, W] or another, and return its graph.

    The network is not changed.

    Raises:
        InputError: the forward cannot be traced, fails on the shape, or does to channels that could be pruned what is
            not understood. All obstacles that are found are named.
    """
    return traced(network, input_shape).graph


def count(network: nn.Module, input_shape: Shape) -> Cost:
    """Count a built network by tracing it, whatever made it; it need not have anything that can be pruned."""
    return cost_of_graph(_traced(network, input_shape).graph)


def traced(network: nn.Module, input_shape: Shape) -> Traced:
    """Trace a network as `trace` does; return what was traced as well."""
    found = _traced(network, input_shape)
    if not found.graph.groups:
        raise InputError("; ".join(["network: no layer has output channels that can be pruned", *found.stays]))
    return found


def _traced(network: nn.Module, input_shape: Shape) -> Traced:
    shadow, operations = _evaluated(network, input_shape)
    with torch.random.fork_rng(devices=[]):  # a forward may draw
        in_training = _symbolic(shadow.train())
        _note_shapes(shadow, in_training, input_shape)
    passes = [operations] if _told(in_training) == _told(operations) else [operations, in_training]
    return _read_all(shadow.eval(), passes)


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
        _note_shapes(shadow.train(), original.in_training, input_shape)
    is_same = original.in_training is original.operations
    passes = [operations] if is_same else [operations, original.in_training]
    state, obstacles = _read_passes(shadow.eval(), passes)
    if obstacles:
        raise InputError(f"network: {'; '.join(_grouped(obstacles))}")
    return Traced(shadow, operations, passes[-1], ungrouped(state), ())


def _evaluated(network: nn.Module, input_shape: Shape) -> tuple[nn.Module, fx.Graph]:
    if not is_shape(input_shape):
        raise InputError(f"input_shape: found {input_shape}, expected {SHAPE}")
    check_layers(network)
    shadow = _shadow(network).eval()
    with torch.random.fork_rng(devices=[]):
        operations = _symbolic(shadow)
        _note_shapes(shadow, operations, input_shape)
    return shadow, operations


def _shadow(network: nn.Module) -> nn.Module:
    """A copy to trace, whose parameters are shared where they lie on the CPU or nowhere."""
    tensors = [*network.parameters(), *network.buffers()]
    # On the meta device nothing would be computed, but torch loads its compiler for it: a second and more, in each job.
    device = "meta" if any(tensor.is_meta for tensor in tensors) else "cpu"
    shadow = copied(network)
    return shadow if all(tensor.device.type == device for tensor in tensors) else copy.deepcopy(shadow).to(device)


class _Tracer(fx.Tracer):
    """Notes for each operation which line of the user's code asks for it, and in which module.

    A layer of a kind of its own that computes what torch's kind computes is read as one of torch's.
    """

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Whether a module is read as a whole."""
        whole: bool = super().is_leaf_module(m, module_qualified_name)
        return whole or any(isinstance(m, kind) and computes_as(m, kind) for kind in LAYERS)

    def iter(self, obj: fx.Proxy) -> Iterator[Any]:
        """Iterate over the parts that `chunk` or `split` gives, as many as are asked for."""
        node = obj.node
        number = argument(node, 1, "chunks") if node.target in ("chunk", torch.chunk) else None
        sizes = argument(node, 1, "split_size") if node.target in ("split", torch.split) else None
        number = len(sizes) if isinstance(sizes, (tuple, list)) else number
        if not isinstance(number, int):
            return super().iter(obj)
        return (operator.getitem(obj, part) for part in range(number))

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
    """Notes the shapes of all tensors, as torch's `ShapeProp` does, but loads no symbolic algebra, half a second.

    Of a function that is not torch's, it counts the multiply-accumulates of its linear layers and convolutions.
    """

    def run_node(self, n: fx.Node) -> Any:
        """Run a node; note the shape of the tensor that it gives, or how many it gives."""
        self.node = n
        for note in ("shape", "length", "macs"):
            n.meta.pop(note, None)
        if n.op == "call_function" and not _is_torchs(n.target) and not is_elementwise(n):
            with _Macs() as macs:
                result = super().run_node(n)
            n.meta["macs"] = macs.total
        else:
            result = super().run_node(n)
        if isinstance(result, Tensor):
            n.meta["shape"] = tuple(result.shape)
        elif isinstance(result, (tuple, list)) and any(isinstance(part, Tensor) for part in result):
            n.meta["length"] = len(result)
        return result

    def call_method(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a method; a view of no images is a flattening."""
        sizes = args[1] if len(args) == 2 and isinstance(args[1], (tuple, list)) else args[1:]
        if target in ("view", "reshape") and tuple(sizes) == (0, -1) and not kwargs:
            return args[0].flatten(1)  # torch cannot tell what -1 means then
        return super().call_method(target, args, kwargs)


class _Macs(TorchFunctionMode):
    """Counts the multiply-accumulates of linear layers and convolutions."""

    total = 0

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Call a function of torch."""
        result = func(*args, **(kwargs or {}))
        if func in (F.linear, F.conv1d, F.conv2d, F.conv3d):
            weight = args[1] if len(args) > 1 else (kwargs or {})["weight"]
            self.total += result.numel() * math.prod(weight.shape[1:])
        return result


def _is_torchs(function: Any) -> bool:
    """Whether a function is torch's or Python's own."""
    return str(getattr(function, "__module__", "")).partition(".")[0] in (
        "torch",
        "_operator",
        "builtins",
        "math",
        "None",
    )


def _note_shapes(shadow: nn.Module, operations: fx.Graph, input_shape: Shape) -> None:
    """Note the shapes of all tensors, by no images, which takes no time, or by some where the forward wants them."""
    batches = (0, 1, 2) if shadow.training else (0, 1)  # a batch norm in training wants 2
    for batch in batches:
        # In training batch norms note what they see: in a copy, since the network is compared with the pruned one.
        run = _Shapes(copied(shadow) if shadow.training else shadow, graph=operations)
        run.extra_traceback = False
        try:
            with torch.no_grad():
                run.run(images_like(shadow, (batch, *input_shape[1:])))
            if batch or not _mixes_images(operations):
                return
        except INTERRUPTS:
            raise
        except BaseException as error:
            if batch == batches[-1]:
                found = f"fails on an input of shape {list(input_shape)}{_mode(shadow)}, at {_place(run.node)}"
                raise InputError(f"network: {type(shadow).__name__} {found} ({told(error)})") from error


def _mixes_images(operations: fx.Graph) -> bool:
    """Whether no images tell too little: a function is counted, or more than images lie along a tensor's first axis."""
    if any("macs" in node.meta for node in operations.nodes):
        return True
    for node in operations.nodes:
        reads = [arg.meta["shape"] for arg in node.all_input_nodes if "shape" in arg.meta]
        if "shape" not in node.meta or not reads or node.op == "call_module":
            continue
        before, after = reads[0], node.meta["shape"]
        is_moved = node.target in (*PERMUTATIONS, "view", "reshape", torch.reshape, "flatten", torch.flatten)
        if is_moved and (before[:1] != after[:1] or math.prod(before[1:]) != math.prod(after[1:])):
            return True
    return False


def images_like(network: nn.Module, shape: tuple[int, ...]) -> Tensor:
    """Zeros of a shape, of the type and on the device that a network's parameters have."""
    like = next((each for each in network.parameters() if each.is_floating_point()), torch.zeros(()))
    return torch.zeros(shape, device=like.device, dtype=like.dtype)


def _mode(network: nn.Module) -> str:
    return " in training" if network.training else ""


def _read_all(shadow: nn.Module, passes: Sequence[fx.Graph]) -> Traced:
    """Read what a network does, in training as well if that is another thing; `InputError` names every obstacle."""
    state, obstacles = _read_passes(shadow, passes)
    grouping = Grouping(state)
    obstacles += [*faults(state, grouping), *_unseen(state, shadow, passes[0])]
    if obstacles:
        raise InputError(f"network: {'; '.join(_grouped(obstacles))}")
    reasons = [*state.stays, *(() if grouping.count else state.conditions)]
    stays = tuple(_grouped(each.obstacle for each in reasons if _holds_layers(state, each)))
    return Traced(shadow, passes[0], passes[-1], graph_of(state, grouping), stays)


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


def _holds_layers(state: Reading, condition: Condition) -> bool:
    """Whether a condition speaks of what a layer gives."""
    given = np.concatenate([np.zeros(1, np.int64), *(node["outputs"] for node in state.nodes if is_layer(node))])
    return bool(np.isin(np.concatenate([np.zeros(0, np.int64), *condition.labels]), given[given > 0]).any())


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
    tensors = [tensor for value in given for tensor in (value.values if isinstance(value, Several) else (value,))]
    return (*numbers, *(each.labels for each in tensors if isinstance(each, Value) and each.labels is not None))


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
        places.setdefault(obstacle.text, []).append(_place(obstacle.node))
    return [
        text.replace("{place}", found[0] + (f" and {len(found) - 1} more" if len(found) > 1 else ""))
        for text, found in places.items()
    ]


def _told(operations: fx.Graph) -> list[str]:
    return [f"{node.op} {node.target} {node.args} {node.kwargs}" for node in operations.nodes]
