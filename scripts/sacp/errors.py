"""The one exception that means: the user can mend this."""

import difflib
from collections.abc import Iterable


class InputError(Exception):
    """A mistake in the input. Its message is one line: file or key, what was found, what would be right."""


def nearest(word: str, known: Iterable[str]) -> str:
    """Return ` (did you mean 'x'?)` for the known word closest to `word`, or an empty string."""
    matches = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f" (did you mean '{matches[0]}'?)" if matches else ""


def one_line(error: Exception) -> str:
    """The message of an exception, on one line and not longer than a line."""
    return " ".join(str(error).split())[:160]
