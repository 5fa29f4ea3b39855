"""What a module's text consists of: definitions, imports and statements with effects; and what each of them names."""

import ast
import builtins
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import count
from pathlib import Path

from sacp.artefacts import syntax
from sacp.artefacts.syntax import DEFINITIONS, FUNCTIONS, STAR, Chain, chain_of

LIBRARY = "sacp"
BUILTINS = set(dir(builtins))
# Decorators that do nothing but change the function or class that they are given; any other may register it somewhere.
HARMLESS = re.compile(
    r"property|staticmethod|classmethod|\w+\.(setter|getter|deleter)|typing\.\w+|abc\.abstractmethod"
    r"|functools\.(cache|lru_cache|cached_property|wraps|total_ordering)"
    r"|contextlib\.(async)?contextmanager|dataclasses\.dataclass|torch\.(no_grad|inference_mode)"
)


@dataclass(frozen=True)
class Imported:
    """A name that an import statement binds."""

    name: str
    module: str  # what the name stands for: this module,
    member: str | None  # or what this is in it
    runs: str  # the module that is imported: `a.b` of `import a.b`, whose name stands for `a`


@dataclass(frozen=True, eq=False)
class Piece:
    """A statement at the top level of a module, or one name of an import: the smallest unit that counts or not."""

    module: "Module"
    node: ast.stmt
    names: tuple[str, ...]  # that it defines; none if it is there for its effect
    after: int  # how many statements with effects come before it
    place: int | None  # among all whose order counts; None if it may stand anywhere between the same effects
    imported: Imported | None = None

    @cached_property
    def meaning(self) -> str:
        """Blind to comments, docstrings and layout."""
        return repr(self.imported) if self.imported else ast.dump(self.node)

    @cached_property
    def imports(self) -> dict[str, list[Imported]]:
        """What import statements inside it bind, by name."""
        found: dict[str, list[Imported]] = {}
        for node in [] if self.imported else syntax.statements([self.node], into_functions=True):
            for each in self.module.imported(node):
                found.setdefault(each.name, []).append(each)
        return found

    @cached_property
    def uses(self) -> tuple[set[Chain], set[str]]:
        """Chains of names that it contains, and strings that may name a module or something in one."""
        return (set(), set()) if self.imported else syntax.uses(self.node)

    @cached_property
    def can_change(self) -> bool:
        """Is it a value that others can change in place?"""
        return isinstance(self.node, (ast.Assign, ast.AnnAssign)) and not syntax.is_constant(self.node.value)


class Module:
    """A module's text, taken apart.

    In the library, an assignment to plain names is taken to be a definition, whose right side has no effect on other
    modules. One to `_` alone is not, as its value is not wanted. Definitions may change places if what they are made
    of is literal. One that redefines a name, of its own or of Python's, may not, and counts like an effect.

    Elsewhere the order of all statements counts.
    """

    def __init__(self, name: str, path: Path, text: bytes) -> None:
        self.name, self.path = name, path
        self.top = name.partition(".")[0]
        self.is_library = self.top == LIBRARY
        self.is_package = path.name.partition(".")[0] == "__init__"
        self.pieces: dict[str, list[Piece]] = {}  # definitions and imports, by the names that they bind
        self.callers: dict[str, list[Piece]] = {}  # definitions that call something, by the names that they contain
        self.effects: list[Piece] = []  # run when the module is imported
        self.main: list[Piece] = []  # run when the module is started as a program
        self.bound = set[str]()  # names that effects bind
        self._places = count()
        tree = syntax.parsed(text)
        body = [node for node in tree.body if not syntax.is_for_types(node)]
        for node in body:
            self._add(node)
        inside = syntax.statements(node for node in body if not syntax.is_main(node))
        self.runs = [each for node in inside for each in self.imported(node)]
        self.sees_classes = syntax.sees_classes(tree, text)

    def all_pieces(self) -> Iterator[Piece]:
        """All pieces; those with several names come several times."""
        for pieces in self.pieces.values():
            yield from pieces
        yield from self.effects
        yield from self.main

    def imported(self, node: ast.AST) -> list[Imported]:
        """What a statement binds, if it is an import; relative names are made absolute."""
        if isinstance(node, ast.Import):
            tops = [(alias.name if alias.asname else alias.name.partition(".")[0]) for alias in node.names]
            pairs = zip(node.names, tops, strict=True)
            return [Imported(alias.asname or top, top, None, alias.name) for alias, top in pairs]
        if not isinstance(node, ast.ImportFrom):
            return []
        parts = self.name.split(".")
        above = parts[: max(0, len(parts) - node.level + self.is_package)] if node.level else []
        module = ".".join([*above, *([node.module] if node.module else [])])
        return [Imported(alias.asname or alias.name, module, alias.name, module) for alias in node.names]

    def _add(self, node: ast.stmt) -> None:
        names = tuple(sorted(set(syntax.bound(node))))
        is_new = self._are_new(names)
        if syntax.is_import(node):
            self._add_imports(node)
        elif syntax.is_main(node):
            self._add_inner_imports(node)
            self.main.append(self._piece(node))
        elif self._is_quiet(node) and is_new:
            piece = self._piece(node, names, free=syntax.is_still(node))
            self._add_piece(piece)
            self._add_caller(piece)
        elif isinstance(node, (*DEFINITIONS, ast.Assign, ast.AnnAssign)):
            self.effects.append(self._piece(node, names))
            self._add_piece(self.effects[-1])
        else:
            self._add_inner_imports(node)
            self.bound.update(names)
            self.effects.append(self._piece(node))

    def _piece(
        self, node: ast.stmt, names: tuple[str, ...] = (), imported: Imported | None = None, free: bool = False
    ) -> Piece:
        place = None if free and self.is_library else next(self._places)
        return Piece(self, node, names, len(self.effects), place, imported)

    def _are_new(self, names: tuple[str, ...]) -> bool:
        return not any(name in known for name in names for known in (self.bound, self.pieces, BUILTINS))

    def _add_imports(self, node: ast.stmt) -> None:
        """What an import at the top level binds. A second meaning of a name counts like an effect."""
        for imported in self.imported(node):
            known = [piece.imported for piece in self.pieces.get(imported.name, ())]
            is_same = any(each and (each.module, each.member) == (imported.module, imported.member) for each in known)
            is_free = is_same or self._are_new((imported.name,))
            piece = self._piece(node, (imported.name,), imported, is_free)
            self._add_piece(piece)
            self.effects += [] if is_free else [piece]

    def _add_inner_imports(self, node: ast.stmt) -> None:
        """The imports in a statement; its other parts are left out."""
        for imported in [each for inner in syntax.statements([node]) for each in self.imported(inner)]:
            if imported.name != STAR:
                self._add_piece(self._piece(node, (imported.name,), imported, free=True))

    def _add_piece(self, piece: Piece) -> None:
        for name in piece.names:
            self.pieces.setdefault(name, []).append(piece)

    def _add_caller(self, piece: Piece) -> None:
        """Keep a definition that may change what it calls or hands to a call."""
        value = piece.node.value if isinstance(piece.node, (ast.Assign, ast.AnnAssign)) else None
        if value and any(syntax.calls([value])):
            for name in {chain[0] for chain in piece.uses[0]}:
                self.callers.setdefault(name, []).append(piece)

    def _is_quiet(self, node: ast.stmt) -> bool:
        """Does it do nothing but define names?"""
        if isinstance(node, DEFINITIONS) and not all(map(self._is_harmless, node.decorator_list)):
            return False
        if isinstance(node, ast.ClassDef):
            # Keywords go to a metaclass or a base class, which may keep what it is given.
            return not node.keywords and _call_builtins(node.bases) and all(map(self._is_quiet, node.body))
        if isinstance(node, FUNCTIONS):
            return _call_builtins(syntax.defaults(node))
        if isinstance(node, ast.Assign):
            unwanted = any(isinstance(target, ast.Name) and target.id == "_" for target in node.targets)
            return not unwanted and all(map(syntax.is_plain, node.targets))
        if isinstance(node, ast.AnnAssign):
            return syntax.is_plain(node.target)
        is_ellipsis = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and node.value.value is ...
        return is_ellipsis or syntax.is_import(node) or isinstance(node, ast.Pass)

    def _is_harmless(self, decorator: ast.expr) -> bool:
        if isinstance(decorator, ast.Call):
            given = [*decorator.args, *(each.value for each in decorator.keywords)]
            return all(map(syntax.is_literal, given)) and self._is_harmless(decorator.func)
        chain = chain_of(decorator)
        if not chain:
            return False
        pieces = self.pieces.get(chain[0], [])
        if not all(piece.imported for piece in pieces):  # of the module's own making
            return False
        imports = [piece.imported for piece in pieces if piece.imported]
        full = [(each.module, *([each.member] if each.member else []), *chain[1:]) for each in imports]
        return all(HARMLESS.fullmatch(".".join(each)) for each in full or [chain])


def _call_builtins(nodes: list[ast.expr]) -> bool:
    """Do expressions call nothing but what is Python's own, such as `slice`?"""
    return all(chain_of(call.func)[:1] and chain_of(call.func)[0] in BUILTINS for call in syntax.calls(nodes))


@cache  # scripts share most of the library
def read(name: str, path: Path, text: bytes) -> Module:
    """Take a module apart, once per process and text."""
    return Module(name, path, text)
