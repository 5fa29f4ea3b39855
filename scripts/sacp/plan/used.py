"""The settings that a run uses: the resolved config without the parts that no stage of it takes."""

from collections.abc import Mapping

from sacp.catalogue import kinds
from sacp.plan.experiments import Experiments, Tree


def used(experiments: Experiments) -> Tree:
    """A resolved config without data sets, recipes and other parts that none of its experiments takes."""
    resolved = experiments.resolved
    found = {name: _of_experiment(experiments, name) for name in experiments.names}
    datasets = {name: resolved["datasets"][name] for name in sorted({each["dataset"] for each in found.values()})}
    unused = set() if experiments.studied() else {"predictors"}
    shared = {key: value for key, value in resolved.items() if key not in unused}
    return shared | {"datasets": datasets, "experiments": found}


def _of_experiment(experiments: Experiments, name: str) -> Tree:
    settings = experiments.of(name)
    takes = _takes(experiments, name, settings)
    return {key: value for key, value in settings.items() if takes.get(key, value is not None)}


def _takes(experiments: Experiments, name: str, settings: Tree) -> dict[str, bool]:
    """Of the parts that not every experiment takes, whether this one does."""
    methods: Mapping[str, Tree] = settings["methods"]
    of_kinds = {part for method in methods.values() for part in kinds.of(method).settings}
    searches, sample = bool(experiments.searches(name)), bool(settings["predictors"]["sample"])
    labels = any(method.get("labels") for method in methods.values())
    return {
        "colony": "colony" in of_kinds,
        "full": bool(methods),
        "latency": name in experiments.timed(),
        "predictors": sample,
        "sample": sample or labels,
        "sensitivity": bool(experiments.sensitive(name)),
        "sparse": experiments.needs(name, "sparse"),
        "sweep": searches,
        "tune": searches or "tune" in of_kinds,
    }
