"""What a config names by an import path, `module:name`: the library's own functions and the user's."""

import importlib
import os
import re
import traceback
from pathlib import Path
from typing import Any

from sacp.errors import InputError, one_line

PATH = re.compile(r"[A-Za-z_]\w*(\.\w+)*:[A-Za-z_]\w*")


def search_first(folder: Path) -> None:
    """Let Python processes that this one starts look for modules in a folder first."""
    known = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path and path != str(folder)]
    os.environ["PYTHONPATH"] = os.pathsep.join([str(folder), *known])


def is_path(name: str) -> bool:
    """Whether a name is an import path, `module:name`."""
    return PATH.fullmatch(name) is not None


def load(path: str) -> Any:
    """Import what a path names. All of it may be the user's code: anything can be raised there.

    Raises:
        InputError: the module cannot be imported, or has no such name.
    """
    module, _, name = path.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except Exception as error:
        raise InputError(
            f"cannot import '{path}' ({one_line(error)}); expected 'module:function' in a folder on PYTHONPATH"
        ) from error


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
    except InputError:
        raise
    except Exception as error:
        where = _place(traceback.extract_tb(error.__traceback__))
        raise InputError(f"'{path}' fails: {type(error).__name__}: {one_line(error)} ({where})") from error


def _place(frames: traceback.StackSummary) -> str:
    """The innermost line of the user's own, not of a library that it calls."""
    foreign = [str(Path(__file__).parent), "site-packages", "<frozen"]
    own = [frame for frame in frames if not any(part in frame.filename for part in foreign)]
    last = (own or frames)[-1]
    return f"{last.filename}, line {last.lineno}"
