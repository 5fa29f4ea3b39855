"""Where the modules lie that code imports: looked for as Python does, without importing any of them."""

import os
import sys
import sysconfig
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from importlib.machinery import EXTENSION_SUFFIXES, SOURCE_SUFFIXES, BuiltinImporter, FrozenImporter, PathFinder
from pathlib import Path
from typing import Any

SUFFIXES = (*EXTENSION_SUFFIXES, *SOURCE_SUFFIXES)
INSTALLED = {"site-packages", "dist-packages"}
OF_PYTHON = [Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")]
USUAL = (BuiltinImporter, FrozenImporter, PathFinder)


@dataclass(frozen=True)
class Place:
    """Where a module lies."""

    path: Path  # its file; of a package without an `__init__.py`, where that would be
    folders: tuple[Path, ...] = ()  # where modules inside it lie; none if it is no package


class Finder:
    """Finds modules in folders of Python's path. What is in a folder is read once."""

    def __init__(self, folders: Iterable[Path]) -> None:
        self._folders = tuple(dict.fromkeys(folders))
        self._names: dict[Path, frozenset[str]] = {}

    def top(self, name: str) -> Place | None:
        """A module that is in no package; import hooks, as some editable installs leave, are asked too."""
        place = self.within(self._folders, name)
        return place if place and place.path.is_file() else _hooked(name) or place

    def within(self, folders: Iterable[Path], name: str) -> Place | None:
        """A module in the first folder that has it; a package without an `__init__.py` comes after all others."""
        portions: list[Path] = []
        for folder in folders:
            inner = folder / name
            if name in self._in(folder) and (found := self._file(inner, "__init__")):
                return Place(found, (inner,))
            if found := self._file(folder, name):
                return Place(found)
            portions += [inner] if name in self._in(folder) and inner.is_dir() else []
        return _namespace(portions)

    def _file(self, folder: Path, stem: str) -> Path | None:
        names = [stem + suffix for suffix in SUFFIXES if stem + suffix in self._in(folder)]
        return next((folder / name for name in names if (folder / name).is_file()), None)

    def _in(self, folder: Path) -> frozenset[str]:
        if folder not in self._names:
            self._names[folder] = frozenset()
            with suppress(OSError):
                self._names[folder] = frozenset(os.listdir(folder))
        return self._names[folder]


def is_installed(path: Path) -> bool:
    """Does a file belong to Python or to what was installed into it?"""
    return not INSTALLED.isdisjoint(path.parts) or any(map(path.is_relative_to, OF_PYTHON))


def _namespace(portions: Iterable[Path]) -> Place | None:
    folders = tuple(portions)
    return Place(folders[0] / "__init__.py", folders) if folders else None


def _hooked(name: str) -> Place | None:
    """What import hooks say of a module; one that fails says nothing."""
    for hook in [hook for hook in sys.meta_path if hook not in USUAL]:
        with suppress(Exception):
            spec: Any = hook.find_spec(name, None)
            folders = tuple(map(Path, spec.submodule_search_locations or ()))
            return Place(Path(spec.origin), folders) if spec.has_location else _namespace(folders)
    return None
