"""What a schema cannot express: names that exist, and settings that do not contradict each other."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

from sacp import imports
from sacp.catalogue import criteria, kinds, scores, sources
from sacp.errors import InputError, nearest
from sacp.images import preprocessing
from sacp.plan import names, sizes
from sacp.plan.experiments import labelled
from sacp.training.halving import numbers

Settings = Mapping[str, Any]
REQUIRED = (
    ("dataset",), ("network", "name"),
    ("space", "training_size"), ("space", "search_size"), ("space", "threshold"),
)  # fmt: skip
Entry = TypeVar("Entry")


def check(config: Settings, source: str) -> None:
    """Check a config whose defaults are filled in.

    Raises:
        InputError: a key is missing, a name unknown, or settings contradict each other; names the key.
    """
    for name, dataset in config["datasets"].items():
        try:
            known = _named("source", partial(sources.source, dataset))
            is_scaled = "resize" in known.keys and "classes" in dataset
            preprocessing.check(dataset, known.channels, sources.shape(dataset)[1] if is_scaled else None)
        except InputError as error:
            raise InputError(f"{source}: datasets.{name}.{error}") from None
    for name, experiment in config["experiments"].items():
        try:
            check_experiment(experiment, config)
        except InputError as error:
            raise InputError(f"{source}: experiments.{name}.{error}") from None
    _check_names(config["experiments"], source)
    try:
        names.check(config)
    except InputError as error:
        raise InputError(f"{source}: {error}") from None


def check_experiment(experiment: Settings, config: Settings) -> None:
    """Raise `InputError` for a missing key or for settings that contradict each other; names the key."""
    datasets = config["datasets"]
    for path in REQUIRED:
        value: Any = experiment
        for key in path:
            value = (value or {}).get(key)
        if value is None:
            raise InputError(f"{'.'.join(path)}: missing; give it here or under 'defaults'")
    if experiment["dataset"] not in datasets:
        found = experiment["dataset"]
        raise InputError(f"dataset: unknown data set '{found}'{nearest(found, datasets)}; known: {', '.join(datasets)}")
    _check_width(experiment["network"])
    methods, training_size = experiment["methods"], experiment["space"]["training_size"]
    for name, method in methods.items():
        try:
            _check_method(method, training_size)
            _check_match(method, methods)
        except InputError as error:
            raise InputError(f"methods.{name}.{error}") from None
    cropped = sources.source(datasets[experiment["dataset"]]).image_size  # image files are cropped by shares of them
    sizes.check(experiment, cropped, config["processes"])
    _check_reranking(methods, experiment["refine"])
    _check_halving(experiment)
    _check_predictors(experiment, config["predictors"]["bands"])


def _check_width(network: Settings) -> None:
    if imports.is_path(network["name"]) and network["width"] != 1:
        raise InputError(
            f"network.width: found {network['width']}, but '{network['name']}' is a function that takes none; only "
            "networks of the library have a width"
        )


def _check_names(experiments: Settings, source: str) -> None:
    """A method's name stands for one kind of method in all experiments: the rules for its folder depend on it."""
    found: dict[str, tuple[str, str]] = {}
    for experiment, settings in experiments.items():
        for method, given in settings["methods"].items():
            first, kind = found.setdefault(method, (experiment, given["kind"]))
            if given["kind"] != kind:
                raise InputError(
                    f"{source}: experiments.{experiment}.methods.{method}.kind: found '{given['kind']}', but in "
                    f"{first} it is '{kind}'; expected one kind for a name"
                )


def _check_method(method: Settings, training_size: int) -> None:
    """Names that exist, and keys that the method's kind has."""
    kind = _named("kind", partial(kinds.of, method))
    for key in method:
        if key not in (*kinds.ALWAYS, *kind.keys):
            raise InputError(
                f"{key}: only {_owners(key)} have it, found kind '{method['kind']}'; expected no '{key}' here"
            )
    if "criterion" in method:
        _named("criterion", partial(criteria.criterion, method["criterion"]))
    if method["kind"] == kinds.SEARCH:
        _check_score(method)
        _check_labels(method, training_size)


def _owners(key: str) -> str:
    """Which kinds of methods have a key."""
    owners = [f"'{name}'" for name, kind in kinds.KINDS.items() if key in kind.keys]
    return f"methods of the kind {' or '.join(owners)}" if owners else "scores of another kind"


def _check_score(method: Settings) -> None:
    """The score's own settings, and the search that it allows."""
    name, known = method["score"], _named("score", partial(scores.score, method["score"]))
    for other, score in scores.SCORES.items():
        key = score.settings
        if key and key != known.settings and key in method:
            raise InputError(f"{key}: only the score '{other}' has it, found '{name}'; expected no '{key}' here")
    if method["search"] == "exact" and not (known.additive and known.exact):
        fit = ", ".join(other for other, score in scores.SCORES.items() if score.additive and score.exact)
        raise InputError(
            f"search: 'exact' needs a sum over the groups that is equal for few networks: {fit} or a function of your "
            f"own; found the score '{name}', use 'local'"
        )
    _check_encoder("encoder", method.get("encoder", {}))


def _check_labels(method: Settings, training_size: int) -> None:
    is_regression = method.get("encoder", {}).get("objective") == "regression"
    if "labels" in method and not is_regression:
        raise InputError("labels: only the objective 'regression' has it; expected no 'labels' here")
    if method.get("labels", 0) > training_size:
        raise InputError(
            f"labels: N' = {method['labels']} exceeds N = {training_size} (space.training_size); expected N' <= N"
        )


def _check_match(method: Settings, methods: Settings) -> None:
    """What is matched is a search. A search may match one that matches none itself: the bands would drift apart."""
    searches = [name for name, other in methods.items() if other["kind"] == kinds.SEARCH]
    wanted = "a search method"
    if method["kind"] == kinds.SEARCH:
        if "match" not in method:
            return
        if "flops" in method.get("budget", {}):
            raise InputError("budget.flops: the FLOPs are those of the winner that 'match' names; expected one of both")
        searches = [name for name in searches if "match" not in methods[name]]
        wanted = "another search, which matches none itself"
    if method.get("match") not in searches:
        known = ", ".join(searches) or "none is given"
        if (found := method.get("match")) is None:
            raise InputError(f"match: missing; expected {wanted}: {known}")
        raise InputError(f"match: found '{found}'{nearest(found, searches)}, expected {wanted}: {known}")


def _check_reranking(methods: Settings, refine: Settings) -> None:
    m, shard_size = refine["top_m"], refine["shard_size"]
    for name, method in methods.items():
        if labelled(method, refine) >= m:
            raise InputError(
                f"methods.{name}.rerank: {method['rerank']} of m = {m} in shards of {shard_size} (refine.shard_size) "
                "leaves none to rank anew; expected a smaller share or smaller shards"
            )


def _check_halving(experiment: Settings) -> None:
    """What successive halving leaves wholly tuned, and what needs more than that."""
    refine, methods = experiment["refine"], experiment["methods"]
    if not refine.get("halving"):
        return
    m, k, last = refine["top_m"], refine["top_k"], numbers(refine["top_m"])[-1]
    if k > last:
        raise InputError(
            f"refine.top_k: k = {k} exceeds the {last} of m = {m} that are tuned wholly with refine.halving; expected "
            f"k <= {last}, or a larger m"
        )
    if experiment["tune"]["epochs"] == 0:
        raise InputError("tune.epochs: found 0, which refine.halving cannot part; expected at least 1, or no halving")
    if experiment["sweep"]["m"]:
        raise InputError(
            f"sweep.m: found {experiment['sweep']['m']}; with a smaller m, others would come through refine.halving, "
            "which are not tuned wholly; expected none"
        )
    for name, method in methods.items():
        if "rerank" in method:
            raise InputError(
                f"methods.{name}.rerank: it learns from candidates that are tuned wholly before the others, which "
                "refine.halving has none of; expected one of the two"
            )


def _check_encoder(key: str, encoder: Settings) -> None:
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


def _check_predictors(experiment: Settings, bands: int) -> None:
    predictors, search_size = experiment["predictors"], experiment["space"]["search_size"]
    if predictors["sample"] > search_size:
        raise InputError(
            f"predictors.sample: found {predictors['sample']}, more than M = {search_size} (space.search_size)"
        )
    if predictors["sample"] in (1, 2):
        raise InputError(f"predictors.sample: found {predictors['sample']}, expected 0 or at least 3 to correlate")
    if 0 < predictors["sample"] < bands:
        raise InputError(
            f"predictors.sample: found {predictors['sample']}, fewer than the {bands} bands of FLOPs (predictors.bands)"
        )
    for name, encoder in predictors["encoders"].items():
        _check_encoder(f"predictors.encoders.{name}", encoder)
        if name in experiment["methods"]:
            raise InputError(f"predictors.encoders.{name}: a method has this name; expected another")
        if encoder["objective"] == "regression":
            raise InputError(f"predictors.encoders.{name}.objective: a regression needs labels; make it a method")


def _named(key: str, look_up: Callable[[], Entry]) -> Entry:
    """What a look-up finds; its error names the key."""
    try:
        return look_up()
    except InputError as error:
        raise InputError(f"{key}: {error}") from None
