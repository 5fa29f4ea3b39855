"""A stand-in for the object that Snakemake gives to a script."""

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any


class Named(list):
    """Values in their order, each also under its name, as Snakemake lists files, params and wildcards."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        super().__init__(values.values())
        self._values = dict(values)
        self.__dict__.update(values)

    def keys(self) -> list[str]:
        return list(self._values)

    def get(self, name: str, default: Any = None) -> Any:
        return self._values.get(name, default)


def stand_in(
    results: Path,
    given: Mapping[str, Path] | None = None,
    out: Mapping[str, str] | None = None,
    cfg: Mapping[str, Any] | None = None,
    wildcards: Mapping[str, str] | None = None,
    threads: int = 1,
    **resources: Any,
) -> SimpleNamespace:
    """The job `rule`, whose script is `stage`, as Snakemake describes it.

    Args:
        results: the folder of outputs and logs.
        given: its input files.
        out: names of its outputs in `results`, beside the record.
        cfg: its settings.
        wildcards: values of its wildcards.
        threads: threads that it may use.
        resources: its resources; none of them a GPU if not given.
    """
    outputs = {**(out or {}), "provenance": "rule.provenance.json"}
    return SimpleNamespace(
        rule="rule",
        input=Named({name: str(path) for name, path in (given or {}).items()}),
        output=Named({name: str(results / path) for name, path in outputs.items()}),
        params=Named({"cfg": dict(cfg or {}), "code": {"stage": "c" * 64}}),
        wildcards=Named(wildcards or {}),
        threads=threads,
        resources=Named({"gpu": 0, **resources}),
        config={},
        log=[str(results / "logs/rule/stage.log")],
    )
