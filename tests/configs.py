"""Configs, as they are shipped and resolved."""

from pathlib import Path
from typing import Any

import yaml
from checkout import ROOT
from sacp.plan import config

SCHEMA = ROOT / "config/schema.yaml"
DEMO = "digits-resnet14"  # the demo's experiment


def read(name: str, root: Path = ROOT) -> dict[str, Any]:
    """A shipped config as it stands in its file, of this repository or of a copy."""
    found: dict[str, Any] = yaml.safe_load((root / f"config/{name}.yaml").read_text())
    return found


def resolved(value: dict[str, Any], source: str = "my.yaml") -> dict[str, Any]:
    """A config with all its defaults."""
    return config.resolve(value, SCHEMA, source)


def shipped(name: str, root: Path = ROOT) -> dict[str, Any]:
    """A shipped config with all its defaults."""
    return resolved(read(name, root), f"{name}.yaml")


def demo(**methods: dict[str, Any]) -> dict[str, Any]:
    """The demo with all its defaults; with these methods beside its own, if any are given."""
    value = read("demo")
    value["defaults"]["methods"] |= methods
    return resolved(value)
