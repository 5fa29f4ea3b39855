"""What a module's text consists of: definitions, imports and statements with effects; and what each of them names."""

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

Chain = tuple[str, ...]  # a name and the attributes taken of it: `a.b.c`

# Decorators that do nothing but change the function or class that they are given; any other may register it somewhere.
HARMLESS = re.compile(
    r"property|staticmethod|classmethod|\w+\.(setter|getter|deleter)|typing\.\w+|abc\.abstractmethod"
    r"|functools\.(cache|lru_cache|cached_property|wraps|total_ordering)"
    r"|contextlib\.(async)?contextmanager|dataclasses\.dataclass|torch\.(no_grad|inference_mode)"
)
FINDS_SUBCLASSES = {"__init_subclass__", "__subclasses__"}  # these find a class that nothing names
LIBRARY_NAME = re.compile(r"sacp(\.\w+)+(:\w+)?")
STAR = "*"
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
NAMED_PARTS = (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)


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
    imported: Imported | None = None

    @cached_property
    def meaning(self) -> str:
        """Blind to comments, docstrings and layout."""
        return repr(self.imported) if self.imported else ast.dump(self.node)

    @cached_property
    def imports(self) -> dict[str, list[Imported]]:
        """What import statements inside it bind, by name."""
        found: dict[str, list[Imported]] = {}
        for node in [] if self.imported else _statements([self.node], into_functions=True):
            for each in self.module.imported(node):
                found.setdefault(each.name, []).append(each)
        return found

    @cached_property
    def uses(self) -> tuple[set[Chain], set[str]]:
        """Chains of names that it contains, and strings that may name something of the library."""
        return (set(), set()) if self.imported else _uses(self.node)


class Module:
    """A module's text, taken apart.

    An assignment to plain names is taken to be a definition, whose right side has no effect on anything else. One to
    `_` alone is not, as its value is not wanted. Nor is one that redefines a name, as there the order matters.
    """

    def __init__(self, name: str, path: Path, root: Path, text: bytes) -> None:
        """`root` is the folder in which the dotted `name` is looked for."""
        self.name, self.path, self.root = name, path, root
        self.is_package = path.name == "__init__.py"
        self.pieces: dict[str, list[Piece]] = {}  # definitions and imports, by the names that they bind
        self.effects: list[Piece] = []  # run when the module is imported
        self.main: list[Piece] = []  # run when the module is started as a program
        self.bound = set[str]()  # names that effects bind
        tree = _parsed(text)
        for node in tree.body:
            self._add(node)
        inside = _statements(node for node in tree.body if not _is_main(node))
        self.runs = [each for node in inside for each in self.imported(node)]
        self.finds_subclasses = _finds_subclasses(tree, text)

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
        names = tuple(sorted(set(_bound(node))))
        is_new = self.bound.isdisjoint(names) and self.pieces.keys().isdisjoint(names)
        piece = Piece(self, node, names, len(self.effects))
        if _is_import(node):
            self._add_imports(node)
        elif _is_main(node):
            self._add_imports(node)
            self.main.append(Piece(self, node, (), piece.after))
        elif self._is_quiet(node) and is_new:
            self._add_piece(piece)
        elif isinstance(node, (*DEFINITIONS, ast.Assign, ast.AnnAssign)):
            self._add_piece(piece)
            self.effects.append(piece)
        else:
            self._add_imports(node)
            self.bound.update(names)
            self.effects.append(Piece(self, node, (), piece.after))

    def _add_imports(self, node: ast.stmt) -> None:
        """The imports in a statement; its other parts are left out."""
        for imported in [each for inner in _statements([node]) for each in self.imported(inner)]:
            if imported.name != STAR:
                self._add_piece(Piece(self, node, (imported.name,), len(self.effects), imported))

    def _add_piece(self, piece: Piece) -> None:
        for name in piece.names:
            self.pieces.setdefault(name, []).append(piece)

    def _is_quiet(self, node: ast.stmt) -> bool:
        """Does it do nothing but define names?"""
        if isinstance(node, DEFINITIONS) and not all(map(self._is_harmless, node.decorator_list)):
            return False
        if isinstance(node, ast.ClassDef):
            # Keywords go to a metaclass or a base class, which may keep what it is given.
            return not node.keywords and all(map(self._is_quiet, node.body))
        if isinstance(node, ast.Assign):
            unwanted = any(isinstance(target, ast.Name) and target.id == "_" for target in node.targets)
            return not unwanted and all(map(_is_plain, node.targets))
        if isinstance(node, ast.AnnAssign):
            return _is_plain(node.target)
        is_ellipsis = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and node.value.value is ...
        return is_ellipsis or _is_import(node) or isinstance(node, (*FUNCTIONS, ast.Pass))

    def _is_harmless(self, decorator: ast.expr) -> bool:
        chain = chain_of(decorator.func if isinstance(decorator, ast.Call) else decorator)
        if not chain:
            return False
        pieces = self.pieces.get(chain[0], [])
        if not all(piece.imported for piece in pieces):  # of the module's own making
            return False
        imports = [piece.imported for piece in pieces if piece.imported]
        full = [(each.module, *([each.member] if each.member else []), *chain[1:]) for each in imports]
        return all(HARMLESS.fullmatch(".".join(each)) for each in full or [chain])


@cache  # scripts share most of the library
def read(name: str, path: Path, root: Path, text: bytes) -> Module:
    """Take a module apart, once per process and text."""
    return Module(name, path, root, text)


def chain_of(node: ast.expr) -> Chain:
    """`a.b.c` as a tuple; empty for an expression that is more than names."""
    attributes: list[str] = []
    while isinstance(node, ast.Attribute):
        attributes.append(node.attr)
        node = node.value
    return (node.id, *reversed(attributes)) if isinstance(node, ast.Name) else ()


def _parsed(text: bytes) -> ast.Module:
    """The syntax tree without docstrings; for text that is not Python, an expression that holds all of it."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return ast.Module([ast.Expr(ast.Constant(text))], [])
    _strip(tree)
    return tree


def _strip(node: ast.AST) -> None:
    """Remove docstrings, and other strings that stand alone."""
    for block in _blocks(node):
        block[:] = [inner for inner in block if not _is_docstring(inner)]
        for inner in block:
            _strip(inner)


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _blocks(node: ast.AST) -> Iterator[list[ast.stmt]]:
    """The lists of statements, or of handlers and cases with statements, that a node holds."""
    for field in ("body", "orelse", "finalbody", "handlers", "cases"):
        block = getattr(node, field, None)
        if isinstance(block, list):
            yield block


def _statements(nodes: Iterable[ast.stmt], into_functions: bool = False) -> Iterator[ast.stmt]:
    """These statements and all inside them."""
    for node in nodes:
        yield node
        if into_functions or not isinstance(node, FUNCTIONS):
            for block in _blocks(node):
                yield from _statements(block, into_functions)


def _is_import(node: ast.stmt) -> bool:
    """An import that only binds names of its own and runs modules."""
    if isinstance(node, ast.ImportFrom):
        return node.module != "__future__" and node.names[0].name != STAR
    return isinstance(node, ast.Import)


def _is_main(node: ast.stmt) -> bool:
    """`if __name__ == "__main__":` without an `else`."""
    if not isinstance(node, ast.If) or node.orelse:
        return False
    return ast.unparse(node.test) == "__name__ == '__main__'"


def _is_plain(target: ast.expr) -> bool:
    """A name, or names to unpack to."""
    if isinstance(target, (ast.Tuple, ast.List)):
        return all(map(_is_plain, target.elts))
    return isinstance(target.value if isinstance(target, ast.Starred) else target, ast.Name)


def _finds_subclasses(tree: ast.Module, text: bytes) -> bool:
    if not any(name.encode() in text for name in FINDS_SUBCLASSES):  # nearly always, and at once
        return False
    names = {getattr(node, field, None) for node in ast.walk(tree) for field in ("name", "attr")}
    return not FINDS_SUBCLASSES.isdisjoint(names)


def _bound(node: ast.AST) -> Iterator[str]:
    """Names that a statement binds in the scope that it stands in; imports are left out."""
    if isinstance(node, DEFINITIONS):
        yield node.name
        return
    if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
        yield node.id
    elif isinstance(node, NAMED_PARTS) and node.name:
        yield node.name
    if isinstance(node, ast.comprehension):  # its target is known inside it only
        children: Iterable[ast.AST] = [node.iter, *node.ifs]
    else:
        children = () if isinstance(node, ast.Lambda) else ast.iter_child_nodes(node)
    for child in children:
        yield from _bound(child)


def _uses(node: ast.AST) -> tuple[set[Chain], set[str]]:
    """All chains of names, local ones too, and the strings that may name something of the library."""
    chains, strings = set[Chain](), set[str]()
    waiting = [node]
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.Attribute, ast.Name)) and (chain := chain_of(node)):
            chains.add(chain)
        elif isinstance(node, ast.Constant):
            if isinstance(node.value, str) and LIBRARY_NAME.fullmatch(node.value):
                strings.add(node.value)
        else:
            waiting.extend(ast.iter_child_nodes(node))
    return chains, strings
