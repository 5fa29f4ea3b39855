"""docs/config.md has every key of config/schema.yaml."""

from typing import Any

import yaml
from checkout import ROOT
from sacp.plan.page import page

SCHEMA = yaml.safe_load((ROOT / "config/schema.yaml").read_text())


def described(part: Any) -> list[tuple[str, str]]:
    """Keys with their descriptions, wherever they are in a schema."""
    if not isinstance(part, dict):
        return []
    own = [(key, value["description"]) for key, value in part.get("properties", {}).items() if "description" in value]
    return own + [pair for value in part.values() for pair in described(value)]


def test_the_page_is_that_of_the_schema() -> None:
    assert (ROOT / "docs/config.md").read_text() == page(SCHEMA), "run `make docs`"


def test_every_key_has_a_row_with_its_description() -> None:
    rows = [line for line in page(SCHEMA).splitlines() if line.startswith("| `")]
    keys = described(SCHEMA)
    assert len(keys) > 150
    for key, text in keys:
        words = " ".join(text.split()).replace("|", "\\|")
        assert [row for row in rows if row.startswith(f"| `{key}` |") and row.endswith(f"| {words} |")], key


def test_a_row_says_what_a_value_is_and_its_default() -> None:
    schema = {
        "properties": {
            "width": {
                "type": "number",
                "exclusiveMinimum": 0,
                "maximum": 16,
                "default": 1.0,
                "description": "A factor.",
            },
            "source": {"enum": ["a", "b"]},
            "sets": {"additionalProperties": {"properties": {"path": {"type": ["string", "null"]}}}},
        },
        "required": ["source"],
        "$defs": {name: {"properties": {}} for name in ("experiment", "recipe", "budget", "encoder")},
    }
    text = page(schema)
    assert "| `width` | number, above 0 to 16 | `1.0` | A factor. |" in text
    assert "| `source` | `a` or `b` | needed |  |" in text
    assert "| `sets` | [sets.NAME](#setsname) |  |  |" in text
    assert "## sets.NAME\n" in text
    assert "| `path` | text or null |  |  |" in text
