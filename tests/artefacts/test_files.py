import math
import multiprocessing
import os
import re
import resource
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from sacp.artefacts.files import atomic, read_json, write_csv, write_json
from sacp.errors import InputError
from sacp.network.files import save_base
from sacp.network.spec import NetworkSpec
from sacp.pruning.files import save_network
from sacp.search.files import new_configs, save_scores


def fail_while_writing(path: Path) -> None:
    with atomic(path) as temporary:
        temporary.write_text("half of it")
        raise KeyboardInterrupt


def test_a_file_appears_when_its_block_succeeds_and_nothing_else(tmp_path):
    with atomic(tmp_path / "deep/er/file.txt") as temporary:
        temporary.write_text("all of it")
        assert not (tmp_path / "deep/er/file.txt").exists()
        assert temporary.suffix == ".txt"
    assert (tmp_path / "deep/er/file.txt").read_text() == "all of it"
    assert os.listdir(tmp_path / "deep/er") == ["file.txt"]


def test_a_failure_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        fail_while_writing(tmp_path / "file.txt")
    assert os.listdir(tmp_path) == []


def test_a_failure_keeps_the_old_file(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt):
        fail_while_writing(path)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file.txt"]


def test_a_success_replaces_the_old_file(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with atomic(path) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new"


@pytest.fixture
def full_disk(tmp_path):
    """A folder on a disk of its own with 256 KiB left."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("mounting a small disk needs root")
    (disk / "filler").write_bytes(bytes(2**21 - 2**18))
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


ROWS = np.random.default_rng(0).integers(0, 10, (2**19, 2), np.uint8)
WRITERS = {
    "configs.h5": lambda path: _write_configs(path),
    "scores.parquet": lambda path: save_scores(path, np.rec.fromarrays(ROWS.T, names="a,b")),
    "base.pt": lambda path: save_base(path, torch.nn.Linear(1000, 1000), SPEC),
    "network.safetensors": lambda path: save_network(path.parent, torch.nn.Linear(1000, 1000), SPEC, {}),
    "table.csv": lambda path: write_csv(path, [{"a": "x" * 1000}] * 1000, ["a"]),
    "file.json": lambda path: write_json(path, {"a": "x" * 10**6}),
}
SPEC = NetworkSpec("resnet20", 1.0, 3, 32, 10)


def _write_configs(path: Path) -> None:
    with new_configs(path, ROWS, len(ROWS), {}) as search:
        search[:] = ROWS


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_is_named_in_one_line_and_leaves_nothing(full_disk, name):
    with pytest.raises(InputError, match=rf"{name}: cannot be written: no room on the disk") as caught:
        WRITERS[name](full_disk / name)
    assert "\n" not in str(caught.value)
    assert os.listdir(full_disk) == ["filler"]


def limited(write, path: Path) -> None:
    """Write in a process whose files may not grow beyond 100 kB."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    try:
        write(path)
    except InputError as error:
        print(error)


def test_a_limit_on_the_size_of_files_is_named_too(tmp_path, capfd):
    process = multiprocessing.get_context("fork").Process(target=limited, args=(WRITERS["table.csv"], tmp_path / "a"))
    process.start()
    process.join()
    assert re.search(r"a: cannot be written: no room on the disk", capfd.readouterr().out)
    assert os.listdir(tmp_path) == []


def test_a_folder_that_is_a_file_is_named(tmp_path):
    (tmp_path / "results").write_text("")
    with pytest.raises(InputError, match=r"file\.json: cannot be written: Not a directory"):
        write_json(tmp_path / "results/deep/file.json", {})


def test_a_defect_while_writing_stays_a_defect(tmp_path):
    with pytest.raises(ZeroDivisionError), atomic(tmp_path / "file.txt"):
        print(1 / 0)


@pytest.mark.parametrize("writer", [write_json, lambda path, value: write_csv(path, [value], ["b"])])
def test_writers_leave_nothing_when_they_fail(tmp_path, writer):
    with pytest.raises((TypeError, ValueError)):
        writer(tmp_path / "file", {"a": object()})
    assert os.listdir(tmp_path) == []


def test_json_comes_back_in_order(tmp_path):
    value = {"b": [1, 2.5, None], "a": {"c": "ü"}}
    write_json(tmp_path / "file.json", value)
    found = read_json(tmp_path / "file.json")
    assert found == value
    assert list(found) == ["b", "a"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "no such file"), (b"", "not valid JSON"), (b'{"a": 1', "not valid JSON"), 
        (b"\xff\xfe", "not valid JSON"),
        (b"[1]", "holds a list, expected a JSON object"),
    ],
)  # fmt: skip
def test_what_is_no_json_object_is_refused(tmp_path, content, expected):
    if content is not None:
        (tmp_path / "file.json").write_bytes(content)
    with pytest.raises(InputError, match=rf"file\.json: {expected}"):
        read_json(tmp_path / "file.json")


def test_csv_keeps_every_bit_of_a_float(tmp_path):
    values = [0.1 + 0.2, 1e-310, math.pi, 1 / 3]
    write_csv(tmp_path / "file.csv", [{"epoch": n, "loss": value} for n, value in enumerate(values)], ["epoch", "loss"])
    lines = (tmp_path / "file.csv").read_bytes().decode().split("\n")
    assert lines[0] == "epoch,loss"
    assert [float(line.split(",")[1]) for line in lines[1:-1]] == values
    assert lines[-1] == ""
