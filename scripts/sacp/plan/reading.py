"""What a config says, taken as it is meant: files without slips that YAML passes over, text for numbers as numbers.

Snakemake reads the files itself: in silence where a key stands twice, without a line where one is no YAML at all, and
with a traceback where one is missing, a folder or not UTF-8. Those of `--configfile` it reads before it reads the
Snakefile, so that nothing of ours runs (`ConfigSettings` in Snakemake 9.27); `make config` names the line of these.
"""

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from sacp.errors import InputError, one_line

# Numbers as everybody but YAML 1.1 writes them, which wants a point and a signed exponent: 1e6, 1.0e6, 1E-3, .5.
NUMBER = re.compile(r"[-+]?(?:(?:0|[1-9]\d{0,300})(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d{1,5})?")
MOST_NODES = 1_000_000  # values of a config
NO_KEYS = "no keys at the top level; expected a mapping of settings"
WHOLE = re.compile(r"[-+]?\d+")
WORDS: dict[str, dict[str, Any]] = {
    "null": {"null": None, "~": None},
    "boolean": {"true": True, "false": False, "True": True, "False": False},
}  # fmt: skip


def typed(value: Any, schema: Mapping[str, Any], root: Mapping[str, Any]) -> Any:
    """The value with text made what the schema expects in its place, and whole numbers integers where these are due.

    The command line's `--config` gives nothing but text below the top level, and YAML 1.1 reads 1e6 and 1.0e6 as text.
    What cannot be meant so is left as it is, for the validation to refuse.

    Args:
        value: a config, or a part of it.
        schema: of that part.
        root: the whole schema.
    """
    schema = dereferenced(schema, root)
    if isinstance(value, Mapping):
        known, other = schema.get("properties", {}), schema.get("additionalProperties")
        other = other if isinstance(other, Mapping) else {}
        return {key: typed(item, known.get(key, other), root) for key, item in value.items()}
    if isinstance(value, list):
        return [typed(item, schema.get("items", {}), root) for item in value]
    kinds = schema.get("type", [])
    return _scalar(value, [kinds] if isinstance(kinds, str) else kinds)


def dereferenced(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    """A part of a schema, what it refers to put in."""
    reference = schema.get("$ref")
    if reference is None:
        return schema
    return {**root["$defs"][reference.rpartition("/")[2]], **schema}


def _scalar(value: Any, kinds: list[str]) -> Any:
    if isinstance(value, str) and "string" not in kinds:
        for kind in kinds:
            if value in WORDS.get(kind, {}):
                return WORDS[kind][value]
        if {"integer", "number"} & {*kinds} and NUMBER.fullmatch(value):
            value = int(value) if WHOLE.fullmatch(value) else float(value)
    if isinstance(value, float) and "integer" in kinds and value.is_integer():
        return int(value)
    return value


def check_file(path: str | Path) -> None:
    """Read a config's file more strictly than Snakemake does: JSON if it is, else YAML.

    Raises:
        InputError: it cannot be read, a key stands twice, of which the last would win, or YAML takes a number for
            another; names the file and, in YAML, the line.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        line, byte = error.object[: error.start].count(b"\n") + 1, error.object[error.start]
        raise InputError(f"{path}, line {line}: found the byte {byte:#x}, which is not UTF-8; expected UTF-8") from None
    try:
        value = json.loads(text, object_pairs_hook=lambda pairs: _mapping(pairs, path))
    except ValueError:
        _check_yaml(text, path)
    else:
        if not isinstance(value, dict):
            raise InputError(f"{path}: {NO_KEYS}")


def _mapping(pairs: list[tuple[str, Any]], path: str | Path) -> dict[str, Any]:
    keys = [key for key, _ in pairs]
    for key in keys:
        if keys.count(key) > 1:
            raise InputError(f"{path}: key '{key}' stands twice in one mapping; expected it once")
    return dict(pairs)


def _check_yaml(text: str, path: str | Path) -> None:
    try:
        top = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        raise InputError(f"{path}{_place(error)}") from None
    except yaml.YAMLError as error:
        raise InputError(f"{path}: not YAML: {one_line(error)}") from None
    if not isinstance(top, yaml.MappingNode):
        raise InputError(f"{path}: {NO_KEYS}")
    if _check_node(top, path, {}) > MOST_NODES:
        raise InputError(f"{path}: more than {MOST_NODES} values, with what aliases repeat; expected fewer")


def _check_node(node: yaml.Node, path: str | Path, sizes: dict[int, int]) -> int:
    """How many values a node holds, what its aliases repeat included; `InputError` if one of them is a slip.

    Args:
        node: checked, with all below it.
        path: of the file.
        sizes: of nodes that were checked, by their identity; 0 of those that are being checked.
    """
    if id(node) not in sizes:  # an alias leads to its node again
        line = node.start_mark.line + 1
        if not re.fullmatch(r"tag:yaml\.org,2002:\w+", node.tag):
            raise InputError(f"{path}, line {line}: the tag {node.tag} is none of YAML's own; expected plain values")
        sizes[id(node)] = 0
        sizes[id(node)] = 1 + sum(_check_node(child, path, sizes) for child in _children(node, path))
    elif not sizes[id(node)]:
        raise InputError(f"{path}, line {node.start_mark.line + 1}: what begins here holds an alias of itself")
    return sizes[id(node)]


def _place(error: yaml.MarkedYAMLError) -> str:
    """Where a file is no YAML, and why: the line where it was noticed, and that where what is wrong began."""
    began, noticed = error.context_mark, error.problem_mark
    line = f", line {noticed.line + 1}" if noticed else ""
    since = f" ({error.context} that began in line {began.line + 1})" if began and error.context else ""
    return f"{line}: not YAML: {error.problem}{since}"


def _children(node: yaml.Node, path: str | Path) -> list[yaml.Node]:
    """The nodes below a node; the node itself is checked."""
    if isinstance(node, yaml.ScalarNode):
        _check_number(node, path)
        return []
    if isinstance(node, yaml.SequenceNode):
        return list(node.value)
    lines: dict[tuple[str, str], int] = {}
    for key, _ in node.value:
        line, name = key.start_mark.line + 1, (key.tag, str(key.value))
        if name in lines:
            raise InputError(
                f"{path}, line {line}: key '{key.value}' stands in line {lines[name]} too, in the same mapping; "
                "expected it once"
            )
        lines[name] = line
    return [each for pair in node.value for each in pair]


def _check_number(node: yaml.ScalarNode, path: str | Path) -> None:
    """Refuse what YAML 1.1 reads to base 8 or 60: 010 and 1:30 are 8 and 90 to it."""
    if node.style is not None or not node.tag.endswith((":int", ":float")):
        return
    text = node.value.replace("_", "").lstrip("+-")
    if ":" in text or (text.isdigit() and int(text) != int(yaml.safe_load(text))):
        raise InputError(
            f"{path}, line {node.start_mark.line + 1}: YAML reads {node.value} as {yaml.safe_load(node.value)}; "
            "write that number, or put quotes around a text"
        )


if __name__ == "__main__":
    try:
        for each in sys.argv[1:]:
            check_file(each)
    except InputError as error:
        sys.exit(f"error: {error}")
