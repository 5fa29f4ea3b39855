import errno
import math
import multiprocessing
import os
import re
import resource
import signal
import stat
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from disks import fill
from matplotlib.figure import Figure
from sacp.artefacts.clock import start_ticks
from sacp.artefacts.files import (
    atomic,
    atomic_folder,
    folder_of,
    read_json,
    remove,
    remove_left_over,
    write_csv,
    write_json,
)
from sacp.errors import InputError
from sacp.network.spec import NetworkSpec
from sacp.network.weights import save_base
from sacp.pruning.files import save_network
from sacp.report.drawing import save
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


def in_a_process(target, *arguments) -> multiprocessing.Process:
    process = multiprocessing.get_context("fork").Process(target=target, args=arguments)
    process.start()
    return process


def killed_at_the_end(write, path: Path) -> None:
    """Write; the process is killed when all is in the temporary file, before it is renamed."""
    os.fsync = lambda handle: os.kill(os.getpid(), signal.SIGKILL)
    write(path)


def left_by_a_killed_process(path: Path) -> Path:
    """The temporary file of a process that was killed while it wrote `path`, and of which nobody has asked since."""
    process = in_a_process(killed_at_the_end, lambda path: write_json(path, {"by": "the dead"}), path)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # a zombie stays
    [left] = path.parent.glob(".*")
    return left


def test_what_a_killed_process_left_goes_with_the_next_writer_of_the_file(tmp_path):
    left = left_by_a_killed_process(tmp_path / "a.json")
    assert re.fullmatch(r"\.sacp~.*~a\.json", left.name)
    write_json(tmp_path / "b.json", {})
    assert left.exists()
    write_json(tmp_path / "a.json", {})
    assert sorted(os.listdir(tmp_path)) == ["a.json", "b.json"]


def test_what_a_killed_process_left_goes_with_the_file_too(tmp_path):
    left_by_a_killed_process(tmp_path / "a.json")
    remove(tmp_path / "a.json")  # was never there
    assert os.listdir(tmp_path) == []
    write_json(tmp_path / "a.json", {})
    remove(tmp_path / "a.json")
    assert os.listdir(tmp_path) == []


def written_slowly(path: Path, begun, go_on) -> None:
    with atomic(path) as temporary, temporary.open("w") as handle:
        handle.write('{"by": ')
        handle.flush()
        begun.set()
        go_on.wait(60)
        handle.write('"the slow one"}')


def test_what_another_process_is_writing_stays_and_is_renamed_in_its_turn(tmp_path):
    path, context = tmp_path / "a.json", multiprocessing.get_context("fork")
    begun, go_on = context.Event(), context.Event()
    slow = in_a_process(written_slowly, path, begun, go_on)
    assert begun.wait(60)
    write_json(path, {"by": "the fast one"})
    assert remove_left_over(tmp_path) == []
    assert read_json(path) == {"by": "the fast one"}
    go_on.set()
    slow.join()
    assert slow.exitcode == 0
    assert read_json(path) == {"by": "the slow one"}
    assert os.listdir(tmp_path) == ["a.json"]


DAY = 24 * 3600


@pytest.mark.parametrize(
    ("writer", "place", "age", "goes"),
    [
        ("lives", "here", 2 * DAY, False),  # however long it takes
        ("its number went to another", "here", 0, True),
        ("is not there", "here", 0, True),
        ("is not there", "elsewhere", DAY - 60, False),  # it cannot be seen from here
        ("lives", "elsewhere", DAY + 60, True),  # another has its number
    ],
)
def test_a_temporary_file_goes_if_its_writer_is_gone_or_if_it_is_old_and_of_elsewhere(
    tmp_path, writer, place, age, goes
):
    with atomic(tmp_path / "a.json") as temporary:
        temporary.touch()
        host, here = temporary.name.split("~")[1:3]
    pid = 999_999_999 if writer == "is not there" else os.getppid()
    started = start_ticks(os.getppid()) - (writer == "its number went to another")
    stray = tmp_path / f".sacp~{host}~{here if place == 'here' else '0' * 8}~{pid}~{started}~a.json"
    stray.touch()
    os.utime(stray, (time.time() - age,) * 2)
    write_json(tmp_path / "a.json", {})
    assert stray.exists() is not goes


def test_a_run_removes_what_was_left_anywhere_and_nothing_else(tmp_path):
    left = left_by_a_killed_process(tmp_path / "deep/er/a.json")
    others = [".tmpAbC123", ".sacp~notes~a.json", "sacp~h~00000000~999999999~1~a.json", ".123-a.json"]
    for name in others:
        (tmp_path / "deep" / name).touch()
    (tmp_path / "link").symlink_to("deep", target_is_directory=True)
    assert remove_left_over(tmp_path) == [left]
    assert sorted(path.name for path in tmp_path.rglob("*")) == sorted(["deep", "er", "link", *others])
    assert remove_left_over(tmp_path / "not there") == []


ROWS = np.random.default_rng(0).integers(0, 10, (2**19, 2), np.uint8)
WRITERS = {
    "configs.h5": lambda path: _write_configs(path),
    "scores.parquet": lambda path: save_scores(path, np.rec.fromarrays(ROWS.T, names="a,b")),
    "base.pt": lambda path: save_base(path, torch.nn.Linear(1000, 1000), SPEC),
    "network.safetensors": lambda path: save_network(path.parent, torch.nn.Linear(1000, 1000), SPEC, {}),
    "table.csv": lambda path: write_csv(path, [{"a": "x" * 1000}] * 1000, ["a"]),
    "file.json": lambda path: write_json(path, {"a": "x" * 10**6}),
    "figure.png": lambda path: save(_noise(), [path]),
    "figure.pdf": lambda path: save(_noise(), [path]),
}
SPEC = NetworkSpec("resnet20", 1.0, 3, 32, 10)


def _write_configs(path: Path) -> None:
    with new_configs(path, ROWS, len(ROWS), {}) as search:
        search[:] = ROWS


def _noise() -> Figure:
    figure = Figure()
    figure.add_subplot().imshow(np.random.default_rng(0).random((1000, 1000)), interpolation="none")
    return figure


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
@pytest.mark.parametrize("name", WRITERS)
def test_the_mode_of_a_file_is_that_of_the_users_mask(tmp_path, name, mask):
    before = os.umask(mask)
    try:
        WRITERS[name](tmp_path / name)
    finally:
        os.umask(before)
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o666 & ~mask}


@pytest.mark.parametrize("name", WRITERS)
def test_a_killed_writer_leaves_nothing_that_the_next_does_not_remove(tmp_path, name):
    process = in_a_process(killed_at_the_end, WRITERS[name], tmp_path / name)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    [left] = os.listdir(tmp_path)
    assert left.startswith(".sacp~")
    WRITERS[name](tmp_path / name)
    assert name in os.listdir(tmp_path)
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_is_named_in_one_line_and_leaves_nothing(small_disk, name):
    with pytest.raises(InputError, match=rf"{name}: cannot be written: no room on the disk") as caught:
        WRITERS[name](small_disk / name)
    assert "\n" not in str(caught.value)
    assert os.listdir(small_disk) == []


def limited(write, path: Path) -> None:
    """Write in a process whose files may not grow beyond 100 kB."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    try:
        write(path)
    except InputError as error:
        print(error)


@pytest.mark.parametrize("name", WRITERS)
def test_a_limit_is_named_too_though_the_disk_has_room(tmp_path, capfd, name):
    in_a_process(limited, WRITERS[name], tmp_path / name).join()
    [line] = capfd.readouterr().out.splitlines()
    said = (
        r"no room on the disk \(File too large; \d+\.\d MiB free\); raise the limit on the size of files \(ulimit -f\)"
    )
    assert re.search(rf"{name}: cannot be written: {said}", line)
    assert os.listdir(tmp_path) == []


def test_a_folder_that_is_a_file_is_named(tmp_path):
    (tmp_path / "results").write_text("")
    with pytest.raises(InputError, match=r"file\.json: cannot be written: Not a directory"):
        write_json(tmp_path / "results/deep/file.json", {})


def test_a_place_where_no_file_can_be_made_is_named():
    for write in (lambda: write_json("/proc/file.json", {}), lambda: atomic_folder("/proc/folder").__enter__()):
        with pytest.raises(InputError, match=r"^/proc/\S+: cannot be written: No such file or directory$"):
            write()


def test_another_file_that_is_wanting_is_a_defect(tmp_path):
    with pytest.raises(FileNotFoundError), atomic(tmp_path / "file.txt"):
        (tmp_path / "other.txt").read_text()


@pytest.mark.parametrize("value", [None, 3, "", "a\0b", ["x"]])
def test_what_is_no_path_of_a_folder_is_refused(value):
    with pytest.raises(InputError, match=r"^folder: found .*, expected the path of a folder$"):
        folder_of(value)


def test_a_defect_while_writing_stays_a_defect(tmp_path):
    with pytest.raises(ZeroDivisionError), atomic(tmp_path / "file.txt"):
        print(1 / 0)


def test_a_defect_is_not_blamed_on_a_full_disk(small_disk):
    fill(small_disk)
    with pytest.raises(ZeroDivisionError), atomic(small_disk / "file.txt"):
        print(1 / 0)


def test_a_folder_in_the_place_of_the_file_is_named(tmp_path):
    (tmp_path / "file.json").mkdir()
    with pytest.raises(InputError, match=r"file\.json: cannot be written: Is a directory"):
        write_json(tmp_path / "file.json", {})
    assert os.listdir(tmp_path) == ["file.json"]


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


def test_a_folder_is_replaced_as_a_whole_or_stays(tmp_path):
    folder = tmp_path / "a"
    for number in range(2):
        with atomic_folder(folder) as temporary:
            (temporary / f"{number}.json").touch()
        assert [path.name for path in folder.iterdir()] == [f"{number}.json"]
    with pytest.raises(ZeroDivisionError), atomic_folder(folder) as temporary:
        (temporary / "2.json").write_text(str(1 / 0))
    with pytest.raises(InputError, match=f"^{re.escape(str(folder))}/x.json: wrong$"), atomic_folder(folder) as part:
        raise InputError(f"{part}/x.json: wrong")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["1.json", "a"]


def test_a_folder_that_cannot_take_its_place_leaves_the_old_one(tmp_path, monkeypatch):
    with atomic_folder(tmp_path / "a") as temporary:
        (temporary / "old.json").touch()
    rename, moves = Path.rename, []

    def fails_at_the_second(path, target):
        moves.append(target)
        if len(moves) == 2:
            raise PermissionError(errno.EACCES, "Permission denied")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fails_at_the_second)
    expected = r"a: cannot be written: Permission denied"
    with pytest.raises(InputError, match=expected), atomic_folder(tmp_path / "a") as temporary:
        (temporary / "new.json").touch()
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "old.json"]


def test_a_folder_that_a_killed_process_left_is_removed(tmp_path):
    left = left_by_a_killed_process(tmp_path / "a")
    left.unlink()
    left.mkdir()
    (left / "network.json").touch()
    assert remove_left_over(tmp_path) == [left]
    assert list(tmp_path.iterdir()) == []
