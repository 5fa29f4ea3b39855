"""Write files so that a reader sees all of one or none of it."""

import csv
import errno
import glob
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sacp.errors import InputError

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
DENIED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.ENAMETOOLONG)
LEAST_FREE = 1 << 20  # bytes free; with less, a writer that fails without a reason is taken to lack room


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` when the block succeeds, remove it when it fails.

    A process that is killed cannot remove its own; the next writer of the file does.

    Raises:
        InputError: the disk is full, or the folder cannot be written to.
    """
    path = Path(path)
    # The suffix stays: writers of several formats choose the format by it.
    temporary = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for stray in path.parent.glob(f".[0-9]*-{glob.escape(path.name)}"):
            stray.unlink(missing_ok=True)
        yield temporary
        with temporary.open("rb") as handle:
            os.fsync(handle.fileno())
        temporary.replace(path)
    except InputError:
        raise
    except Exception as error:
        reason = _why_not_written(error, path.parent)
        if reason is None:
            raise
        raise InputError(f"{path}: cannot be written: {reason}") from None
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _why_not_written(error: Exception, folder: Path) -> str | None:
    """Return what the user can mend, or None. Libraries report a full disk in exceptions of many kinds."""
    number = error.errno if isinstance(error, OSError) else None
    if number in DENIED:
        return os.strerror(number)
    free = shutil.disk_usage(folder).free if folder.is_dir() else LEAST_FREE
    if number in NO_ROOM or free < LEAST_FREE:
        return f"no room on the disk, {free / 2**20:.1f} MiB free; make room or move the results"
    return None


def write_json(path: str | Path, value: Mapping[str, Any]) -> None:
    """Write `value` as indented JSON, keys in the order given."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1) + "\n")


def read_json(path: str | Path) -> dict[str, Any]:
    """Read a JSON object; `InputError` names a file that is missing, cannot be read or holds none."""
    try:
        value = json.loads(Path(path).read_text())
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except RecursionError:
        raise InputError(f"{path}: not valid JSON (nested too deep)") from None
    except ValueError as error:  # of JSON, of UTF-8, or of a number that is too long
        raise InputError(f"{path}: not valid JSON ({error})") from None
    if not isinstance(value, dict):
        raise InputError(f"{path}: holds a {type(value).__name__}, expected a JSON object")
    return value


def write_csv(path: str | Path, rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Write rows as CSV with a header. Floats are written in full, so that reading gives the same bits."""
    with atomic(path) as temporary, temporary.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, fieldnames=columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
