"""Validate a config against its schema, fill in the defaults, and check what a schema cannot express."""

import copy
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend

from sacp.errors import InputError, nearest
from sacp.problem import ENCODER, LOG_MASS, SAMPLE, labelled

Tree = dict[str, Any]
REQUIRED = (
    ("dataset",), ("network", "name"),
    ("space", "training_size"), ("space", "search_size"), ("space", "threshold"),
)  # fmt: skip
LABELS = 100  # N' of a regression that gives none
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
    errors = sorted(Validator(schema).iter_errors(config), key=lambda error: list(map(str, error.path)))
    if errors:
        raise InputError(f"{source}: {_describe(errors[0])}")
    shared = config.get("defaults", {})
    experiments = {name: merged(shared, own or {}) for name, own in config["experiments"].items()}
    for experiment in experiments.values():
        experiment["sample"] = merged(experiment.get("tune", {}), experiment.get("sample", {}))
    given = {key: value for key, value in config.items() if key != "defaults"}
    complete: Tree = _filled({**given, "experiments": experiments}, schema, schema)
    _check_names(complete["experiments"], source)
    for name, experiment in complete["experiments"].items():
        try:
            check_experiment(experiment, complete["datasets"])
        except InputError as error:
            raise InputError(f"{source}: experiments.{name}.{error}") from None
    return complete


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> Tree:
    """Return `base` with the entries of `over`, nested mappings merged key by key."""
    result = copy.deepcopy(dict(base))
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = merged(result[key], value) if both else copy.deepcopy(value)
    return result


def check_experiment(experiment: Mapping[str, Any], datasets: Mapping[str, Any]) -> None:
    """Raise `InputError` for a missing key or for settings that contradict each other; names the key."""
    for path in REQUIRED:
        value: Any = experiment
        for key in path:
            value = (value or {}).get(key)
        if value is None:
            raise InputError(f"{'.'.join(path)}: missing; give it here or under 'defaults'")
    if experiment["dataset"] not in datasets:
        found = experiment["dataset"]
        raise InputError(f"dataset: unknown data set '{found}'{nearest(found, datasets)}; known: {', '.join(datasets)}")
    m, k, size = experiment["refine"]["top_m"], experiment["refine"]["top_k"], experiment["space"]["search_size"]
    if k > m:
        raise InputError(f"refine.top_k: k = {k} exceeds m = {m} (refine.top_m); expected k <= m")
    if m > experiment["search"]["found"] and any(
        method.get("search", SAMPLE) != SAMPLE for method in experiment["methods"].values()
    ):
        raise InputError(
            f"search.found: found {experiment['search']['found']}, expected at least m = {m} (refine.top_m)"
        )
    if m > size:
        raise InputError(f"refine.top_m: m = {m} exceeds M = {size} (space.search_size); expected m <= M")
    for other in experiment["sweep"]["m"]:
        if not k <= other <= m:
            raise InputError(f"sweep.m: found {other}, expected values from k = {k} to m = {m} (refine)")
    for stage in ("base", "tune", "full", "sample", "sparse"):
        if experiment[stage]["nesterov"] and experiment[stage]["momentum"] == 0:
            raise InputError(f"{stage}.nesterov: found true with momentum 0; expected a momentum above 0, or false")
        warmup, epochs = experiment[stage]["warmup_epochs"], experiment[stage]["epochs"]
        if warmup > 0 and warmup >= epochs:
            raise InputError(f"{stage}.warmup_epochs: found {warmup}, expected less than the {epochs} epochs")
    for key, limit in experiment["search"]["budget"].items():
        if isinstance(limit, list) and limit[0] > limit[1]:
            raise InputError(f"search.budget.{key}: found {limit}, expected [at least, at most]")
    shard_size = experiment["refine"]["shard_size"]
    for name, method in experiment["methods"].items():
        if labelled(method, experiment["refine"]) >= m:
            raise InputError(
                f"methods.{name}.rerank: {method['rerank']} of m = {m} in shards of {shard_size} (refine.shard_size) "
                "leaves none to rank anew; expected a smaller share or smaller shards"
            )
    _check_methods(experiment["methods"], experiment["space"]["training_size"])
    _check_predictors(experiment["predictors"], experiment["methods"], size)


def _check_names(experiments: Mapping[str, Any], source: str) -> None:
    """A method's name stands for one kind of method in all experiments: its folder's rules go by it."""
    kinds: dict[str, tuple[str, str]] = {}
    for experiment, settings in experiments.items():
        for method, given in settings["methods"].items():
            first, kind = kinds.setdefault(method, (experiment, given["kind"]))
            if given["kind"] != kind:
                raise InputError(
                    f"{source}: experiments.{experiment}.methods.{method}.kind: found '{given['kind']}', but in "
                    f"{first} it is '{kind}'; expected one kind for a name"
                )


def _check_methods(methods: Mapping[str, Any], training_size: int) -> None:
    searches = [name for name, method in methods.items() if method["kind"] == "search"]
    for name, method in methods.items():
        for key, without in (("match", ("search",)), ("criterion", ("search", "tuned"))):
            if method["kind"] in without and key in method:
                raise InputError(f"methods.{name}.{key}: only a baseline has it; expected no '{key}' here")
        for key in ("score", "encoder", "search", "rerank"):
            if method["kind"] != "search" and key in method:
                raise InputError(f"methods.{name}.{key}: only a search has it; expected no '{key}' here")
        if method.get("score", ENCODER) != ENCODER and "encoder" in method:
            raise InputError(
                f"methods.{name}.encoder: the score '{method['score']}' needs none; expected no 'encoder' here"
            )
        if method.get("score") != LOG_MASS and "exponents" in method:
            raise InputError(f"methods.{name}.exponents: only the score '{LOG_MASS}' has them; expected none here")
        if method.get("search") == "exact" and method["score"] != LOG_MASS:
            raise InputError(
                f"methods.{name}.search: 'exact' needs the score '{LOG_MASS}', found '{method['score']}'; use 'local'"
            )
        _check_encoder(f"methods.{name}.encoder", method.get("encoder", {}))
        is_regression = method.get("encoder", {}).get("objective") == "regression"
        if "labels" in method and not is_regression:
            raise InputError(
                f"methods.{name}.labels: only the objective 'regression' has it; expected no 'labels' here"
            )
        if method.get("labels", 0) > training_size:
            raise InputError(
                f"methods.{name}.labels: N' = {method['labels']} exceeds N = {training_size} (space.training_size); "
                "expected N' <= N"
            )
        if method["kind"] == "slimming" and "criterion" in method:
            raise InputError(f"methods.{name}.criterion: slimming goes by batch norms; expected no 'criterion' here")
        if method["kind"] != "search" and method.get("match") not in searches:
            found = method.get("match")
            known = ", ".join(searches) or "none is given"
            raise InputError(f"methods.{name}.match: found {found!r}, expected a search method: {known}")


def _check_encoder(key: str, encoder: Mapping[str, Any]) -> None:
    """What an encoder that is trained by distance or against its own negatives cannot have."""
    for other, value in (("score", "distance"), ("negatives", "own")):
        if encoder.get(other) == value and encoder["objective"] != "contrastive":
            raise InputError(
                f"{key}.{other}: '{value}' goes with the objective 'contrastive', found '{encoder['objective']}'"
            )
    if encoder.get("score") == "distance":
        for other, wanted in (("negatives", "own"), ("anchor", "original")):
            if encoder[other] != wanted:
                raise InputError(f"{key}.score: 'distance' goes with {other}: {wanted}, found {encoder[other]}")


def _check_predictors(predictors: Mapping[str, Any], methods: Mapping[str, Any], search_size: int) -> None:
    if predictors["sample"] > search_size:
        raise InputError(
            f"predictors.sample: found {predictors['sample']}, more than M = {search_size} (space.search_size)"
        )
    if predictors["sample"] in (1, 2):
        raise InputError(f"predictors.sample: found {predictors['sample']}, expected 0 or at least 3 to correlate")
    for name, encoder in predictors["encoders"].items():
        _check_encoder(f"predictors.encoders.{name}", encoder)
        if name in methods:
            raise InputError(f"predictors.encoders.{name}: a method has this name; expected another")
        if encoder["objective"] == "regression":
            raise InputError(f"predictors.encoders.{name}.objective: a regression needs labels; make it a method")


def _filled(value: Any, schema: Mapping[str, Any], root: Mapping[str, Any]) -> Any:
    """Return `value` with the defaults of `schema`, at every depth, whether or not the parent was given."""
    schema = _dereferenced(schema, root)
    if not isinstance(value, Mapping):
        return value
    result = dict(value)
    for key, subschema in schema.get("properties", {}).items():
        subschema = _dereferenced(subschema, root)
        if subschema.get("type") == "object" and key not in ("encoder", "exponents", "defaults"):
            given = result.get(key, subschema.get("default", {}))
            over_default = "additionalProperties" in subschema and subschema["additionalProperties"] is False
            base = subschema.get("default", {}) if over_default else {}
            result[key] = _filled(merged(base, given), subschema, root)
        elif key not in result and "default" in subschema:
            result[key] = copy.deepcopy(subschema["default"])
        elif isinstance(result.get(key), float) and "integer" in subschema.get("type", ""):
            result[key] = int(result[key])  # a schema's integer may be written 1.0e6
    if result.get("kind") == "search":
        result.setdefault("score", ENCODER)
        result.setdefault("search", SAMPLE)
        if result["score"] == ENCODER:
            result["encoder"] = _filled(result.get("encoder", {}), schema["properties"]["encoder"], root)
            if result["encoder"]["objective"] == "regression":
                result.setdefault("labels", LABELS)
        elif result["score"] == LOG_MASS:
            result["exponents"] = _filled(result.get("exponents", {}), schema["properties"]["exponents"], root)
    extra = schema.get("additionalProperties")
    if isinstance(extra, Mapping):
        result = {key: _filled(item, extra, root) for key, item in result.items()}
    return result


def _dereferenced(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = schema.get("$ref")
    if reference is None:
        return schema
    return {**root["$defs"][reference.rpartition("/")[2]], **schema}


def _describe(error: ValidationError) -> str:
    """One line: the key, what was found, what would be right."""
    found: Any = error.instance
    expected: Any = error.validator_value
    schema: Any = error.schema
    key = ".".join(map(str, error.path)) or "top level"
    if error.validator == "additionalProperties":
        known = schema.get("properties", {})
        unknown = next(name for name in found if name not in known)
        return f"{key}: unknown key '{unknown}'{nearest(str(unknown), known)}; known: {', '.join(known)}"
    if error.validator == "required":
        missing = next(name for name in expected if name not in found)
        return f"{key}: key '{missing}' is missing"
    if error.validator == "type":
        hint = ""
        if expected in ("number", "integer") and _is_number(found):
            hint = "; YAML reads this as text, write it unquoted and with a point, as in 1.0e-3"
        return f"{key}: found {found!r}, a {type(found).__name__}, expected type {expected}{hint}"
    if error.validator == "enum":
        choice = nearest(str(found), map(str, expected))
        return f"{key}: found {found!r}{choice}; expected one of {', '.join(map(str, expected))}"
    limits = {
        "minimum": "at least", "maximum": "at most", "exclusiveMinimum": "more than", "exclusiveMaximum": "less than",
        "minItems": "a length of at least", "minProperties": "a number of entries of at least",
        "pattern": "a name that matches",
    }  # fmt: skip
    if error.validator in limits:
        return f"{key}: found {found!r}, expected {limits[error.validator]} {expected}"
    return f"{key}: {error.message}"


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True
