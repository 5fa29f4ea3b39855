"""How an artefact was made: settings, code, inputs, commit, versions, device, and the time it took."""

import importlib.metadata
import platform
import subprocess
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from sacp import records
from sacp.clock import process_seconds, process_started
from sacp.digests import file_digest

LIBRARIES = ("torch", "torchvision", "torch-geometric", "numpy", "pandas", "h5py", "snakemake")


def record(
    rule: str, settings: Mapping[str, Any], code: str, inputs: Iterable[str | Path], seed: int | None
) -> dict[str, Any]:
    """Return the provenance of an artefact that is made now, as plain JSON values.

    Args:
        rule: the rule that makes it.
        settings: the resolved part of the config that the stage used.
        code: the stage's code digest.
        inputs: the files it read; each is named with its SHA-256.
        seed: the seed, if the stage has one.
    """
    inputs, versions = list(inputs), _versions()
    return {
        "rule": rule,
        "settings": dict(settings),
        "code": code,
        "seed": seed,
        "inputs": {Path(path).as_posix(): file_digest(path) for path in inputs},
        "commit": _commit(),
        "versions": versions,
        "lineage": _lineage(rule, code, versions, inputs),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else f"cpu, {platform.machine()}",
        "started": process_started(),
    }


def finished(
    made: Mapping[str, Any], earlier_seconds: float = 0.0, outputs: Iterable[str | Path] = ()
) -> dict[str, Any]:
    """Return the record of an artefact that is complete now, with the `seconds` that its job has taken.

    Args:
        made: what `record` returned, early or late in this process.
        earlier_seconds: what processes took that began the same job and were killed.
        outputs: what the job wrote in the folder of the record, beside the file that holds it; each is named with its
            SHA-256.
    """
    digests = {Path(path).name: file_digest(path) for path in outputs}
    return {**made, "outputs": digests, "seconds": round(earlier_seconds + process_seconds(), 3)}


def _versions() -> dict[str, str]:
    """Versions of Python and of the libraries that are there: not every rule's environment holds all."""
    versions = {"python": platform.python_version()}
    for name in LIBRARIES:
        with suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions


def _lineage(
    rule: str, code: str, versions: Mapping[str, str], inputs: Iterable[str | Path]
) -> dict[str, dict[str, list[str]]]:
    """What an artefact and all that it was made from came from: code digests by rule, versions by library."""
    found = [{"code": {rule: [code]}, "versions": {name: [version] for name, version in versions.items()}}]
    for path in inputs:
        holder = records.find(path)
        found += [holder[1]["lineage"]] if holder and "lineage" in holder[1] else []
    return {
        part: {
            name: sorted({value for each in found for value in each[part].get(name, [])})
            for name in sorted({name for each in found for name in each[part]})
        }
        for part in ("code", "versions")
    }


def mixture_note(made: Mapping[str, Any]) -> str:
    """A sentence on what an artefact mixes that one run would not: code or versions; empty if nothing."""
    mixed = [f"{name} {' and '.join(found)}" for name, found in made["lineage"]["versions"].items() if len(found) > 1]
    mixed += [f"{len(found)} codes of {rule}" for rule, found in made["lineage"]["code"].items() if len(found) > 1]
    return f"**Mixed**: what this was made from comes from {', '.join(mixed)}." if mixed else ""


def _commit() -> str | None:
    """Commit of the checkout, with `+dirty` if tracked files differ; None outside git."""
    here = Path(__file__).parent
    try:
        head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=True)
        changes = subprocess.run(
            ["git", "status", "--porcelain", "--untracked-files=no"],
            cwd=here,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return head.stdout.strip() + ("+dirty" if changes.stdout.strip() else "")
