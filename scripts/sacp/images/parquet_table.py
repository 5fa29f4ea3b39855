"""A parquet file with a column of encoded images and one of labels. Rows are counted from 0."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

from sacp.errors import InputError, nearest, one_line, shown
from sacp.images import hugging_face
from sacp.images.pixels import in_rgb

ROWS = 500  # that are decoded at a time
MOST = 1_000_000  # classes
DAMAGE = (pa.ArrowException, OSError, ValueError)


@dataclass(frozen=True)
class Table:
    """An opened file, and the names of its two columns."""

    path: Path
    file: pq.ParquetFile
    image: str
    label: str

    @property
    def rows(self) -> int:
        """Number of its images."""
        return int(self.file.metadata.num_rows)

    def class_names(self) -> list[str] | None:
        """Names of the classes, if its metadata have them."""
        return hugging_face.class_names(self.file.schema_arrow, self.label)

    def labels(self, classes: int | None) -> NDArray[np.int64]:
        """Labels [n]; `InputError` names the first row with none, or whose label is no class."""
        try:
            column = self.file.read(columns=[self.label]).column(0)
        except DAMAGE as error:
            raise InputError(f"{self.path}: cannot be decoded ({one_line(error)})") from None
        if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
            raise self._bad(self.label, 0, f"{shown(column[0].as_py())} ({column.type})", "a whole number")
        absent = np.flatnonzero(column.is_null().to_numpy())
        if len(absent):
            raise self._bad(self.label, absent[0], "no label", "a whole number")
        values, limit = column.to_numpy(), classes or MOST
        odd = np.flatnonzero(~((values == np.rint(values)) & (values >= 0) & (values < limit)))
        if len(odd):
            unknown = ", which marks images without a label" if values[odd[0]] == -1 else ""
            raise self._bad(self.label, odd[0], f"{values[odd[0]]}{unknown}", f"a whole number from 0 to {limit - 1}")
        found: NDArray[np.int64] = values.astype(np.int64)
        return found

    def images(self, size: int | None = None) -> Iterator[NDArray[np.uint8]]:
        """Images in RGB [H, W, 3] one after the other; `InputError` names a row that is none, or not `size` pixels."""
        row = 0
        try:
            for batch in self.file.iter_batches(ROWS, columns=[self.image]):
                for value in batch.column(0):
                    yield self._decoded(value.as_py(), row, size)
                    row += 1
        except DAMAGE as error:
            raise InputError(f"{self.path}: cannot be decoded ({one_line(error)})") from None

    def _decoded(self, value: Any, row: int, size: int | None) -> NDArray[np.uint8]:
        encoded = value.get("bytes") if isinstance(value, dict) else value
        if not isinstance(encoded, bytes):
            path = value.get("path") if isinstance(value, dict) else value
            found = f"{shown(path)} without its bytes" if path else "no image"
            raise self._bad(self.image, row, found, "the bytes of an image file; paths are not followed")
        try:
            pixels = np.asarray(in_rgb(Image.open(io.BytesIO(encoded))))
        except Exception as error:  # Pillow meets arbitrary bytes with arbitrary exceptions
            raise InputError(f"{self._at(self.image, row)}: cannot be decoded ({one_line(error)})") from None
        height, width = pixels.shape[:2]
        if size is None and height != width:
            raise self._bad(self.image, row, f"{width} x {height} pixels", "as many rows as columns")
        if size is not None and (height, width) != (size, size):
            expected = (
                f"{size} x {size} as the first training image; files of many sizes are a folder's (`imagefolder`)"
            )
            raise self._bad(self.image, row, f"{width} x {height} pixels", expected)
        return pixels

    def _at(self, column: str, row: int) -> str:
        return f"{self.path}: column '{column}', row {row}"

    def _bad(self, column: str, row: int, found: str, expected: str) -> InputError:
        return InputError(f"{self._at(column, row)}: found {found}, expected {expected}")


def opened(path: Path, image: str | None, label: str, usual: tuple[str, ...]) -> Table:
    """A file with its columns.

    Args:
        path: the file.
        image: the column of images; None for the one of the `usual` names that is there.
        label: the column of labels.
        usual: names of columns of images.

    Raises:
        InputError: it is damaged or empty, or lacks a column.
    """
    try:
        file = pq.ParquetFile(path)
    except DAMAGE as error:
        raise InputError(f"{path}: truncated or not a parquet file ({one_line(error)})") from None
    names = file.schema_arrow.names
    if image is None:
        there = [name for name in usual if name in names]
        if len(there) > 1:
            raise InputError(f"{path}: has the columns {' and '.join(map(repr, there))}; name one of them by `image`")
        image = there[0] if there else usual[0]
    for key, column in (("image", image), ("label", label)):
        if column not in names:
            raise InputError(
                f"{path}: column '{column}' is missing{nearest(column, names)}; found {names}; name another by `{key}`"
            )
    if not file.metadata.num_rows:
        raise InputError(f"{path}: has no rows; expected images")
    return Table(path, file, image, label)
