"""Content hashes of files, and of the code that a stage runs."""

import ast
import hashlib
from functools import cache
from pathlib import Path


def file_digest(path: str | Path) -> str:
    """SHA-256 of a file's content."""
    with Path(path).open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def code_digest(script: str | Path) -> str:
    """SHA-256 over a script and the library modules that it imports, however deep; comments and docstrings left out.

    The library is the package `sacp` beside the script.
    """
    sha = hashlib.sha256()
    for path in sorted(closure(Path(script)), key=lambda path: path.name):
        sha.update(path.name.encode() + b"\0" + _meaning(path.read_text()).encode())
    return sha.hexdigest()


def closure(script: Path) -> set[Path]:
    """A script and the modules of the library that it imports, however deep."""
    library, found, waiting = script.parent / "sacp", set[Path](), [script]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += [
                library / f"{name}.py" for name in _imports(path.read_text()) if (library / f"{name}.py").is_file()
            ]
    return found


@cache  # the rules' scripts share most of the library
def _imports(source: str) -> set[str]:
    """Names of the modules of `sacp` that a source text imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module == "sacp":
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("sacp."):
            names.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            names |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("sacp.")}
    return names


@cache
def _meaning(source: str) -> str:
    """The syntax tree as text: blind to comments, docstrings and layout."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            value = body[0].value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                node.body = body[1:]  # type: ignore[attr-defined]
    return ast.dump(tree)
