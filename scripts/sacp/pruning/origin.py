"""Networks that can be built anew without the user's code: torchvision's, and those of `network.architectures`.

A pruned network has the layers of the one that it was, in other sizes, and those follow from its weights. What else
its layers differ in from what the builder gives, as the p of a dropout, is told beside the builder's name.
"""

import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from sacp.errors import InputError, one_line, told
from sacp.network import architectures
from sacp.network.spec import NetworkSpec
from sacp.pruning.state import State, with_state

PLAIN = (bool, int, float, str, type(None))
INTERNAL = frozenset(vars(nn.Module()))  # of modules of all kinds; what counts of it is compared in other ways
OURS, TORCHVISION = "sacp", "torchvision"
# Builders' arguments that add or leave out layers; all sizes follow from the weights.
VARIANTS: tuple[dict[str, bool], ...] = ({}, {"aux_logits": False}, {"aux_loss": True})

Options = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Origin:
    """What builds a network: `torchvision:resnet18`, or `sacp:resnet20`."""

    builder: str
    arguments: Mapping[str, bool]
    options: Options  # by layer: plain values of its attributes that differ from the builder's


def origin_of(network: nn.Module, state: State) -> Origin | None:
    """What gives the network again, if that is known: of several, what differs least from it."""
    found = []
    for builder, arguments in _candidates(network):
        options = _options(network, Origin(builder, arguments, {}), state)
        if options is not None:
            found.append(Origin(builder, arguments, options))
        if options == {}:
            break
    return min(found, key=lambda origin: sum(map(len, origin.options.values())), default=None)


def rebuilt(origin: Origin, state: State) -> nn.Module:
    """The network that was saved; `InputError` if it is unknown, or the weights are another's."""
    family, _, name = origin.builder.partition(":")
    builders = {OURS: _own, TORCHVISION: _torchvision}
    if family not in builders:
        raise InputError(f"the builder '{origin.builder:.40}' is unknown; expected one of torchvision or sacp")
    builder = builders[family](name)
    try:
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings(action="ignore"), Unfilled():
            network = builder(**origin.arguments)
    except (TypeError, ValueError, RuntimeError) as error:  # does not take these arguments, or must have memory
        raise InputError(f"the builder '{origin.builder}' fails ({told(error)})") from None
    result = with_state(network, state)
    for path, options in origin.options.items():
        for key, value in options.items():
            _set_option(result, path, key, value)
    return result


class Unfilled(TorchFunctionMode):
    """While it is entered, layers are made without memory: the file's weights take the place of all.

    The device `meta` for all that is computed would be too much: some builders compute their sizes with tensors.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run a function of torch; `torch.empty`, by which layers get their weights, on the device `meta`."""
        kwargs = dict(kwargs or {})
        if func is torch.empty:
            kwargs["device"] = "meta"
        return func(*args, **kwargs)


def _own(name: str) -> Callable[..., nn.Module]:
    architectures.check_name(name)
    if ":" in name:
        raise InputError(f"the builder '{name:.40}' is unknown; expected a name of sacp's networks")
    return lambda: architectures.build(NetworkSpec(name, 1.0, 3, 32, 10))


def _torchvision(name: str) -> Callable[..., nn.Module]:
    """A builder of torchvision's, without published weights; from its own list, so that no name imports anything."""
    try:
        from torchvision.models import get_model_builder, list_models
    except ImportError as error:
        raise InputError(
            f"the network is torchvision's '{name:.40}'; install torchvision ({one_line(error)})"
        ) from None
    if name not in list_models():
        raise InputError(f"torchvision has no network '{name:.40}'; install the version that the network was made with")
    builder = get_model_builder(name)
    return partial(builder, **{key: None for key in inspect.signature(builder).parameters if key.startswith("weights")})


def _candidates(network: nn.Module) -> Iterator[tuple[str, Mapping[str, bool]]]:
    """Builders that may give a network of this class, with their arguments."""
    kind = type(network)
    if kind in (architectures.VGG, architectures.ResNet):
        names = [f"vgg{depth}" for depth in architectures.VGG_PLANS]
        if isinstance(network, architectures.ResNet):
            blocks = len(list(next(network.stages.children(), network).children()))
            names = [f"resnet{depth}" for depth in (*architectures.RESNET_BLOCKS, 6 * blocks + 2)]
        yield from ((f"{OURS}:{name}", {}) for name in names)
    elif kind.__module__.startswith("torchvision.models."):
        from torchvision.models import get_model_builder, list_models

        near = [name for name in list_models() if get_model_builder(name).__module__ == kind.__module__]
        for arguments in VARIANTS:
            takes = {*inspect.signature(kind).parameters}
            for name in near:
                if arguments.keys() <= takes | {*inspect.signature(get_model_builder(name)).parameters}:
                    yield f"{TORCHVISION}:{name}", arguments


def _options(network: nn.Module, origin: Origin, state: State) -> dict[str, dict[str, Any]] | None:
    """What else a network differs in from what its origin gives; None if that cannot be written."""
    try:
        other = rebuilt(origin, state)
    except InputError:  # another network, or a builder that does not take these arguments
        return None
    mine, theirs = (dict(each.named_modules(remove_duplicate=False)) for each in (network, other))
    if list(mine) != list(theirs):
        return None
    found: dict[str, dict[str, Any]] = {}
    for path, module in mine.items():
        if type(module) is not type(theirs[path]) or _has_hooks(module):
            return None
        for key in sorted((vars(module).keys() | vars(theirs[path]).keys()) - INTERNAL):
            value, given = (getattr(each, key, None) for each in (module, theirs[path]))
            if _same(value, given):
                continue
            if not _is_option(value) or type(value) is not type(given):
                return None
            found.setdefault(path, {})[key] = list(value) if isinstance(value, tuple) else value
    return found


def _has_hooks(module: nn.Module) -> bool:
    """Whether something runs when a module is called that its class does not say."""
    return any(hooks for name, hooks in vars(module).items() if name in INTERNAL and name.endswith("_hooks"))


def _is_option(value: Any) -> bool:
    """Whether JSON holds a value as it is: a plain one, or a list or a tuple of plain ones."""
    return type(value) in PLAIN or (type(value) in (list, tuple) and all(type(each) in PLAIN for each in value))


def _same(one: Any, other: Any) -> bool:
    """Whether two attributes of modules are certainly equal."""
    if type(one) is not type(other):
        return False
    if isinstance(one, Tensor):
        return one.is_meta == other.is_meta and (one.is_meta or torch.equal(one, other))
    if isinstance(one, partial):
        return _same([one.func, one.args, one.keywords], [other.func, other.args, other.keywords])
    if isinstance(one, dict):
        return _same([*one.items()], [*other.items()])
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    return one is other or (type(one) in PLAIN and one == other)


def _set_option(network: nn.Module, path: str, key: str, value: Any) -> None:
    """Give an attribute of a layer its value; `InputError` unless it has one of this form already."""
    layer = dict(network.named_modules(remove_duplicate=False)).get(path)
    known = vars(layer).get(key) if layer is not None else None
    value = tuple(value) if isinstance(known, tuple) and isinstance(value, list) else value
    if layer is None or key in INTERNAL or type(value) is not type(known) or not (_is_option(value)):
        raise InputError(f"the layer '{path:.40}' has no option '{key:.40}' of this form")
    setattr(layer, key, value)
