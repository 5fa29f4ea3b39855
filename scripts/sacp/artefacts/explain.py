"""The chain of files that led to an artefact, back to the data: `python -m sacp.artefacts.explain FILE`.

Run it where the pipeline was run: records name files as Snakemake did, relative to that folder.
"""

import argparse
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path

from sacp.artefacts import lookup
from sacp.artefacts.digests import file_digest
from sacp.errors import InputError

SHORT = 12  # characters shown of a digest


@dataclass
class Chain:
    """What was found between an artefact and its sources."""

    lines: list[str] = field(default_factory=list)
    artefacts: list[str] = field(default_factory=list)  # files with a record
    sources: list[str] = field(default_factory=list)  # files without: what the pipeline did not make
    broken: list[str] = field(default_factory=list)  # files that differ from what their record, or a reader's, says

    def follow(self, path: Path, digest: str | None = None, depth: int = 0) -> None:
        """Add a file and all that it was made from.

        Args:
            path: the file.
            digest: SHA-256 that a reader recorded of it, if one did.
            depth: steps from the artefact that is explained.
        """
        name, indent = path.as_posix(), "  " * depth
        if name in self.artefacts or name in self.sources:
            self.lines.append(f"{indent}{name} (above)")
            return
        state = self._state(path, digest)
        found = lookup.find(path) if path.is_file() else None
        if found is None:
            self.sources.append(name)
            self.lines.append(f"{indent}{name}{state}, {digest[:SHORT] if digest else 'no record'}")
            return
        holder, record = found
        self.artefacts.append(name)
        if digest is None and path.name in record["outputs"]:
            state = self._state(path, record["outputs"][path.name])
        self.lines.append(f"{indent}{name}{state}")
        self.lines += [f"{indent}  | {line}" for line in describe(record)]
        for sibling, expected in record["outputs"].items():
            if sibling != path.name:
                beside = holder.with_name(sibling)
                self.lines.append(f"{indent}  | with {beside.as_posix()}{self._state(beside, expected)}")
        for source, expected in record["inputs"].items():
            self.follow(Path(source), expected, depth + 1)

    def _state(self, path: Path, digest: str | None) -> str:
        """How a file differs from its recorded digest, in words; empty if it does not."""
        if not path.is_file():
            state = "MISSING"
        elif digest is None or file_digest(path) == digest:
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
    code = ", ".join(f"{name} {digest[:SHORT]}" for name, digest in record["code"].items())
    lines = [
        f"{record['rule']}{seed}, code of {code}, commit {commit}",
        f"{record['started']}, {record['seconds']:g} s on {record['device']}; "
        + ", ".join(f"{name} {versions[name]}" for name in ("python", "torch", "snakemake")),
    ]
    if record["settings"]:
        lines.append(json.dumps(record["settings"]))
    if "data_digest" in record:
        lines.append(f"data {record['data_digest']}")
    return lines


def explain(path: Path) -> Chain:
    """Follow an artefact to its sources; `InputError` if it is not there or nothing says how it was made."""
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    chain = Chain()
    chain.follow(path)
    if not chain.artefacts:
        raise InputError(f"{path}: no record says how it was made; expected a file below the results folder")
    return chain


def main() -> int:
    """Print the chain; the status is 1 if a file on the way is not what was used."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, help="an artefact of the pipeline")
    try:
        chain = explain(parser.parse_args().file)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print("\n".join(chain.lines))
    print(f"\n{len(chain.artefacts)} artefacts, {len(chain.sources)} sources")
    for name in dict.fromkeys(chain.broken):
        print(f"error: not what was used: {name}", file=sys.stderr)
    return bool(chain.broken)


if __name__ == "__main__":
    sys.exit(main())
