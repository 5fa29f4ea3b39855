"""What `network.json` of a pruned network says, checked where it is read: a seal keeps out damage, not odd values."""

import math
from collections.abc import Callable, Collection, Mapping
from typing import Any

from torch import Tensor, nn

from sacp.errors import InputError
from sacp.network.spec import NetworkSpec
from sacp.network.surgery import weight_axes

LARGEST = 1_000_000  # of what a network's input and output have
LONGEST = 255  # letters of a network's name
WIDEST = 16  # factor on all widths, as in a config
ABSENT = object()


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= LONGEST


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 < value <= LARGEST


def _is_factor(value: Any) -> bool:
    return type(value) in (int, float) and 0 < value <= WIDEST


def _are_numbers(value: Any) -> bool:
    return isinstance(value, list) and all(type(each) in (int, float) and -math.inf < each < math.inf for each in value)


def _are_deviations(value: Any) -> bool:
    return _are_numbers(value) and all(each >= 0 for each in value)


def _is_resize(value: Any) -> bool:
    return _is_size(value) or (isinstance(value, list) and len(value) == 2 and all(map(_is_size, value)))


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _are_names(value: Any) -> bool:
    return isinstance(value, list) and all(_are_texts(each) and each for each in value)


def _is_text_or_none(value: Any) -> bool:
    return value is None or _is_name(value)


def _has_texts(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(each, str) for each in value.values())


def _are_arguments(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(each, bool) for each in value.values())


def _is_option(value: Any) -> bool:
    if isinstance(value, list):
        return all(not isinstance(each, list) and _is_option(each) for each in value)
    is_small = not isinstance(value, int) or abs(value) <= LARGEST
    return isinstance(value, bool | int | float | str | None) and is_small


def _are_options(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(options, dict) and all(map(_is_option, options.values())) for options in value.values()
    )


Kind = tuple[str, Callable[[Any], bool]]
SIZE = f"an integer from 1 to {LARGEST}"
KINDS: dict[str, Kind] = {  # an object stands before what is in it
    "network": ("an object", _is_object),
    "network.name": (f"a text of {LONGEST} letters at most", _is_name),
    "network.width": (f"a number above 0, {WIDEST} at most", _is_factor),
    "network.in_channels": (SIZE, _is_size),
    "network.image_size": (SIZE, _is_size),
    "network.num_classes": (SIZE, _is_size),
    "widths": ("an object", _is_object),
    "mean": ("a list of numbers", _are_numbers),
    "std": ("a list of numbers, none below 0", _are_deviations),
    "resize": (f"{SIZE}, or two", _is_resize),
    "crop": (SIZE, _is_size),
    "metrics": ("an object", _is_object),
    "metrics.failure": ("a text", _is_text),
}
OF_SAVED: dict[str, Kind] = {
    "module": ("an object", _is_object),
    "module.class": ("a text", _is_text),
    "module.builder": (f"a text of {LONGEST} letters at most, or null", _is_text_or_none),
    "module.arguments": ("an object of booleans", _are_arguments),
    "module.options": (f"an object of objects of plain values, numbers of {LARGEST} at most", _are_options),
    "layers": ("an object of texts", _has_texts),
    "frozen": ("a list of names", _are_texts),
    "tied": ("a list of lists of names", _are_names),
    "channels_last": ("a list of names", _are_texts),
    "mean": ("a list of numbers", _are_numbers),
    "std": ("a list of numbers, none below 0", _are_deviations),
    "resize": (f"{SIZE}, or two", _is_resize),
    "crop": (SIZE, _is_size),
}
PREPROCESSING = ("mean", "std", "resize", "crop")
MAY_LACK = ("widths", *PREPROCESSING, "metrics", "metrics.failure")


def check_saved(description: Mapping[str, Any]) -> None:
    """Raise `InputError` unless a description of `sacp.save` has the form that it writes; names the key."""
    _check_kinds(description, OF_SAVED, ("module.arguments", "module.options", *PREPROCESSING))
    if description["module"]["builder"] is not None and not {"arguments", "options"} <= description["module"].keys():
        raise InputError("module: has a builder, expected its arguments and options too")


def _check_kinds(description: Mapping[str, Any], kinds: Mapping[str, Kind], may_lack: Collection[str]) -> None:
    for key, (expected, is_right) in kinds.items():
        value = _at(description, key)
        if value is ABSENT and key not in may_lack:
            raise InputError(f"{key}: missing; expected {expected}")
        if value is not ABSENT and not is_right(value):
            raise InputError(f"{key}: found {value!r:.40}, expected {expected}")


def spec_of(description: Mapping[str, Any]) -> NetworkSpec:
    """What builds the unpruned network.

    Raises:
        InputError: something is missing, unknown, or has another form than it should; names the key.
    """
    _check_kinds(description, KINDS, MAY_LACK)
    for name in description["network"]:
        if f"network.{name}" not in KINDS:
            raise InputError(f"network.{name:.40}: unknown; expected what builds a network alone")
    spec = NetworkSpec(**description["network"])
    for key in ("mean", "std"):
        if len(description.get(key, range(spec.in_channels))) != spec.in_channels:
            raise InputError(
                f"{key}: found {len(description[key])} numbers, expected one for each of {spec.in_channels} channels"
            )
    return spec


def _at(description: Mapping[str, Any], key: str) -> Any:
    """What stands under a key `object.name`; `ABSENT` if nothing does."""
    *above, last = key.split(".")
    for name in above:
        description = description.get(name, {})
    return description.get(last, ABSENT)


def check_widths(description: Mapping[str, Any], network: nn.Module) -> None:
    """Raise `InputError` unless the layers of a network with its weights are as wide as its description says."""
    layers = dict(network.named_modules())
    for name, width in description.get("widths", {}).items():
        layer = layers.get(name)
        weight = getattr(layer, "weight", None)
        found = weight.shape[weight_axes(layer)[0]] if layer is not None and isinstance(weight, Tensor) else None
        if found is None:
            raise InputError(f"widths.{name:.40}: the network has no layer of this name")
        if type(width) is not int or width != found:
            raise InputError(f"widths.{name:.40}: found {width!r:.40}, expected {found} as the layer's weights have it")
