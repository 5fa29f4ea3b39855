"""The one exception that means: the user can mend this; and the one that means: a signal asks for the end."""

import difflib
import re
from collections.abc import Collection, Iterable

COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")  # and other codes that libraries write for terminals
ADDRESSES = re.compile(r"(?: object)? at 0x[0-9a-fA-F]+|(?<=<)_io\.")  # of objects, which say nothing to a reader
ASKED = re.compile(r"allocate (\d[\d.]* ?[A-Za-z]+)")  # for how much memory, as NumPy and torch say it
LINE = 160  # characters of another's words in a message


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
    return _line(str(error))


def _line(text: str) -> str:
    """A text on one line, without codes and addresses; what is too long ends after a word, in three points."""
    line = " ".join(ADDRESSES.sub("", COLOURS.sub("", text)).split())
    if len(line) <= LINE:
        return line
    words = line[: LINE - 3].rpartition(" ")[0]
    return f"{words if len(words) > LINE // 2 else line[: LINE - 3]}..."


def listed(names: Collection[object], most: int = 3) -> str:
    """The first of some names, and how many more there are."""
    first = ", ".join(str(name)[:80] for name in list(names)[:most])
    return first if len(names) <= most else f"{first} and {len(names) - most} more"


def shown(value: object) -> str:
    """A value as a message shows it, on one line and not longer than a line."""
    return _line(repr(value))


def out_of_memory(error: BaseException) -> bool:
    """Whether memory is wanting: Python's and NumPy's, torch's on a GPU, or torch's on a CPU, which has no name."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "DefaultCPUAllocator" in str(error)
    )


def asked(error: BaseException) -> str:
    """For how much memory an exception says that there was no room, or an empty string."""
    found = ASKED.search(str(error))
    return f" (asked for: {found[1]})" if found else ""


def told(error: BaseException) -> str:
    """The kind of an exception and its message, if it has one, on one line: of those that a user's code raises."""
    return f"{type(error).__name__}: {one_line(error)}".removesuffix(": ")
