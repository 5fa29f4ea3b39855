"""Configs, as they are shipped and resolved."""

import copy
from pathlib import Path
from typing import Any

import yaml
from checkout import ROOT
from sacp.plan import config

SCHEMA = ROOT / "config/schema.yaml"
DEMO = "digits-resnet14"  # the demo's experiment
MATCHED = {"kind": "search", "match": "sacp"}
DEFICIT = {"features": "deficit", "negatives": "own", "score": "distance", "temperature": 1}
METHODS = {  # of each kind of stage one; not those of the demo, which may change
    "sacp": {"kind": "search"},
    "sacp-deficit": MATCHED | {"encoder": DEFICIT},
    "log-mass": MATCHED | {"score": "log-mass", "search": "exact"},
    "sacp-1": MATCHED | {"labels": 20, "encoder": {"objective": "regression", "epochs": 50}},
    "sacp-2": {"kind": "tuned", "match": "sacp"},
    "l1": {"kind": "uniform", "match": "sacp"},
    "random": {"kind": "random", "match": "sacp"},
    "fpgm": {"kind": "uniform", "match": "sacp", "criterion": "fpgm"},
    "hrank": {"kind": "uniform", "match": "sacp", "criterion": "hrank"},
    "thinet": {"kind": "uniform", "match": "sacp", "criterion": "thinet"},
    "slimming": {"kind": "slimming", "match": "sacp"},
    "abcpruner": {"kind": "colony", "match": "sacp"},
}

MINIMAL = {
    "datasets": {"digits": {"source": "digits"}},
    "experiments": {
        "net": {
            "dataset": "digits",
            "validation": 0.2,
            "network": {"name": "resnet8"},
            "space": {"training_size": 100, "search_size": 1000, "threshold": 0.4},
            "refine": {"top_m": 20, "top_k": 3},
        }
    },
}
REMOVED = object()


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
    """The demo with `METHODS`, predictors and all its defaults; with these methods beside them, if any are given."""
    return resolved(unresolved(**methods))


def unresolved(**methods: dict[str, Any]) -> dict[str, Any]:
    """The same without the schema's defaults."""
    value = read("demo")
    own = {"methods": METHODS | methods, "predictors": {"sample": 24}, "colony": {"food": 3, "cycles": 1}}
    value["defaults"] |= copy.deepcopy(own)
    return value


def with_value(key: str, value: Any) -> dict[str, Any]:
    """The minimal config with one key set, or removed."""
    changed = copy.deepcopy(MINIMAL)
    *path, last = key.split("/")
    place = changed
    for part in path:
        place = place.setdefault(part, {})
    if value is REMOVED:
        del place[last]
    else:
        place[last] = value
    return changed
