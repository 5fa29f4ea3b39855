"""Files of the search: configurations in HDF5, scores in parquet. Both can be read without this code."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from sacp.artefacts.files import atomic
from sacp.errors import InputError, one_line
from sacp.network.graph import Graph

BLOCK_ROWS = 1 << 20  # configurations read at a time
FILE_OVERHEAD = 1 << 20  # bytes for attributes, chunk index and checksums
CHUNK_ROWS = 1 << 16  # rows of a chunk of the file, the unit that is read and checked


@contextmanager
def new_configs(
    path: str | Path, training: NDArray[np.uint8], search_size: int, attributes: Mapping[str, Any]
) -> Iterator[h5py.Dataset]:
    """Write `configs.h5`; yields the data set `search`, uint8 [search_size, G], to be filled block by block.

    The attributes make the file readable alone. Every chunk carries a checksum.
    """
    shape = (search_size, training.shape[1])
    with atomic(path) as temporary, _reserved(temporary, training.nbytes + search_size * shape[1]) as handle:
        handle.create_dataset("training", data=training, fletcher32=True)
        chunks = (min(CHUNK_ROWS, search_size), shape[1])
        yield handle.create_dataset("search", shape, np.uint8, chunks=chunks, fletcher32=True)
        for name, value in attributes.items():
            handle.attrs[name] = value


def attributes_of(graph: Graph, levels: int, threshold: float, count: int, seed: int) -> dict[str, Any]:
    """What a `configs.h5` says of itself: its network's groups, its space and how many configurations that holds."""
    return {
        "groups": [group.name for group in graph.groups],
        "channels": graph.channels,
        "weights": graph.weights,
        "levels": levels,
        "threshold": threshold,
        "constrained_configurations": str(count),
        "seed": seed,
    }


def _reserved(path: Path, size: int) -> h5py.File:
    """Open a new HDF5 file where `size` bytes and the file's own have room: HDF5 itself crashes on a full disk."""
    with path.open("wb") as handle:
        os.posix_fallocate(handle.fileno(), 0, size + FILE_OVERHEAD)
    return h5py.File(path, "w")


def check_configs(path: str | Path, graph: Graph, levels: int, threshold: float) -> None:
    """Refuse configurations of another network or another space.

    Raises:
        InputError: the file is corrupt, or its attributes differ from what is asked for.
    """
    expected = {
        "groups": [group.name for group in graph.groups],
        "channels": graph.channels,
        "weights": graph.weights,
        "levels": levels,
        "threshold": threshold,
    }
    try:
        with h5py.File(path) as handle:
            found = {name: np.asarray(handle.attrs[name]).tolist() for name in expected}
    except (OSError, KeyError) as error:
        raise InputError(f"{path}: cannot read its attributes ({one_line(error)})") from None
    for name in ("levels", "threshold"):
        if found[name] != expected[name]:
            was, now = found[name], expected[name]
            raise InputError(f"{path}: drawn by another config: space.{name} was {was}, is {now} now; draw it again")
    if found != expected:
        raise InputError(f"{path}: drawn for another network, of {len(found['groups'])} groups; draw it again")


def load_configs(path: str | Path, name: str, rows: Any = slice(None)) -> tuple[NDArray[np.uint8], int]:
    """Read rows of a data set of `configs.h5`: uint8 [rows, G], and the number of levels."""
    try:
        with h5py.File(path) as handle:
            return handle[name][rows], int(handle.attrs["levels"])
    except (OSError, KeyError, ValueError, IndexError) as error:
        raise InputError(f"{path}: cannot read '{name}' ({one_line(error)})") from None


class Candidates:
    """The search set of a `configs.h5`, read block by block."""

    def __init__(self, path: str | Path) -> None:
        """Open the file; `InputError` if it is corrupt."""
        self.path = path
        steps, self.levels = load_configs(path, "search", slice(0, 0))
        self.groups = steps.shape[1]
        with h5py.File(path) as handle:
            self.total = len(handle["search"])

    def __iter__(self) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """Yield the number of a block's first candidate and its configurations [B, G]."""
        for start in range(0, self.total, BLOCK_ROWS):
            yield start, load_configs(self.path, "search", slice(start, start + BLOCK_ROWS))[0]

    def rows(self, numbers: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Configurations of these numbers, ascending, [n, G]."""
        return load_configs(self.path, "search", numbers)[0]


def save_scores(path: str | Path, rows: NDArray[np.void]) -> None:
    """Write `scores.parquet`, rows as given, best first."""
    names = rows.dtype.names or ()
    table = pa.table({name: pa.array(np.ascontiguousarray(rows[name])) for name in names})
    with atomic(path) as temporary:
        pq.write_table(table, temporary, write_page_checksum=True)


def load_scores(path: str | Path) -> NDArray[np.void]:
    """Rows of `scores.parquet` as a structured array, in their order; `InputError` if it is not one."""
    try:
        table = pq.read_table(path, page_checksum_verification=True)
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(f"{path}: not a table of scores ({one_line(error)})") from None
    columns = {name: table[name].to_numpy() for name in table.column_names}
    rows = np.empty(table.num_rows, np.dtype([(name, column.dtype) for name, column in columns.items()]))
    for name, column in columns.items():
        rows[name] = column
    return rows


def load_best(path: str | Path, number: int) -> list[int]:
    """Candidate numbers of the `number` best scores, best first."""
    try:
        table = pq.read_table(path, columns=["candidate"], page_checksum_verification=True)
        best: list[int] = table["candidate"].slice(0, number).to_pylist()
    except (OSError, pa.ArrowInvalid, KeyError) as error:
        raise InputError(f"{path}: not a table of scores ({one_line(error)})") from None
    return best
