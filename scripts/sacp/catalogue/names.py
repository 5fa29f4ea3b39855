"""Looking up a name: an entry, or one made for an import path; a name that is neither is refused."""

from collections.abc import Callable, Mapping
from typing import TypeVar

from sacp import imports
from sacp.errors import InputError, nearest

Entry = TypeVar("Entry")


def entry(name: str, known: Mapping[str, Entry], what: str, imported: Callable[[str], Entry] | None = None) -> Entry:
    """The entry of a name.

    Args:
        name: as a config has it.
        known: entries by name.
        what: what the names stand for, for the message.
        imported: makes an entry of an import path, where one may stand for a name.

    Raises:
        InputError: there is no such entry.
    """
    if name in known:
        return known[name]
    if imported is not None and imports.is_path(name):
        return imported(name)
    path = " or an import path 'module:function'" if imported else ""
    raise InputError(f"unknown {what} '{name}'{nearest(name, known)}; known: {', '.join(known)}{path}")
