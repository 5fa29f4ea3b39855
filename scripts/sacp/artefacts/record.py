"""How an artefact was made: settings, code, inputs, commit, versions, device, and the time it took."""

import importlib.metadata
import platform
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sacp.artefacts import lookup
from sacp.artefacts.clock import process_seconds, process_started
from sacp.artefacts.digests import file_digest, sealed
from sacp.artefacts.inputs import Input

TRAININGS = "trainings"  # whose precision a lineage tells
LIBRARIES = ("torch", "torchvision", "torch-geometric", "numpy", "pandas", "h5py", "snakemake")


def record(
    rule: str,
    settings: Mapping[str, Any],
    code: Mapping[str, str],
    inputs: Sequence[Input],
    seed: int | None,
    results: Path | None = None,
    place: Path | None = None,
    cores: int = 1,
) -> dict[str, Any]:
    """Return the provenance of an artefact that is made now, as plain JSON values.

    Args:
        rule: the rule that makes it.
        settings: the resolved part of the config that the stage used.
        code: digests of the stage's code: of its script, and of what its settings tell it to load.
        inputs: the files that it reads; each is named with its SHA-256.
        seed: the seed, if the stage has one.
        results: the folder of all that the run makes, if it is known.
        place: the file of the record, in that folder.
        cores: CPU cores of the job, the threads that it computes in; a job that holds GPUs changes `gpus`.
    """
    versions = _versions()
    return {
        "rule": rule,
        "settings": dict(settings),
        "code": dict(code),
        "seed": seed,
        "results": None if results is None else results.as_posix(),
        "place": None if place is None or results is None else place.relative_to(results).as_posix(),
        "inputs": {each.path.as_posix(): each.digest for each in inputs},
        "commit": _commit(),
        "versions": versions,
        "lineage": _lineage(code, versions, inputs),
        "device": _device(),
        "cores": cores,
        "gpus": 0,
        "started": process_started(),
    }


def computed_in(made: Mapping[str, Any], precision: str) -> dict[str, Any]:
    """Return the record of a training, which tells its `precision`, and in the lineage that of all trainings before."""
    before = made["lineage"]["precision"].get(TRAININGS, [])
    lineage = {**made["lineage"], "precision": {TRAININGS: sorted({*before, precision})}}
    return {**made, "precision": precision, "lineage": lineage}


def finished(
    made: Mapping[str, Any],
    outputs: Iterable[str | Path],
    earlier_seconds: float = 0.0,
    facts: Mapping[str, Any] = MappingProxyType({}),
) -> dict[str, Any]:
    """Return the record of artefacts that are complete now, with the `seconds` that their job has taken.

    Args:
        made: what `record` returned, early or late in this process.
        outputs: what the job wrote in the folder of the record; each is named with its SHA-256.
        earlier_seconds: time taken by processes that began the same job and were killed.
        facts: what else it says.
    """
    digests = {Path(path).name: file_digest(path) for path in outputs}
    return sealed({**made, "outputs": digests, "seconds": round(earlier_seconds + process_seconds(), 3), **facts})


def of_training(made: Mapping[str, Any]) -> dict[str, Any]:
    """What the record of a winner says of the trainings that it was chosen from: how they were made, and their time."""
    return {name: made[name] for name in lookup.OF_TRAINING}


def _device() -> str:
    """The GPU that this process can use, or the processor: always the latter if torch was never loaded."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        return str(torch.cuda.get_device_name())
    return f"cpu, {platform.machine()}"


def _versions() -> dict[str, str]:
    """Versions of Python and of the libraries that are installed: not every rule's environment has all."""
    versions = {"python": platform.python_version()}
    for name in LIBRARIES:
        with suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions


def _lineage(
    code: Mapping[str, str], versions: Mapping[str, str], inputs: Sequence[Input]
) -> dict[str, dict[str, list[str]]]:
    """What made an artefact and all it was made from: code by script, versions by library, precision of trainings."""
    own = {"code": code, "versions": versions, "precision": {}}
    found = [{part: {name: [value] for name, value in values.items()} for part, values in own.items()}]
    found += [each.made["lineage"] for each in inputs if each.made and "lineage" in each.made]
    return {
        part: {
            name: sorted({value for each in found for value in each.get(part, {}).get(name, [])})
            for name in sorted({name for each in found for name in each.get(part, {})})
        }
        for part in own
    }


def mixture_note(made: Mapping[str, Any]) -> str:
    """A sentence on code, versions or precisions that an artefact mixes and one run would not; empty if none."""
    mixed = [f"{name} {' and '.join(found)}" for name, found in made["lineage"]["versions"].items() if len(found) > 1]
    mixed += [f"{len(found)} codes of {name}" for name, found in made["lineage"]["code"].items() if len(found) > 1]
    precisions = made["lineage"]["precision"].get(TRAININGS, [])
    mixed += [f"trainings in {' and '.join(precisions)}"] if len(precisions) > 1 else []
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
