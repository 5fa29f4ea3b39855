"""Rows of the table: a network is measured in a process of its own, which may run out of time or memory."""

import csv
import resource
import signal
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from benchmarks.networks import ours, peer
from benchmarks.networks.zoo import Entry, entries
from sacp.artefacts.files import atomic
from sacp.errors import out_of_memory, told
from sacp.images.forking import Fork
from torch import nn

PARTS: Mapping[str, Callable[[nn.Module, ours.Shape], Iterator[ours.Part]]] = {
    "ours": ours.measure, "peer": peer.measure,
}  # fmt: skip
COLUMNS = {
    "ours": (
        "parameters", "precision", "outcome", "why", "groups", "channels", "random_widths", "extreme_widths", "costs",
        "cpu_seconds", "flops_percent", "torch_pruning_groups",
    ),
    "peer": ("peer", "peer_why", "peer_parameters_percent", "peer_cpu_seconds"),
}  # fmt: skip
OUTCOMES = {"ours": "outcome", "peer": "peer"}  # the column that a part's measuring ends with
HEADINGS = ("family", "network", "image_size", *COLUMNS["ours"], *COLUMNS["peer"])
LIMIT_CPU_SECONDS, LIMIT_BYTES = 600, 18 * 2**30
STALLED_SECONDS = 3600  # after which a process that does not come to its end by itself is ended

Row = dict[str, str]


def measured(part: str, entry: Entry, limit_cpu_seconds: int = LIMIT_CPU_SECONDS) -> Row:
    """The columns of one part of a network's row, whatever becomes of the process that measures them."""
    fork = Fork()
    reader, writer = fork.Pipe(duplex=False)
    child = fork.Process(target=_child, args=(writer, part, entry, limit_cpu_seconds))
    child.start()
    writer.close()
    row: Row = {}
    end = time.monotonic() + STALLED_SECONDS
    try:
        while reader.poll(max(0.0, end - time.monotonic())):
            row |= reader.recv()
        why = f"{STALLED_SECONDS} s have passed"
    except EOFError:
        child.join()
        is_late = child.exitcode == -signal.SIGXCPU
        why = f"{limit_cpu_seconds} CPU seconds are not enough" if is_late else f"status {child.exitcode}"
    finally:
        child.kill()
        child.join()
    stage = row.pop("stage", "building")
    return row if is_measured(row, part) else row | _ended(part, ours.UNFINISHED, f"{stage}: {why}")


def _ended(part: str, outcome: str, why: str) -> Row:
    return {"outcome": outcome, "why": why} if part == "ours" else {"peer": peer.FAILS, "peer_why": why}


def _child(writer: Connection, part: str, entry: Entry, limit_cpu_seconds: int) -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (LIMIT_BYTES, LIMIT_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (limit_cpu_seconds, resource.RLIM_INFINITY))
    warnings.simplefilter("ignore")
    stage = "building"
    try:
        for columns in PARTS[part](entry.build(), entry.shape):
            stage = str(columns.get("stage", stage))
            writer.send({name: str(value) for name, value in columns.items()})
    except Exception as error:  # a defect, of ours or of the peer
        if out_of_memory(error):
            writer.send(_ended(part, ours.UNFINISHED, f"{stage}: {LIMIT_BYTES // 2**30} GiB are not enough"))
        else:
            writer.send(_ended(part, ours.WRONG, f"{stage}: {told(error)}"))


def read(path: Path) -> dict[Entry, Row]:
    """All networks with what is known of each."""
    rows: dict[Entry, Row] = {
        entry: {"family": entry.family, "network": entry.name, "image_size": str(entry.shape[-1])}
        for entry in entries()
    }
    if path.exists():
        with path.open(newline="") as handle:
            for row in csv.DictReader(handle):
                rows[Entry(row["family"], row["network"])] |= row
    return rows


def write(path: Path, rows: Mapping[Entry, Row]) -> None:
    """Write the rows of networks of which anything is known, whole or not at all."""
    with atomic(path) as temporary, temporary.open("w", newline="") as handle:
        writer: Any = csv.DictWriter(handle, HEADINGS, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(row for row in rows.values() if any(is_measured(row, part) for part in PARTS))


def is_measured(row: Row, part: str) -> bool:
    """Whether a row has the outcome of a part."""
    return bool(row.get(OUTCOMES[part]))
