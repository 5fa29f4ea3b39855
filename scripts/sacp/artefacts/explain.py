"""The chain of files that led to an artefact, back to the data: `python -m sacp.artefacts.explain FILE`.

Run it where the pipeline was run: records name files as Snakemake did, relative to that folder.
"""

import argparse
import json
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

from sacp.artefacts import lookup
from sacp.artefacts.digests import file_digest
from sacp.errors import InputError

SHORT = 12  # characters shown of a digest
READER = "prepare_data"  # the rule whose inputs are the user's, wherever they lie


@dataclass
class Chain:
    """What was found between an artefact and its sources."""

    lines: list[str] = field(default_factory=list)
    artefacts: list[str] = field(default_factory=list)  # files with a record
    sources: list[str] = field(default_factory=list)  # files without: what the pipeline did not make
    broken: list[str] = field(default_factory=list)  # files that differ from what their record, or a reader's, says
    unexplained: list[str] = field(default_factory=list)  # files without, among those that the pipeline made
    results: set[Path] = field(default_factory=set)  # folders of all that the runs have made
    beside: set[Path] = field(default_factory=set)  # folders of records that do not say which that is

    def follow(self, path: Path) -> None:
        """Add a file and all that it was made from.

        Raises:
            InputError: a record is damaged.
        """
        given = set[str]()
        self._follow(path, None, 0, given)
        if self.beside:
            self.results.add(Path(os.path.commonpath(map(os.path.abspath, self.beside))))
        inside = [name for name in self.sources if name not in given and self._is_made(Path(name))]
        self.unexplained += [name for name in inside if Path(name).is_file()]
        self.sources = [name for name in self.sources if name not in inside]

    def _follow(self, path: Path, digest: str | None, depth: int, given: set[str]) -> None:
        """Add a file, with the SHA-256 that a reader recorded of it; `given` gathers what the user gave."""
        name, indent = path.as_posix(), "  " * depth
        if name in self.artefacts or name in self.sources:
            self.lines.append(f"{indent}{name} (above)")
            return
        found = lookup.find(path)
        if found is None:
            self.sources.append(name)
            state = self._state(path, {digest})
            self.lines.append(f"{indent}{name}{state}, {digest[:SHORT] if digest else 'no record'}")
            return
        holder, record = found
        self.artefacts.append(name)
        if record.get("results") is None:
            self.beside.add(holder.parent)
        else:
            self.results.add(Path(record["results"]))
        state = self._state(path, {digest, record["outputs"].get(path.name)})
        self.lines.append(f"{indent}{name}{state}")
        self.lines += [f"{indent}  | {line}" for line in describe(record)]
        for sibling, expected in record["outputs"].items():
            if sibling != path.name:
                beside = holder.with_name(sibling)
                self.lines.append(f"{indent}  | with {beside.as_posix()}{self._state(beside, {expected})}")
        given.update(Path(source).as_posix() for source in record["inputs"] if record["rule"] == READER)
        for source, expected in record["inputs"].items():
            self._follow(Path(source), expected, depth + 1, given)

    def _is_made(self, path: Path) -> bool:
        """Does a file lie where the pipeline puts what it makes?"""
        place = Path(os.path.abspath(path))
        return any(place.is_relative_to(os.path.abspath(folder)) for folder in self.results)

    def _state(self, path: Path, digests: set[str | None]) -> str:
        """How a file differs from any of its recorded digests, in words; empty if it does not."""
        if path.is_dir():
            state = "A FOLDER"
        elif not path.is_file():
            state = "MISSING"
        elif digests <= {None, file_digest(path)}:
            return ""
        else:
            state = "CHANGED"
        self.broken.append(f"{path.as_posix()} ({state.lower()})")
        return f" {state}"


def describe(record: lookup.Record) -> list[str]:
    """A record in a few lines: who made it, when, with what."""
    versions = record["versions"]
    commit = (record["commit"] or "no git").replace("+dirty", " with uncommitted changes")
    seed = "" if record["seed"] is None else f", seed {record['seed']}"
    precision = f" in {record['precision']}" if "precision" in record else ""
    code = ", ".join(f"{name} {digest[:SHORT]}" for name, digest in record["code"].items())
    lines = [
        f"{record['rule']}{seed}, code of {code}, commit {commit}",
        f"{record['started']}, {record['seconds']:g} s on {record['device']}{precision}; "
        + ", ".join(f"{name} {versions[name]}" for name in ("python", "torch", "snakemake") if name in versions),
    ]
    if record["settings"]:
        lines.append(json.dumps(record["settings"]))
    if "data_digest" in record:
        lines.append(f"data {record['data_digest']}")
    return lines


def explain(path: Path) -> Chain:
    """Follow an artefact to its sources.

    Raises:
        InputError: it is not there, nothing says how it was made, or a record on the way is damaged.
    """
    if path.is_dir():
        raise InputError(f"{path}: a folder; expected a file")
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    chain = Chain()
    try:
        chain.follow(path)
    except OSError as error:
        raise InputError(f"{error.filename}: cannot be read ({error.strerror})") from None
    if not chain.artefacts:
        raise InputError(f"{path}: no record says how it was made; expected a file below the results folder")
    return chain


def main() -> int:
    """Print the chain; the status is 1 if a file on the way is not what was used, or none knows how it was made."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, help="an artefact of the pipeline")
    try:
        chain = explain(parser.parse_args().file)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print("\n".join(chain.lines))
    print(f"\nartefacts: {len(chain.artefacts)}, sources: {len(chain.sources)}")
    for name in dict.fromkeys(chain.broken):
        print(f"error: not what was used: {name}", file=sys.stderr)
    for name in chain.unexplained:
        print(f"error: no record says how it was made: {name}; expected one beside it that names it", file=sys.stderr)
    return bool(chain.broken or chain.unexplained)


if __name__ == "__main__":
    sys.exit(main())
