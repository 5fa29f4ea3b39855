"""The tables of docs/networks.md, made of docs/results/networks.csv alone."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from benchmarks.networks import peer
from benchmarks.networks.ours import EXACT, REFUSED, UNFINISHED, WRONG
from benchmarks.networks.rows import Row
from benchmarks.networks.zoo import FAMILIES

BEGIN, END = "<!-- {}: made by `make sweep-networks` -->", "<!-- end -->"
OUTCOMES = (EXACT, REFUSED, WRONG, UNFINISHED)
BEGINNINGS = "operation|convolution|linear layer|layer|parameter|buffer|tensor|reshape|module|a number|forward"
SHOWN = 6  # networks that are named where a message is


def filled(text: str, rows: Sequence[Row]) -> str:
    """A page with the table between each pair of marks made anew."""
    for name, table in tables(rows).items():
        before, mark, rest = text.partition(BEGIN.format(name))
        if not mark:
            raise ValueError(f"the page has no mark for the table '{name}'")
        text = f"{before}{mark}\n\n{table}\n\n{END}{rest.partition(END)[2]}"
    return text


def tables(rows: Sequence[Row]) -> dict[str, str]:
    """Markdown tables by name."""
    return {
        "counts": _table(("", "networks", *OUTCOMES, "Torch-Pruning runs", "it fails"), _counts(rows)),
        "wrong": _by_cause(rows, "outcome", WRONG, "why"),
        "refusals": _by_cause(rows, "outcome", REFUSED, "why"),
        "unfinished": _by_cause(rows, "outcome", UNFINISHED, "why"),
        "networks": _table(
            (
                "network", "parameters (M)", "ours", "groups", "channels", "random widths", "extreme widths", "costs",
                "seconds", "FLOPs left (%)", "groups against Torch-Pruning's", "Torch-Pruning", "its seconds",
            ),
            map(_cells, rows),
        ),
        "failures": _by_cause(rows, "peer", peer.FAILS, "peer_why"),
    }  # fmt: skip


def _table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(map(str, cells))} |" for cells in lines)


def _counts(rows: Sequence[Row]) -> list[Sequence[object]]:
    """A line for each family that has rows, and one for all."""
    of_family = {family: [row for row in rows if row["family"] == family] for family in FAMILIES}
    lines: list[Sequence[object]] = []
    for name, some in [*of_family.items(), ("all", rows)]:
        found, theirs = Counter(row.get("outcome") for row in some), Counter(row.get("peer") for row in some)
        lines.append(
            (name, len(some), *(found[outcome] for outcome in OUTCOMES), theirs[peer.RUNS], theirs[peer.FAILS])
        )
    return lines


def _cells(row: Row) -> list[str]:
    parameters = f"{int(row['parameters']) / 1e6:.1f}" if row.get("parameters") else ""
    columns = (
        "outcome",
        "groups",
        "channels",
        "random_widths",
        "extreme_widths",
        "costs",
        "cpu_seconds",
        "flops_percent",
    )
    theirs = ("torch_pruning_groups", "peer", "peer_cpu_seconds")
    return [row["network"], parameters, *(row.get(column, "") for column in (*columns, *theirs))]


def causes(message: str) -> list[str]:
    """The obstacles that a message names, each once, without what differs from network to network."""
    parts = re.split(f"; (?={BEGINNINGS})", message.removeprefix("network: "))
    return list(dict.fromkeys(map(_cause, parts)))


def _cause(message: str) -> str:
    """An obstacle without names of nodes and layers, places, and numbers."""
    message = re.sub(r" of '[^']*'(?= \()| \([\w.]+\.py:\d+\)| and \d+ more(?= )", "", message)
    kinds = "node|module|convolution|linear layer|layer|parameter|buffer|tensor|at"
    message = re.sub(rf"({kinds}) '[^']*'", r"\1 '...'", message)
    message = re.sub(r"operation '\w+(\.\w+)+'", "operation '...'", message)  # a parameter, by its path
    message = re.sub(r"(forward of) \w+", r"\1 ...", message)
    return re.sub(r"\d[\d.,e+-]*", "N", message)


def _by_cause(rows: Sequence[Row], column: str, outcome: str, why: str) -> str:
    """What stands in the way of the rows with an outcome, the most frequent first; a row may name several."""
    found = [row for row in rows if row.get(column) == outcome]
    if not found:
        return "None."
    lines = []
    for message, count in Counter(each for row in found for each in causes(row[why])).most_common():
        names = [row["network"] for row in found if message in causes(row[why])]
        more = f" and {count - SHOWN} more" if count > SHOWN else ""
        lines.append((message.replace("|", "\\|"), count, ", ".join(names[:SHOWN]) + more))
    return _table(("message", "networks", "which"), lines)
