"""Small disks of their own, which a test can fill."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

FILLER = "filler"


@contextmanager
def disk(folder: Path, size: int) -> Iterator[Path]:
    """While the block runs, `folder` is a disk of `size` bytes, in memory; skips the test where root is needed."""
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small disk needs root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill(folder: Path) -> None:
    """Leave no room on a small disk."""
    with suppress(OSError), (folder / FILLER).open("wb", buffering=0) as handle:
        while True:
            handle.write(bytes(4096))


def files(folder: Path) -> list[str]:
    """All files below a folder but the one that fills its disk, sorted."""
    found = (path for path in folder.rglob("*") if not path.is_dir() and path.name != FILLER)
    return sorted(path.relative_to(folder).as_posix() for path in found)
