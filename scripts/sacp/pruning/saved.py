"""`network.json` of any network in memory, as `sacp.save` writes it: what builds it, and what its layers are."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from inspect import signature
from typing import Any

from torch import Tensor, nn

from sacp.errors import InputError
from sacp.network.architectures import module_of
from sacp.pruning.origin import Origin, origin_of, rebuilt
from sacp.pruning.state import State, with_state

MODULE = "module"  # the key that only these descriptions have
TORCH = "torch.nn."


def description_of(network: nn.Module, state: State) -> dict[str, Any]:
    """What a network is, in JSON: its class for the reader, its builder if it is known, its layers."""
    origin = origin_of(network, state)
    kind = {"class": f"{type(network).__module__}.{type(network).__qualname__}"}
    return {
        MODULE: kind | ({"builder": None} if origin is None else asdict(origin)),
        "layers": layers(network),
        "frozen": list(state.frozen),
        "tied": [list(names) for names in state.tied],
        "channels_last": list(state.channels_last),
    }


def layers(network: nn.Module) -> dict[str, str]:
    """Every layer by name: one of torch's with its options, as it is printed; of another class, the class alone."""
    return {name: _told(module) for name, module in network.named_modules(remove_duplicate=False)}


def _told(module: nn.Module) -> str:
    kind = type(module)
    return f"{kind.__qualname__}({module.extra_repr()})" if kind.__module__.startswith(TORCH) else kind.__qualname__


def network_of(
    description: Mapping[str, Any], tensors: Mapping[str, Tensor], network: Callable[..., nn.Module] | None
) -> nn.Module:
    """The network that was saved.

    Args:
        description: what its `network.json` says.
        tensors: those of its `network.safetensors`.
        network: for a network of the user's own, the function that returns the unpruned one.

    Raises:
        InputError: the function is missing or gives another network.
    """
    state = State(tensors, *(description[key] for key in ("frozen", "tied", "channels_last")))
    module = description[MODULE]
    if network is not None:
        result = with_state(_called(network), state)
    elif module["builder"] is None:
        raise InputError(
            f"the network is a '{module['class']}'; pass a function that returns the unpruned one: "
            "sacp.load(folder, network=...), or --network"
        )
    else:
        result = rebuilt(Origin(module["builder"], module["arguments"], module["options"]), state)
    _check_layers(description["layers"], layers(result))
    return result


def _called(network: Callable[..., nn.Module]) -> nn.Module:
    if isinstance(network, nn.Module) or not callable(network):
        found = type(network).__name__
        raise InputError(f"network: found a {found}, expected a function that returns the unpruned network")
    try:
        signature(network).bind()
    except TypeError as error:
        raise InputError(f"network: it is called without arguments ({error}); pass lambda: build(...)") from None
    except ValueError:  # of a function that is not written in Python
        pass
    return module_of(network(), "network")


def _check_layers(saved: Mapping[str, str], found: Mapping[str, str]) -> None:
    """Raise `InputError` unless the layers of torch's are those that were saved, with the same options."""
    for name in sorted(saved.keys() | found.keys()):
        here, there = found.get(name, "no such layer"), saved.get(name, "no such layer")
        # Classes of the user's may be renamed: what they are called is for the reader.
        if here != there and ("(" in here + there or name not in found or name not in saved):
            raise InputError(f"layer '{name:.80}': the network that is built has {here:.80}, the saved one {there:.80}")
