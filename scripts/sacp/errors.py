"""The one exception that means: the user can mend this; and the one that means: a signal asks for the end."""

import difflib
import re
from collections.abc import Collection, Iterable

COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")  # and other codes that libraries write for terminals


class InputError(Exception):
    """A mistake in the input. Its message is one line: file or key, what was found, what would be right."""


class TooLargeError(InputError):
    """A problem whose exact solution would take more than the bounds set to it."""


class Stopped(SystemExit):
    """The end that a signal asks for, with status 128 + signal."""


INTERRUPTS = (KeyboardInterrupt, Stopped)  # pass wherever a user's code may raise anything


def nearest(word: str, known: Iterable[str]) -> str:
    """Return ` (did you mean 'x'?)` for the known word closest to `word`, or an empty string."""
    matches = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f" (did you mean '{matches[0]}'?)" if matches else ""


def one_line(error: BaseException) -> str:
    """The message of an exception, on one line and not longer than a line."""
    return " ".join(COLOURS.sub("", str(error)).split())[:160]


def listed(names: Collection[object], most: int = 3) -> str:
    """The first of some names, and how many more there are."""
    first = ", ".join(str(name)[:80] for name in list(names)[:most])
    return first if len(names) <= most else f"{first} and {len(names) - most} more"


def shown(value: object) -> str:
    """A value as a message shows it, on one line and not longer than a line."""
    return " ".join(repr(value).split())[:160]


def out_of_memory(error: BaseException) -> bool:
    """Whether memory is wanting: Python's and NumPy's, torch's on a GPU, or torch's on a CPU, which has no name."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "DefaultCPUAllocator" in str(error)
    )


def told(error: BaseException) -> str:
    """The kind of an exception and its message, if it has one, on one line: of those that a user's code raises."""
    return f"{type(error).__name__}: {one_line(error)}".removesuffix(": ")
