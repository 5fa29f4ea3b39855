"""A forward as a graph of operations: a torch.fx trace that notes whose code asks for each."""

import operator
import os
import sys
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import torch
from torch import fx, nn

from sacp.errors import INTERRUPTS, InputError, shown, told
from sacp.tracing.layers import LAYERS, READERS_BY_NAME, computes_as, kind_name
from sacp.tracing.values import argument

# The folders of torch's code and of ours.
TORCH, OURS = (f"{Path(path).parent}{os.sep}" for path in (torch.__file__, __file__))


class _Tracer(fx.Tracer):
    """Notes for each operation which line of the user's code asks for it, and in which module.

    A layer of a kind of its own that computes what torch's kind computes is read as one of torch's.
    """

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Whether a module is read as a whole."""
        whole: bool = super().is_leaf_module(m, module_qualified_name) or kind_name(m) in READERS_BY_NAME
        return whole or any(isinstance(m, kind) and computes_as(m, kind) for kind in LAYERS)

    def create_proxy(self, *args: Any, **kwargs: Any) -> Any:
        """A value, or all parts of what `chunk` and `split` give, as many as are asked for."""
        proxy = super().create_proxy(*args, **kwargs)
        node = proxy.node
        number = argument(node, 1, "chunks") if node.target in ("chunk", torch.chunk) else None
        sizes = argument(node, 1, "split_size") if node.target in ("split", torch.split) else None
        number = len(sizes) if isinstance(sizes, (tuple, list)) else number
        if not isinstance(number, int):
            return proxy
        return tuple(
            super(_Tracer, self).create_proxy("call_function", operator.getitem, (proxy, part), {})
            for part in range(number)
        )

    def create_node(self, *args: Any, **kwargs: Any) -> fx.Node:
        """An operation, with the line and the module that ask for it."""
        node = super().create_node(*args, **kwargs)
        while node.name in self.root._modules and (node.op, node.target) != ("call_module", node.name):
            node._rename(f"{node.name}_")  # a function, or another call, may not have the name of a layer
        node.meta["line"] = _line(sys._getframe(1))
        node.meta["module"] = next(reversed(self.module_stack), "")
        return node


def _line(frame: FrameType | None) -> str:
    """The file and line of the innermost code that is neither torch's nor ours; an empty string if there is none."""
    while frame is not None and (frame.f_code.co_filename.startswith(TORCH) or frame.f_code.co_filename == __file__):
        frame = frame.f_back
    if frame is None or frame.f_code.co_filename.startswith(OURS):
        return ""
    return f"{os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno}"


def place(node: fx.Node) -> str:
    """Where a message says that an operation is: its layer, or its name and module, and the user's line."""
    line = f" ({node.meta['line']})" if node.meta.get("line") else ""
    if node.op == "call_module":
        return f"'{node.target}'{line}"
    module = f" of '{node.meta['module']}'" if node.meta.get("module") else ""
    return f"node '{node.name}'{module}{line}"


def symbolic(shadow: nn.Module) -> fx.Graph:
    """The operations of a network's forward; `InputError` if it cannot be traced or returns no tensor."""
    name = type(shadow).__name__
    try:
        operations = _Tracer().trace(shadow)
    except INTERRUPTS:
        raise
    except BaseException as error:  # a forward is the user's code: anything can be raised there
        line = _line_of(error.__traceback__)
        found = f"network: forward of {name} cannot be traced{mode(shadow)}{line}"
        raise InputError(f"{found} ({told(error)})") from error
    output = next(iter(reversed(operations.nodes)))
    if not output.all_input_nodes:
        found = f"returns {shown(output.args[0])}{mode(shadow)}"
        raise InputError(f"network: forward of {name} {found}, expected a tensor; does it end with `return`?")
    return operations


def _line_of(traceback: TracebackType | None) -> str:
    """Where the user's code was when it failed, as ` at file:line`; an empty string if it was not in it."""
    found = ""
    while traceback is not None:
        line = _line(traceback.tb_frame)
        is_users = line.startswith(f"{Path(traceback.tb_frame.f_code.co_filename).name}:")
        found = f" at {Path(traceback.tb_frame.f_code.co_filename).name}:{traceback.tb_lineno}" if is_users else found
        traceback = traceback.tb_next
    return found


def mode(network: nn.Module) -> str:
    """What a message says of a network that trains."""
    return " in training" if network.training else ""
