"""Calls that Python refuses, in the words of the functions that users call."""

import inspect
from collections.abc import Callable, Iterable

from sacp.errors import InputError, nearest, one_line

OTHER_WORDS = {"macs": "flops", "params": "parameters", "input_shape": "example", "shape": "example"}


def mistake(function: Callable[..., object], named: Iterable[str], error: TypeError) -> InputError:
    """An argument that is not there, with that which may be meant, or one that is wanting.

    Args:
        function: what was called.
        named: arguments that were given by name.
        error: what Python says.
    """
    known = [*inspect.signature(function).parameters]
    unknown = next((name for name in named if name not in known), None)
    if unknown is None:
        return InputError(one_line(error))
    meant = OTHER_WORDS.get(unknown)
    hint = f" (did you mean '{meant}'?)" if meant in known else nearest(unknown, known)
    return InputError(f"{unknown}: {function.__name__} has no such argument{hint}; known: {', '.join(known)}")
