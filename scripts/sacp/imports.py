"""What a config names by an import path, `module:name`: the library's own functions and the user's."""

import importlib
import inspect
import os
import sys
import sysconfig
import traceback
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sacp.errors import INTERRUPTS, InputError, one_line, told

OURS = (str(Path(__file__).parent) + os.sep, "<frozen")  # how the names of files begin that are no user's
STANDARD = sysconfig.get_path("stdlib") + os.sep
INSTALLED = ("site-packages", "dist-packages")


def search_first(folder: Path) -> None:
    """Let Python processes that this one starts look for modules in a folder first."""
    known = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path and path != str(folder)]
    os.environ["PYTHONPATH"] = os.pathsep.join([str(folder), *known])


def search_last(*folders: Path) -> None:
    """Let this process look for modules in folders last, unless PYTHONPATH has them.

    Snakemake, or `python -m`, looks first in the folder that it was started in and in those of its files; the scripts
    of its jobs look there last. What is planned must be of the module that will run.
    """
    named = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    for folder in map(str, folders):
        if folder in sys.path and folder not in named:
            sys.path[:] = [*(path for path in sys.path if path != folder), folder]


def is_path(name: str) -> bool:
    """Whether a name is an import path, `module:name`, of Python's identifiers in whatever script."""
    module, _, member = name.partition(":")
    return all(part.isidentifier() for part in (*module.split("."), member))


def load(path: str) -> Any:
    """Import what a path names. All of it may be the user's code: anything can be raised there.

    Raises:
        InputError: the module cannot be imported, and then names the user's line that raised, or has no such name.
    """
    module, _, name = path.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except INTERRUPTS:
        raise
    except BaseException as error:
        if place := _place(error):
            raise InputError(f"cannot import '{path}': {told(error)} ({place})") from error
        expected = f"expected 'module:function' in a folder on PYTHONPATH, {_searched(module)}"
        raise InputError(f"cannot import '{path}' ({one_line(error)}); {expected}") from error


def _searched(module: str) -> str:
    """Which file was taken for a module or, if there was none, where one was looked for."""
    if found := getattr(sys.modules.get(module), "__file__", None):
        return f"which has {found}"
    folders = os.environ.get("PYTHONPATH")
    return f"which is '{folders}'" if folders else "which is not set"


def check_call(path: str, arguments: Sequence[str], named: Sequence[str] = ()) -> None:
    """Check that a path names a function for these arguments; one that does not say what it takes passes.

    Args:
        path: the import path.
        arguments: what the arguments are, in their order.
        named: names of those that are given by name.

    Raises:
        InputError: it cannot be imported, is no function, or cannot be called so.
    """
    function = load(path)
    if not callable(function):
        raise InputError(f"'{path}' is no function")
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # of a function that is not written in Python
        return
    try:
        signature.bind(*arguments, **dict.fromkeys(named))
    except TypeError as error:
        given = ", ".join([*arguments, *(f"{name}=" for name in named)])
        raise InputError(
            f"'{path}' takes {_bare(signature)}, expected a function that can be called with ({given}): {error}"
        ) from None


def call(path: str, *arguments: Any, **named: Any) -> Any:
    """Call the function that a path names.

    Raises:
        InputError: it cannot be imported, or it is the user's and raises; names the line.
    """
    function = load(path)
    if path.startswith("sacp."):
        return function(*arguments, **named)
    try:
        return function(*arguments, **named)
    except (InputError, *INTERRUPTS):
        raise
    except BaseException as error:
        where = _place(error) or f"called with {_shown(arguments, named)}"
        raise InputError(f"'{path}' fails: {told(error)} ({where})") from error


def _place(error: BaseException) -> str | None:
    """The innermost line of the user's own, or else of a library that was called; None if neither had begun."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not _is_ours(frame.filename)]
    own = [frame for frame in frames if not any(part in frame.filename for part in INSTALLED)]
    if not frames:
        return None
    last = (own or frames)[-1]
    return f"{last.filename}, line {last.lineno}"


def _is_ours(file: str) -> bool:
    """Whether a file is this library's or Python's own."""
    return file.startswith(OURS) or (file.startswith(STANDARD) and not any(part in file for part in INSTALLED))


def _bare(signature: inspect.Signature) -> str:
    """What a function takes, without types."""
    empty = inspect.Parameter.empty
    parameters = [parameter.replace(annotation=empty) for parameter in signature.parameters.values()]
    return " ".join(str(inspect.Signature(parameters)).split())


def _shown(arguments: Iterable[Any], named: Mapping[str, Any]) -> str:
    """Arguments of a call: numbers as they are, the types of others."""
    values = [("", value) for value in arguments] + [(f"{name}=", value) for name, value in named.items()]
    shown = (name + (repr(value) if isinstance(value, int | float) else type(value).__name__) for name, value in values)
    return f"({', '.join(shown)})"
