"""The chain of files that led to an artefact, back to the data: `python -m sacp.artefacts.explain FILE`.

Run it where the pipeline was run: records name files as Snakemake did, relative to that folder. With two files, of one
run or of two, it says what their chains differ in. Files that are not what their records say are named either way.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sacp.artefacts import lookup
from sacp.artefacts.digests import file_digest
from sacp.artefacts.inputs import SHORT
from sacp.errors import InputError

LONGEST = 200  # characters shown of a value that differs
THREADS = "threads"
# Keys of a record that are compared, in the words of the comparison. Files that it names have records of their own.
COMPARED = {key: key for key in ("rule", "seed", "settings", "code", "versions", "precision", "device", "gpus")}
COMPARED |= {"cores": THREADS, "data_digest": "data"}


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
    records: dict[str, lookup.Record] = field(default_factory=dict)  # by their place in the results; sources first

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
        results = _results_now(holder, record)
        if results is None:
            self.beside.add(holder.parent)
        else:
            self.results.add(results)
        state = self._state(path, {digest, record["outputs"].get(path.name)}, record)
        self.lines.append(f"{indent}{name}{state}")
        self.lines += [f"{indent}  | {line}" for line in describe(record)]
        for sibling, expected in record["outputs"].items():
            if sibling != path.name:
                beside = holder.with_name(sibling)
                self.lines.append(f"{indent}  | with {beside.as_posix()}{self._state(beside, {expected}, record)}")
        inputs = {_lies_now(Path(source), record, results): expected for source, expected in record["inputs"].items()}
        given.update(source.as_posix() for source in inputs if record["rule"] == lookup.READER)
        for source, expected in inputs.items():
            self._follow(source, expected, depth + 1, given)
        if record["place"] is not None:
            self.records[record["place"]] = record

    def _is_made(self, path: Path) -> bool:
        """Does a file lie where the pipeline puts what it makes?"""
        place = Path(os.path.abspath(path))
        return any(place.is_relative_to(os.path.abspath(folder)) for folder in self.results)

    def _state(self, path: Path, digests: set[str | None], made: lookup.Record | None = None) -> str:
        """How a file of the record `made` differs from any of its recorded digests, in words; empty if it does not."""
        if path.is_dir():
            state = "A FOLDER"
        elif not path.is_file() and made and path.name in made.get(lookup.TEMPORARY, ()):
            return " deleted, as nothing needs it"
        elif not path.is_file():
            state = "MISSING"
        elif digests <= {None, file_digest(path)}:
            return ""
        else:
            state = "CHANGED"
        self.broken.append(f"{path.as_posix()} ({state.lower()})")
        return f" {state}"


def _results_now(holder: Path, record: lookup.Record) -> Path | None:
    """The folder in which all that a run has made lies now, which may have been moved; None if nothing says it."""
    place = Path(record["place"] or "").parts
    if place and holder.parts[-len(place) :] == place:
        return holder.parents[len(place) - 1]
    return None if record["results"] is None else Path(record["results"])


def _lies_now(source: Path, record: lookup.Record, results: Path | None) -> Path:
    """Where a file that a record names lies now; beside a copy of some of the results, where it was."""
    was = record["results"]
    if was is None or results is None or not source.is_relative_to(was):
        return source
    moved = results / source.relative_to(was)
    return source if source.is_file() and not moved.is_file() else moved


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


def differences(one: Chain, other: Chain) -> list[str]:
    """What two artefacts differ in: their bytes, and how they and all that they were made from were made, in words.

    Raises:
        InputError: nothing says where in the results one of them was made.
    """
    (first, *_), (second, *_) = one.artefacts, other.artefacts
    for chain in (one, other):
        if not chain.records:
            raise InputError(f"{chain.artefacts[0]}: no record says where it was made; expected a file of the results")
    same = file_digest(first) == file_digest(second)
    lines, keys = ["the same bytes" if same else "other bytes"], set[str]()
    for place in dict.fromkeys([*one.records, *other.records]):
        if place in one.records and place in other.records:
            found = list(_differing(one.records[place], other.records[place]))
            lines += [f"{place}: {key} {' and '.join(values)}" for key, values in found]
            keys.update(key for key, _ in found)
        else:
            lines.append(f"{place}: only in the chain of {first if place in one.records else second}")
            keys.add(place)
    if keys == {THREADS}:
        lines.append("they differ in the number of threads alone, which can change the last bits of a sum")
    return lines


def _differing(one: lookup.Record, other: lookup.Record) -> Iterator[tuple[str, list[str]]]:
    """Keys of two records whose values differ, with both values; of a dict its keys, one by one."""
    for key in COMPARED:
        values = [record.get(key) for record in (one, other)]
        if values[0] == values[1]:
            continue
        parts = [value if isinstance(value, dict) else {"": value} for value in values]
        for part in sorted({*parts[0], *parts[1]}):
            pair = [each.get(part) for each in parts]
            if pair[0] != pair[1]:
                yield f"{COMPARED[key]} {part}".strip(), [_short(value) for value in pair]


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the chain, or what two differ in; the status is 1 if a file on the way is not what was used, or unknown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, help="an artefact of the pipeline")
    parser.add_argument("other", type=Path, nargs="?", help="another, to say what the two differ in")
    given = parser.parse_args(arguments)
    try:
        chains = [explain(path) for path in (given.file, given.other) if path]
        lines = differences(*chains) if given.other else _listed(*chains)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print("\n".join(lines))
    faults = list(dict.fromkeys(fault for chain in chains for fault in _faults(chain)))
    for fault in faults:
        print(f"error: {fault}", file=sys.stderr)
    return bool(faults)


def _listed(chain: Chain) -> list[str]:
    return [*chain.lines, "", f"artefacts: {len(chain.artefacts)}, sources: {len(chain.sources)}"]


def _faults(chain: Chain) -> list[str]:
    """Files on the way that are not what was used, or of which nothing says how they were made."""
    expected = "expected one beside it that names it"
    return [f"not what was used: {name}" for name in chain.broken] + [
        f"no record says how it was made: {name}; {expected}" for name in chain.unexplained
    ]


if __name__ == "__main__":
    sys.exit(main())
