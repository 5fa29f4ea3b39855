"""The tensors of a network, with all that training on needs of them: which are frozen, and which are one."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from sacp.errors import InputError
from sacp.network.surgery import resized, tensors_of

WRITTEN = (
    torch.float64, torch.float32, torch.float16, torch.bfloat16,
    torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool,
)  # fmt: skip


CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}  # by the number of axes


@dataclass(frozen=True)
class State:
    """What a network has learned, by the names of its tensors."""

    tensors: Mapping[str, Tensor]  # parameters, buffers, and states of layers that are tensors
    frozen: Sequence[str] = ()  # parameters that are not trained
    tied: Sequence[Sequence[str]] = ()  # names of one tensor that several layers have
    channels_last: Sequence[str] = ()  # tensors that lie so in memory; kernels add in another order then


def state_of(network: nn.Module) -> State:
    """Copies of a network's tensors on the CPU, contiguous.

    Raises:
        InputError: a tensor cannot be written as it is, or shares its memory with another.
    """
    own = {**network.state_dict(keep_vars=True), **_not_persistent(network)}
    for name, value in own.items():
        if reason := _why_not_written(value):
            raise InputError(f"network: '{name}' {reason}")
    frozen = [name for name, value in network.named_parameters(remove_duplicate=False) if not value.requires_grad]
    copies = {name: value.detach().cpu().contiguous().clone() for name, value in own.items()}
    return State(copies, frozen, _tied(network), [name for name, value in own.items() if _is_channels_last(value)])


def with_state(network: nn.Module, state: State) -> nn.Module:
    """A copy of an unpruned network that has these tensors, and the sizes that follow from them.

    Raises:
        InputError: they are another network's.
    """
    outside = _not_persistent(network)
    for name in outside:
        if name not in state.tensors:
            raise InputError(f"weights do not fit the network: it has a buffer '{name}', the file has none")
    tensors = dict(state.tensors)
    for name in state.channels_last:
        if name not in tensors or tensors[name].dim() not in CHANNELS_LAST:
            raise InputError(f"'{name:.40}' is no tensor of images, expected one that can lie with its channels last")
        tensors[name] = tensors[name].contiguous(memory_format=CHANNELS_LAST[tensors[name].dim()])
    result = resized(network, {name: value for name, value in tensors.items() if name not in outside})
    for name in outside:
        _set(result, name, tensors[name])
    named = dict(_named(result))
    for name in (*state.frozen, *(name for names in state.tied for name in names)):
        if name not in named:
            raise InputError(f"the network has no tensor '{name:.40}'")
    for first, *others in state.tied:
        for name in others:
            _set(result, name, named[first])
    for name, parameter in result.named_parameters():
        if parameter.is_floating_point():  # no other is ever trained
            parameter.requires_grad_(name not in state.frozen)
    return result


def _is_channels_last(tensor: Tensor) -> bool:
    layout = CHANNELS_LAST.get(tensor.dim())
    return layout is not None and tensor.is_contiguous(memory_format=layout) and not tensor.is_contiguous()


def _named(network: nn.Module) -> Iterable[tuple[str, Tensor]]:
    """Parameters and buffers under all their names."""
    yield from network.named_parameters(remove_duplicate=False)
    yield from network.named_buffers(remove_duplicate=False)


def _not_persistent(network: nn.Module) -> dict[str, Tensor]:
    """Buffers that a network keeps out of its own state."""
    return {
        f"{path}.{own}".removeprefix("."): tensor
        for path, module in network.named_modules()
        for own, tensor in tensors_of(module)
        if own in module._non_persistent_buffers_set
    }


def _set(network: nn.Module, name: str, tensor: Tensor) -> None:
    path, _, own = name.rpartition(".")
    setattr(network.get_submodule(path), own, tensor)


def _why_not_written(value: Any) -> str | None:
    """What keeps a value of a network's state out of the file, if anything does."""
    if not isinstance(value, Tensor):
        return f"is a state of its layer's own, a {type(value).__name__}; only tensors are saved"
    if is_lazy(value):
        return "has no size yet; run the network once"
    if type(value.detach()) is not Tensor:
        return f"is a {type(value).__name__}, a tensor of another kind; only plain ones are saved"
    if value.is_meta:
        return "has no values (it is on the device 'meta')"
    if value.layout != torch.strided or value.dtype not in WRITTEN:
        return f"has the layout {value.layout} and dtype {value.dtype}; only dense floats, integers and bools are saved"
    return None


def _tied(network: nn.Module) -> list[list[str]]:
    """Names of tensors that several layers have as one; `InputError` for others that lie in one place of the memory."""
    places: dict[int, list[tuple[str, Tensor]]] = {}
    for name, tensor in _named(network):
        if tensor.numel():
            places.setdefault(tensor.data_ptr(), []).append((name, tensor))
    for (first, one), *others in places.values():
        for name, other in others:
            if other is not one:
                raise InputError(f"network: '{first}' and '{name}' share their memory; make them one tensor or two")
    found = [[name for name, _ in each] for each in places.values()]
    return [names for names in found if len(names) > 1]
