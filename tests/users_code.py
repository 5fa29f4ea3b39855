"""Functions of a user's, which a config names by an import path."""

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest


def importable(monkeypatch: pytest.MonkeyPatch, function: Callable[..., Any]) -> str:
    """The import path of a function, in a module that lasts as long as the test."""
    module = ModuleType("users_module")
    module.function = function  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return f"{module.__name__}:function"
