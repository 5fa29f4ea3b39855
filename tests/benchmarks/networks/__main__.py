"""The sweep: measures what has no row yet, writes the page, and fails if anything that was accepted is wrong."""

import argparse
import sys
from fnmatch import fnmatch
from pathlib import Path

import torch
from benchmarks.networks import ours, page, peer, rows
from benchmarks.networks.zoo import TIMM, Entry, timm

ROOT = Path(__file__).parents[3]
CSV, PAGE = ROOT / "docs/results/networks.csv", ROOT / "docs/networks.md"


def can_be_measured(part: str, entry: Entry) -> bool:
    """Whether what it takes is installed."""
    return (entry.family != TIMM or timm is not None) and (part != "peer" or peer.torch_pruning is not None)


def sweep(names: list[str], again: str | None) -> None:
    """Measure, part by part, what is wanted and not known."""
    known = rows.read(CSV)
    for part in rows.PARTS:
        for entry, row in known.items():
            if not any(fnmatch(entry.name, name) for name in names) or not can_be_measured(part, entry):
                continue
            if rows.is_measured(row, part) and part != again:
                continue
            for column in rows.COLUMNS[part]:
                row.pop(column, None)
            row |= rows.measured(part, entry)
            rows.write(CSV, known)
            said = [row.get(column, "") for column in rows.COLUMNS[part] if column in row]
            print(f"{entry.name}, {part}:", ", ".join(said), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=["*"], help="networks, as patterns of a shell")
    parser.add_argument("--again", choices=rows.PARTS, help="measure this part anew where there is a row")
    options = parser.parse_args()
    torch.set_num_threads(1)
    sweep(options.names, options.again)
    known = [row for row in rows.read(CSV).values() if any(rows.is_measured(row, part) for part in rows.PARTS)]
    PAGE.write_text(page.filled(PAGE.read_text(), known))
    wrong = [row for row in known if row.get("outcome") == ours.WRONG]
    for row in wrong:
        print(f"error: {row['network']} is accepted and wrong: {row['why']}", file=sys.stderr)
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
