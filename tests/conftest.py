"""Copies of the repository, fresh or with a finished demo in them; a small disk."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from checkout import Checkout, copy_checkout, shorten
from disks import disk


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """A fresh copy of the repository without results, its demo shortened."""
    return shorten(copy_checkout(tmp_path / "checkout"))


@pytest.fixture(scope="session")
def finished_demo(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A copy of the repository in which the shortened demo has run through; to be read alone."""
    checkout = shorten(copy_checkout(tmp_path_factory.mktemp("demo") / "checkout"))
    run = checkout.demo()
    assert run.status == 0, run.output
    return checkout


@pytest.fixture
def demo_copy(finished_demo: Checkout, tmp_path: Path) -> Checkout:
    """A copy of the finished demo to change; the times of its files are kept."""
    shutil.copytree(finished_demo.path, tmp_path / "checkout", symlinks=True)
    return Checkout(tmp_path / "checkout")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of its own, with room for 256 KiB."""
    with disk(tmp_path / "disk", 2**18) as folder:
        yield folder
