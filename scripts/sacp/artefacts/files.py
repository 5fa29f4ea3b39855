"""Write files, and folders of them, so that a reader sees all of one or none of it."""

import csv
import errno
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sacp.artefacts.clock import runs, start_ticks
from sacp.errors import InputError, shown

NO_ROOM = {
    errno.ENOSPC: "make room or move the results",
    errno.EDQUOT: "make room or move the results",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f), or move the results",
}
DENIED = (
    errno.EACCES, errno.EPERM, errno.EROFS,
    errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG,
    errno.EIO, errno.ESTALE,
)  # fmt: skip
LONGEST_NAME = 255  # bytes of a file's name
STALE_SECONDS = 24 * 3600  # a temporary file of another machine that nobody has touched for so long is left over
# Host, its digest, process and its start; then the name of the file that is being written.
TEMPORARY = re.compile(r"\.sacp~[^~/]*~([0-9a-f]{8})~(\d{1,9})~(\d+)~(.+)", re.DOTALL)


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` when the block succeeds, remove it when it fails.

    A process that is killed cannot remove its own; the next writer of the file does, and so does the next run. Several
    processes may write one file: none touches what another one that lives has begun, and the last to end wins.

    Raises:
        InputError: the disk is full, or the folder cannot be written to.
    """
    path = Path(path)
    temporary = _temporary(path)
    with writing(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _remove_left_over(path.parent, path.name)
            yield temporary
            with temporary.open("rb") as handle:
                os.fsync(handle.fileno())
            temporary.replace(path)
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; it takes the place of `path` when the block succeeds.

    The caller has made sure that a folder which is there already may be replaced as a whole.

    Raises:
        InputError: the disk is full, or the folder cannot be written to.
    """
    path = Path(path).resolve()  # what a link points to; a folder's own name, of '.' too
    temporary = _temporary(path)
    with writing(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _remove_left_over(path.parent, path.name)
            temporary.mkdir()
            yield temporary
            for file in temporary.iterdir():
                with file.open("rb") as handle:
                    os.fsync(handle.fileno())
            _take_place(temporary, path)
        except InputError as error:
            raise InputError(str(error).replace(str(temporary), str(path))) from None
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _take_place(temporary: Path, path: Path) -> None:
    """Rename a folder to `path`. No call exchanges folders: for a moment the old one has another name beside it."""
    if not path.is_dir() or not any(path.iterdir()):
        temporary.replace(path)
        return
    old = _temporary(path.with_name(f"{path.name}~old"))
    path.rename(old)
    try:
        temporary.rename(path)
    except BaseException:
        old.rename(path)
        raise
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """While the block writes a file, raise what the user can mend as `InputError`: one line that names the file."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        reason = why_not_written(error, path.parent)
        if reason is None:
            raise
        raise InputError(f"{path}: cannot be written: {reason}") from None


def why_not_written(error: BaseException, folder: Path) -> str | None:
    """Return what the user can mend, or None. After an error of the system, libraries raise others of their own."""
    if isinstance(error, OSError) and (error.errno in DENIED or _is_not_made(error)):
        return os.strerror(error.errno or 0)
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in NO_ROOM:
            free = f"{shutil.disk_usage(folder).free / 2**20:.1f} MiB free" if folder.is_dir() else "no folder"
            return f"no room on the disk ({os.strerror(cause.errno)}; {free}); {NO_ROOM[cause.errno]}"
        cause = cause.__cause__ or cause.__context__
    return None


def _is_not_made(error: OSError) -> bool:
    """Whether a file of ours cannot be made where a folder is there, as in /proc, or has gone."""
    return error.errno == errno.ENOENT and bool(TEMPORARY.fullmatch(Path(str(error.filename)).name))


def folder_of(value: Any, name: str = "folder") -> Path:
    """The path of a folder that a user gives, as an argument of this name; `InputError` if it is none."""
    return _path_of(value, name, "folder")


def file_of(value: Any, name: str) -> Path:
    """The path of a file that a user gives, as an argument of this name, there or not; `InputError` if it is none."""
    path = _path_of(value, name, "file")
    if path.is_dir():
        raise InputError(f"{name}: '{value}' is a folder; expected the path of a file")
    return path


def _path_of(value: Any, name: str, what: str) -> Path:
    """A path in whatever form it is given; no file system has longer names: asking for one raises."""
    if not isinstance(value, (str, Path)) or not str(value) or "\0" in str(value):
        raise InputError(f"{name}: found {shown(value)}, expected the path of a {what}")
    path = Path(value)
    longest = max((len(os.fsencode(part)) for part in path.parts), default=0)
    if longest > LONGEST_NAME:
        raise InputError(
            f"{name}: '{str(path)[:40]}...' holds a name of {longest} bytes; expected {LONGEST_NAME} at most"
        )
    return path


def remove(path: Path) -> None:
    """Remove a file that may be there, and what killed writers of it have left."""
    path.unlink(missing_ok=True)
    _remove_left_over(path.parent, path.name)


def remove_left_over(results: str | Path) -> list[Path]:
    """Remove the temporary files of processes that were killed, in all folders of the results; return what is gone."""
    return [path for folder, _, _ in os.walk(results) for path in _remove_left_over(Path(folder))]


def _temporary(path: Path) -> Path:
    host, process = os.uname().nodename.replace("~", "-").replace("/", "-"), os.getpid()
    # The end stays: writers of several formats choose the format by it.
    return path.with_name(f".sacp~{host[:20]}~{_place()}~{process}~{start_ticks(process)}~{path.name}")


def _place() -> str:
    """Where numbers of processes mean the same: a host since its last start, a container. Eight hexadecimal digits."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text()
    named = f"{os.uname().nodename} {boot} {Path('/proc/self/ns/pid').stat().st_ino}"
    return hashlib.sha256(named.encode()).hexdigest()[:8]


def _remove_left_over(folder: Path, target: str | None = None) -> list[Path]:
    """Remove what killed processes have left in a folder of one file or folder, or of all."""
    removed = []
    for path in folder.glob(".sacp~*"):
        found = TEMPORARY.fullmatch(path.name)
        with suppress(OSError):  # gone meanwhile, or not ours to change
            if found and target in (None, found[4]) and _is_left_over(path, found):
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
                removed.append(path)
    return removed


def _is_left_over(path: Path, found: re.Match[str]) -> bool:
    """Whether the writer of a temporary file is gone: asked here, guessed from the file's age elsewhere."""
    if found[1] == _place():
        return not runs(int(found[2]), int(found[3]))
    return time.time() - path.stat().st_mtime > STALE_SECONDS


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
