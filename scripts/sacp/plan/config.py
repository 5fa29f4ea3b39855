"""Validate a config against its schema and fill in the defaults."""

import copy
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend

from sacp.catalogue import kinds, scores
from sacp.errors import InputError, nearest, one_line, shown
from sacp.plan import consistency
from sacp.plan.reading import dereferenced, typed

Tree = dict[str, Any]
LABELS = 100  # N' of a regression that gives none
LONG = 100  # characters of a key that a message does not repeat
TYPES = {  # what the schema calls them, in words
    "string": "a text", "integer": "an integer", "number": "a number", "boolean": "true or false", "null": "null",
    "array": "a list in [ ]", "object": "keys with values",
}  # fmt: skip
# Filled in only where they are used: settings of scores and of kinds of methods, and the recipe of some kinds.
SCORE_SETTINGS = [known.settings for known in scores.SCORES.values() if known.settings]  # keys of a search
WHERE_USED = (*SCORE_SETTINGS, *kinds.OPTIONS, kinds.SELECTION)
# YAML has .nan and .inf; no setting has a use for them.
Validator = extend(
    Draft202012Validator,
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine(
        "number", lambda checker, value: checker.is_type(value, "integer") or _is_finite(value)
    ),
)


def _is_finite(value: Any) -> bool:
    return isinstance(value, float) and math.isfinite(value)


def resolve(config: Mapping[str, Any], schema_path: str | Path, source: str) -> Tree:
    """Return the config with every default filled in and every experiment complete.

    Args:
        config: as read from YAML.
        schema_path: the JSON schema, as YAML.
        source: name of the config file, for messages.

    Raises:
        InputError: a key is unknown, has the wrong type or range, is missing, or contradicts another.
    """
    schema = yaml.safe_load(Path(schema_path).read_text())
    config = typed(config, schema, schema)
    errors = sorted(Validator(schema).iter_errors(config), key=lambda error: list(map(str, error.path)))
    if errors:
        raise InputError(f"{source}: {_describe(errors[0])}")
    shared = config.get("defaults", {})
    experiments = {name: merged(shared, own or {}) for name, own in config["experiments"].items()}
    for experiment in experiments.values():
        experiment["sample"] = merged(experiment.get("tune", {}), experiment.get("sample", {}))
    given = {key: value for key, value in config.items() if key != "defaults"}
    complete: Tree = _filled({**given, "experiments": experiments}, schema, schema)
    for experiment in complete["experiments"].values():
        _fill_selection(experiment, schema)
    consistency.check(complete, source)
    return complete


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> Tree:
    """Return `base` with the entries of `over`, nested mappings merged key by key."""
    result = copy.deepcopy(dict(base))
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = merged(result[key], value) if both else copy.deepcopy(value)
    return result


def _filled(value: Any, schema: Mapping[str, Any], root: Mapping[str, Any]) -> Any:
    """Return `value` with the defaults of `schema`, at every depth, whether or not the parent was given."""
    schema = dereferenced(schema, root)
    if not isinstance(value, Mapping):
        return value
    result = dict(value)
    for key, subschema in schema.get("properties", {}).items():
        subschema = dereferenced(subschema, root)
        if key in (*WHERE_USED, "defaults"):
            continue
        # A search without a budget of its own has that of the experiment, not an empty one.
        if subschema.get("type") == "object" and key != "budget":
            given = result.get(key, subschema.get("default", {}))
            over_default = "additionalProperties" in subschema and subschema["additionalProperties"] is False
            base = subschema.get("default", {}) if over_default else {}
            result[key] = _filled(merged(base, given), subschema, root)
        elif key not in result and "default" in subschema:
            result[key] = copy.deepcopy(subschema["default"])
    if result.get("kind") == kinds.SEARCH:
        _fill_search(result, schema["properties"], root)
    elif result.get("kind") in kinds.KINDS and (options := kinds.of(result).options):
        result[options] = _filled(result.get(options, {}), schema["properties"][options], root)
    extra = schema.get("additionalProperties")
    if isinstance(extra, Mapping):
        result = {key: _filled(item, extra, root) for key, item in result.items()}
    return result


def _fill_search(method: Tree, properties: Mapping[str, Any], root: Mapping[str, Any]) -> None:
    """Defaults of a search: its score, that score's own settings, and where its candidates come from."""
    method.setdefault("score", scores.DEFAULT)
    method.setdefault("search", scores.SAMPLE)
    known = scores.SCORES.get(method["score"])
    if known is not None and known.settings:
        method[known.settings] = _filled(method.get(known.settings, {}), properties[known.settings], root)
    if method.get("encoder", {}).get("objective") == "regression":
        method.setdefault("labels", LABELS)


def _fill_selection(experiment: Tree, schema: Mapping[str, Any]) -> None:
    """Defaults of the recipe of baselines that train while they choose, in an experiment that has one."""
    name, known = kinds.SELECTION, (kinds.KINDS.get(method["kind"]) for method in experiment["methods"].values())
    if name in experiment or any(kind and name in kind.settings for kind in known):
        recipe = schema["$defs"]["experiment"]["properties"][name]
        experiment[name] = _filled(merged(recipe["default"], experiment.get(name, {})), recipe, schema)


def _describe(error: ValidationError) -> str:
    """One line: the key, what was found, what would be right."""
    found: Any = error.instance
    expected: Any = error.validator_value
    schema: Any = error.schema
    key = ".".join(map(str, error.path)) or "top level"
    if error.validator == "additionalProperties":
        known = schema.get("properties", {})
        unknown = next(name for name in found if name not in known)
        named = f"'{unknown}'" if str(unknown).isprintable() and len(str(unknown)) < LONG else shown(unknown)
        return f"{key}: unknown key {named}{nearest(str(unknown), known)}; known: {', '.join(known)}"
    if error.validator == "required":
        missing = next(name for name in expected if name not in found)
        return f"{key}: key '{missing}' is missing"
    if error.validator == "type":
        wanted = [expected] if isinstance(expected, str) else expected
        return f"{key}: found {_written(found)}, expected {' or '.join(TYPES[each] for each in wanted)}"
    if error.validator == "enum":
        choice = nearest(str(found), map(str, expected))
        return f"{key}: found {_written(found)}{choice}; expected one of {', '.join(map(str, expected))}"
    if error.validator == "uniqueItems":
        twice = next(item for item in found if found.count(item) > 1)
        return f"{key}: {_written(twice)} stands twice; expected each value once"
    if error.validator in ("minItems", "maxItems") and "title" in schema:
        return f"{key}: found {_written(found)}, expected {schema['title']}"
    if error.validator == "pattern":
        marks = "digits, - and _" if "_" in expected else "digits and -"
        return f"{key}: found {_written(found)}, expected a name of lower-case letters, {marks}"
    limits = {
        "minimum": "at least", "maximum": "at most", "exclusiveMinimum": "more than", "exclusiveMaximum": "less than",
        "minItems": "a length of at least", "minProperties": "a number of entries of at least",
        "maxLength": "a length of at most",
    }  # fmt: skip
    if error.validator in limits:
        return f"{key}: found {_written(found)}, expected {limits[error.validator]} {expected}"
    return f"{key}: {one_line(error)}"


def _written(value: Any) -> str:
    """A value as YAML has it, as far as it differs from Python."""
    words = {None: "null", True: "true", False: "false"}
    return words[value] if value is None or isinstance(value, bool) else shown(value)
