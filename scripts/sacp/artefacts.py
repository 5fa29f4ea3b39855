"""Files of the search: configurations in HDF5, scores in parquet. Both can be read without this code."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from sacp.errors import InputError, one_line
from sacp.files import atomic


def save_configs(path: str | Path, sets: Mapping[str, NDArray[np.uint8]], attributes: Mapping[str, Any]) -> None:
    """Write `configs.h5`: uint8 data sets [rows, G], and attributes that make the file readable alone."""
    with atomic(path) as temporary, h5py.File(temporary, "w") as handle:
        for name, steps in sets.items():
            handle.create_dataset(name, data=steps, chunks=True, compression="gzip", compression_opts=1, shuffle=True)
        for name, value in attributes.items():
            handle.attrs[name] = json.dumps(value) if isinstance(value, dict) else value


def load_configs(path: str | Path, name: str, rows: Any = slice(None)) -> tuple[NDArray[np.uint8], int]:
    """Read rows of a data set of `configs.h5`: uint8 [rows, G], and the number of levels."""
    try:
        with h5py.File(path) as handle:
            return handle[name][rows], int(handle.attrs["levels"])
    except (OSError, KeyError, ValueError, IndexError) as error:
        raise InputError(f"{path}: cannot read '{name}' ({one_line(error)})") from None


def save_scores(path: str | Path, columns: Mapping[str, NDArray[Any]], provenance: Mapping[str, Any]) -> None:
    """Write `scores.parquet`, rows as given, best first; the provenance stands in the schema's metadata."""
    table = pa.table({name: pa.array(values) for name, values in columns.items()})
    with atomic(path) as temporary:
        pq.write_table(table.replace_schema_metadata({"provenance": json.dumps(dict(provenance))}), temporary)


def load_best(path: str | Path, number: int) -> list[int]:
    """Candidate numbers of the `number` best scores, best first."""
    try:
        best: list[int] = pq.read_table(path, columns=["candidate"])["candidate"].slice(0, number).to_pylist()
    except (OSError, pa.ArrowInvalid, KeyError) as error:
        raise InputError(f"{path}: not a table of scores ({one_line(error)})") from None
    return best
