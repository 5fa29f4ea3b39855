"""Python's syntax trees: what a statement binds and names, and what its place among others can change."""

import ast
import re
from collections.abc import Iterable, Iterator

Chain = tuple[str, ...]  # a name and the attributes taken of it: `a.b.c`

# Methods and arguments that are handed a class which nothing names, when it is defined or later.
SEE_CLASSES = {"__init_subclass__", "__subclasses__", "__set_name__", "__mro_entries__", "metaclass"}
NAMESPACES = {"__globals__", "f_globals", "f_locals"}  # attributes that hold all names of some module
MODULE_NAME = re.compile(r"[A-Za-z_]\w*(\.\w+)*(:\w+)?")
STAR = "*"
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
NAMED_PARTS = (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)


def chain_of(node: ast.expr) -> Chain:
    """`a.b.c` as a tuple; empty for an expression that is more than names."""
    attributes: list[str] = []
    while isinstance(node, ast.Attribute):
        attributes.append(node.attr)
        node = node.value
    return (node.id, *reversed(attributes)) if isinstance(node, ast.Name) else ()


def parsed(text: bytes) -> ast.Module:
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


def statements(nodes: Iterable[ast.stmt], into_functions: bool = False) -> Iterator[ast.stmt]:
    """These statements and all inside them."""
    for node in nodes:
        yield node
        if into_functions or not isinstance(node, FUNCTIONS):
            for block in _blocks(node):
                yield from statements(block, into_functions)


def is_import(node: ast.stmt) -> bool:
    """An import that only binds names of its own and runs modules."""
    if isinstance(node, ast.ImportFrom):
        return node.module != "__future__" and node.names[0].name != STAR
    return isinstance(node, ast.Import)


def is_main(node: ast.stmt) -> bool:
    """`if __name__ == "__main__":` without an `else`."""
    if not isinstance(node, ast.If) or node.orelse:
        return False
    return ast.unparse(node.test) == "__name__ == '__main__'"


def is_for_types(node: ast.stmt) -> bool:
    """`if TYPE_CHECKING:` without an `else`: it never runs."""
    if not isinstance(node, ast.If) or node.orelse:
        return False
    return ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def is_plain(target: ast.expr) -> bool:
    """A name, or names to unpack to."""
    if isinstance(target, (ast.Tuple, ast.List)):
        return all(map(is_plain, target.elts))
    return isinstance(target.value if isinstance(target, ast.Starred) else target, ast.Name)


def is_literal(node: ast.expr | None) -> bool:
    """Does an expression give the same wherever it stands: of constants, names and functions, none of them called?"""
    if node is None or isinstance(node, (ast.Constant, ast.Name)):
        return True
    if isinstance(node, ast.Lambda):
        return all(map(is_literal, defaults(node)))
    if isinstance(node, (ast.Tuple, ast.List, ast.Set)):
        return all(map(is_literal, node.elts))
    if isinstance(node, ast.Dict):
        return None not in node.keys and all(map(is_literal, [*node.keys, *node.values]))
    return is_constant(node)


def is_constant(node: ast.expr | None) -> bool:
    """Is an expression made of constants alone, none of which can change?"""
    parts = (ast.Constant, ast.Tuple, ast.UnaryOp, ast.BinOp, ast.unaryop, ast.operator, ast.expr_context)
    return node is None or all(isinstance(part, parts) for part in ast.walk(node))


def defaults(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> list[ast.expr]:
    """Expressions that give a function's arguments their defaults; evaluated where the function is defined."""
    return [*node.args.defaults, *(default for default in node.args.kw_defaults if default)]


def is_still(node: ast.stmt) -> bool:
    """Can a definition change its place among definitions of other names, with no effect on any of them?"""
    if isinstance(node, FUNCTIONS):
        return all(map(is_literal, defaults(node)))
    if isinstance(node, ast.ClassDef):
        return all(map(chain_of, node.bases)) and all(map(is_still, node.body))
    return not isinstance(node, (ast.Assign, ast.AnnAssign)) or is_literal(node.value)


def calls(nodes: Iterable[ast.expr]) -> Iterator[ast.Call]:
    """All calls in expressions."""
    for node in nodes:
        yield from (part for part in ast.walk(node) if isinstance(part, ast.Call))


def sees_classes(tree: ast.Module, text: bytes) -> bool:
    """May a module see a class that no statement hands to it? A base class, metaclass or attribute of one can."""
    if not any(name.encode() in text for name in SEE_CLASSES):  # nearly always, and at once
        return False
    names = {getattr(node, field, None) for node in ast.walk(tree) for field in ("name", "attr")}
    keywords = [node for node in ast.walk(tree) if isinstance(node, ast.keyword)]
    names |= {keyword.arg for keyword in keywords if chain_of(keyword.value)[-1:] != ("ABCMeta",)}
    return not SEE_CLASSES.isdisjoint(names)


def bound(node: ast.AST) -> Iterator[str]:
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
        yield from bound(child)


def uses(node: ast.AST) -> tuple[set[Chain], set[str]]:
    """All chains of names, local ones too, and the strings that may name a module or something in one."""
    chains, strings = set[Chain](), set[str]()
    waiting = [node]
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.Attribute, ast.Name)) and (chain := chain_of(node)):
            chains.add(chain)
            continue
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and MODULE_NAME.fullmatch(node.value):
            strings.add(node.value)
        elif isinstance(node, ast.Attribute) and node.attr in NAMESPACES:
            chains.add((node.attr,))
        elif isinstance(node, ast.Call) and not node.args and chain_of(node.func) in {("vars",), ("locals",)}:
            chains.add(("globals",))
        waiting.extend(ast.iter_child_nodes(node))
    return chains, strings
