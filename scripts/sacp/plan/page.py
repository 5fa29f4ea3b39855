"""The page docs/config.md, every key of a config, made from config/schema.yaml: `make docs`."""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

Schema = Mapping[str, Any]

TITLE = """# Keys of a config

<!-- made from config/schema.yaml by `make docs` -->

A config is a YAML file that is given with `--configfile`. What it leaves out has the default of these tables; without a
default, the key is left out or the description says what holds. Descriptions give the units. A key that is not here is
refused, with the file and the line.
"""
EXPERIMENT = "experiments.NAME"
# What is used in several places has a section of its own: definition -> title, first lines.
SHARED = {
    "experiment": (EXPERIMENT, "Of each experiment, and of `defaults`, which hold for all. An experiment's own win."),
    "recipe": ("recipe", "A training by SGD: `base`, `tune`, `full`, `sample`, `sparse` and `selection`."),
    "budget": ("budget", ""),
    "encoder": ("encoder", "A graph encoder: `encoder` of a method, and each of `encoders` in `predictors`."),
}
BOUNDS = {"minimum": "from {}", "exclusiveMinimum": "above {}", "maximum": "to {}", "exclusiveMaximum": "below {}"}


def page(schema: Schema) -> str:
    """Markdown: a section with a table for every object of the schema, in its order."""
    definitions = schema["$defs"]
    parts = [TITLE, *_sections(schema, "", "", definitions)]
    for definition, (title, text) in SHARED.items():
        prefix = f"{title}." if title == EXPERIMENT else ""
        parts += [f"## {title}\n", text + "\n", *_sections(definitions[definition], title, prefix, definitions)]
    return "\n".join(part for part in parts if part.strip())


def _sections(part: Schema, title: str, prefix: str, definitions: Schema) -> Iterator[str]:
    """The table of a part, and a section for each object below it that has keys of its own."""
    yield part.get("description", "") + "\n"
    yield _table(part, prefix, definitions)
    for key, value in part["properties"].items():
        name, below = _object(f"{prefix}{key}", value)
        if below:
            yield f"## {name}\n"
            yield from _sections(below, name, f"{name}.", definitions)


def _object(name: str, value: Schema) -> tuple[str, Schema | None]:
    """The keys below a key, with their path; objects of any name stand under NAME."""
    if isinstance(value.get("additionalProperties"), Mapping):
        name, value = f"{name}.NAME", {"description": value.get("description", ""), **value["additionalProperties"]}
    return name, value if "properties" in value else None


def _table(part: Schema, prefix: str, definitions: Schema) -> str:
    rows = [("key", "is", "default", "description"), ("---", "---", "---", "---")]
    for key, value in part["properties"].items():
        needed = key in part.get("required", ())
        default = "needed" if needed else f"`{_plain(value['default'])}`" if "default" in value else ""
        name, below = _object(f"{prefix}{key}", value)
        kind = _link(name) if below else _kind(value, definitions)
        rows.append((f"`{key}`", kind, default, " ".join(value.get("description", "").split())))
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |\n" for row in rows)


def _link(title: str) -> str:
    return f"[{title}](#{title.lower().replace('.', '')})"


def _kind(value: Schema, definitions: Schema) -> str:
    """What a value is, with its bounds."""
    if "$ref" in value:
        name = value["$ref"].rpartition("/")[2]
        return _link(SHARED[name][0]) if name in SHARED else _kind(definitions[name], definitions)
    if "title" in value:
        return str(value["title"])
    if "enum" in value:
        return " or ".join(f"`{_plain(each)}`" for each in value["enum"])
    kinds = [value["type"]] if isinstance(value["type"], str) else value["type"]
    if "array" in kinds:
        return f"list: {_kind(value['items'], definitions)}"
    if "object" in kinds:
        return f"by name: {_kind(value['additionalProperties'], definitions)}"
    words = " or ".join({"string": "text", "boolean": "`true` or `false`"}.get(kind, kind) for kind in kinds)
    bounds = [text.format(f"{value[key]:,}") for key, text in BOUNDS.items() if key in value]
    return ", ".join([words, " ".join(bounds)] if bounds else [words])


def _plain(value: Any) -> str:
    """As it is written in YAML, on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=sys.maxsize)
    return text.removesuffix("...\n").strip()


if __name__ == "__main__":
    source, target = map(Path, sys.argv[1:])
    target.write_text(page(yaml.safe_load(source.read_text())))
