"""Which modules a script imports, and which of their definitions it may use: found without running any of it.

What cannot be followed is counted: a module that is passed around as a value counts as a whole, and so does one that is
asked for a name which its text does not define.
"""

import ast
import re
import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from sacp.artefacts.finding import Finder, Place, is_installed
from sacp.artefacts.statements import LIBRARY, Imported, Module, Piece, read
from sacp.artefacts.syntax import NAMESPACES, STAR, Chain

CATALOGUE = "sacp.catalogue"  # its strings name all that exists; what a job loads of it is given by `also`
LIBRARY_NAME = re.compile(r"sacp(\.\w+)+(:\w+)?")
NAME = "__name__"
OF_EVERY_MODULE = {NAME, "__file__", "__path__", "__package__", "__spec__", "__doc__"}
ANY_NAME = {("globals",), ("eval",), ("exec",)}  # code with one may use any name of its module,
FROM_ELSEWHERE = {("sys", "modules"), *(("builtins", *name) for name in ANY_NAME)}  # and so may code that imports one


class Reach:
    """What a script reaches, and what it is told to load at run time.

    In a module of the library, statements with effects count if the module is imported, and a definition counts if
    something that counts names it. Other modules, the script included, count as a whole; their imports are followed
    wherever Python finds them, except into what is installed: that counts by its name. From an installed module, others
    of the same package are followed.

    What is loaded by a computed name is not seen: `also` must hold it, or a constant `module:name` that counts. In a
    user's module, so does a constant that is no more than a module's name.
    """

    def __init__(self, library: Path, script: Path | None = None, also: Iterable[str] = ()) -> None:
        """Follow a script and import paths `module:name`; the library lies in the folder `library`."""
        self.modules: dict[Path, Module] = {}
        self.counted: set[Piece] = set()
        self.missing: set[str] = set()  # import paths that lead nowhere
        self._library = library
        self._finder = Finder([library, *(Path(entry).absolute() for entry in [*sys.path, ""])])
        self._places: dict[str, Place | None] = {}
        self._found: dict[str, Module | None] = {}
        self._answers: dict[tuple[Module, Chain], bool] = {}
        self._whole: set[Module] = set()
        self._everything: set[Module] = set()
        self._waiting: list[Callable[[], None]] = []  # not recursion: chains of imports are long
        if script is not None:
            self._open(script.stem, script)
        for path in also:
            self._load(path)
        self._finish()

    def _finish(self) -> None:
        while self._waiting:
            self._waiting.pop()()
            if not self._waiting and any(module.sees_classes for module in self.modules.values()):
                for piece in [piece for module in self.modules.values() for piece in module.all_pieces()]:
                    if isinstance(piece.node, ast.ClassDef):
                        self._count(piece)

    def _later(self, step: Callable[..., None], *arguments: object) -> None:
        self._waiting.append(partial(step, *arguments))

    # Modules

    def _load(self, path: str) -> None:
        """Follow an import path; in a module of the library it reaches only what it names."""
        name, _, member = path.partition(":")
        module = self._at(name)
        if module is None or not module.path.is_file():
            self.missing.add(path)
        elif module.is_library:
            self._attribute(module, tuple(member.split(".")) if member else ())

    def _find(self, name: str, origin: Module) -> Module | None:
        """A module by its name, if it is the library's or followed from `origin`; it then counts as imported."""
        return self._at(name) if name and self._is_followed(name.partition(".")[0], origin) else None

    def _is_followed(self, top: str, origin: Module) -> bool:
        if top == LIBRARY or origin.is_library:
            return top == LIBRARY
        place = None if top in sys.builtin_module_names else self._place(top)
        return place is not None and (top == origin.top or not is_installed(place.path))

    def _at(self, name: str) -> Module | None:
        if name not in self._found:
            place = self._place(name)
            self._found[name] = self._open(name, place.path) if place else None
        return self._found[name]

    def _place(self, name: str) -> Place | None:
        if name not in self._places:
            above, _, last = name.rpartition(".")
            if above:
                self._at(above)  # it is imported first
                package = self._place(above)
                place = self._finder.within(package.folders, last) if package else None
            else:
                place = self._finder.within([self._library], name) if name == LIBRARY else self._finder.top(name)
            self._places[name] = place
        return self._places[name]

    def _open(self, name: str, path: Path) -> Module:
        module = read(name, path, path.read_bytes() if path.is_file() else b"")
        self.modules[path] = module
        self._later(self._run, module)
        return module

    def _run(self, module: Module) -> None:
        """What the import of a module runs."""
        for piece in module.effects:
            self._count(piece)
        for imported in module.runs:
            self._import(imported, module)
        if not module.is_library:
            self._count_whole(module)

    def _import(self, imported: Imported, origin: Module) -> None:
        module = self._find(imported.runs, origin)
        if module and imported.member == STAR:
            self._later(self._count_everything, module)
        elif module and module.is_package and imported.member:
            self._find(f"{module.name}.{imported.member}", origin)

    # Pieces

    def _count(self, piece: Piece) -> None:
        if piece not in self.counted:
            self.counted.add(piece)
            self._later(self._follow_piece, piece)

    def _count_whole(self, module: Module) -> None:
        """All that a module defines and imports."""
        if module not in self._whole:
            self._whole.add(module)
            for piece in module.all_pieces():
                self._count(piece)
                if piece.imported:
                    self._hand_on(piece.imported, module)

    def _count_everything(self, module: Module) -> None:
        """A whole module and, for a package of the library, all modules in it, whether or not anything imports them."""
        if module in self._everything:
            return
        self._everything.add(module)
        self._count_whole(module)
        if module.is_package and module.is_library:
            for path in module.path.parent.iterdir():
                is_module = path.suffix in ("", ".py") and path.stem.isidentifier() and path.stem != "__init__"
                inner = self._at(f"{module.name}.{path.stem}") if is_module else None
                if inner:
                    self._later(self._count_everything, inner)

    def _follow_piece(self, piece: Piece) -> None:
        module = piece.module
        for name in piece.names if piece.can_change else ():
            for caller in module.callers.get(name, ()):
                self._count(caller)
        for imports in piece.imports.values():
            for imported in imports:
                self._import(imported, module)
                self._hand_on(imported, module)
        chains, strings = piece.uses
        for chain in chains:
            for imported in piece.imports.get(chain[0], ()):
                self._follow(imported, chain[1:], module)
            self._look_up(module, chain)
            if chain in ANY_NAME:
                self._count_whole(module)
        for text in strings:
            self._follow_string(text, module)

    def _follow_string(self, text: str, origin: Module) -> None:
        """A module's name means a program to start; `module:name` and `module.name` mean a definition."""
        is_ours = origin.is_library or origin.path.parent == self._library
        if origin.name.startswith(CATALOGUE) or (is_ours and not LIBRARY_NAME.fullmatch(text)):
            return
        name, _, member = text.partition(":")
        module = self._find(name, origin)
        if not member and not module:
            name, _, member = text.rpartition(".")
            module = self._find(name, origin)
        if module and not member:
            self._later(self._count_everything, module)
        elif module:
            self._look_up(module, (member,))

    # Names

    def _hand_on(self, imported: Imported, origin: Module) -> None:
        """Count what a statement imports, whether its name is used or not; a module counts only as imported."""
        if imported.member and imported.member != STAR:
            self._follow(imported, (NAME,), origin)

    def _follow(self, imported: Imported, rest: Chain, origin: Module) -> None:
        """Count what the attributes `rest` of an imported name mean."""
        chain = (imported.member, *rest) if imported.member else rest
        module = self._find(imported.module, origin)
        if module:
            self._attribute(module, chain)
        elif (imported.module, *chain[:1]) in FROM_ELSEWHERE:
            self._count_whole(origin)

    def _attribute(self, module: Module, chain: Chain) -> None:
        """Count what a chain means that begins in a module; the module alone is a value, open to any use."""
        if not chain or not (self._look_up(module, chain) or chain[0] in OF_EVERY_MODULE):
            self._later(self._count_everything, module)

    def _look_up(self, module: Module, chain: Chain) -> bool:
        """Count what a chain means to the code of a module; False if its first name is unknown there."""
        if (module, chain) not in self._answers:
            self._answers[module, chain] = True  # for imports that lead in circles
            self._answers[module, chain] = self._look(module, chain)
        return self._answers[module, chain]

    def _look(self, module: Module, chain: Chain) -> bool:
        name, rest = chain[0], chain[1:]
        found = name in module.bound
        if not NAMESPACES.isdisjoint(chain):
            self._count_whole(module)
        for piece in module.pieces.get(name, ()):
            found = True
            self._count(piece)
            if piece.imported:
                self._follow(piece.imported, rest, module)
        inner = self._find(f"{module.name}.{name}", module) if module.is_package else None
        if inner:
            found = True
            self._attribute(inner, rest)
        for imported in [] if found else module.runs:
            origin = self._find(imported.module, module) if imported.member == STAR else None
            found = bool(origin and self._look_up(origin, chain)) or found
        return found
