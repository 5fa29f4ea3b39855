import json
import math
import multiprocessing
import os
import re
import resource
import subprocess
from pathlib import Path

import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from sacp import artefacts, checkpoint
from sacp.errors import InputError, nearest
from sacp.files import atomic, load_torch, read_json, write_csv, write_json
from sacp.graph import Graph, Group
from sacp.networks import NetworkSpec


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
    "scores.parquet": lambda path: artefacts.save_scores(path, np.rec.fromarrays(ROWS.T, names="a,b"), {}),
    "base.pt": lambda path: checkpoint.save_base(path, torch.nn.Linear(1000, 1000), SPEC, {}, {}),
    "network.safetensors": lambda path: checkpoint.save_network(path.parent, torch.nn.Linear(1000, 1000), SPEC, {}),
    "table.csv": lambda path: write_csv(path, [{"a": "x" * 1000}] * 1000, ["a"]),
    "file.json": lambda path: write_json(path, {"a": "x" * 10**6}),
}
SPEC = NetworkSpec("resnet20", 1.0, 3, 32, 10)


def _write_configs(path: Path) -> None:
    with artefacts.new_configs(path, ROWS, len(ROWS), {}) as search:
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


def test_tensors_and_plain_values_come_back(tmp_path):
    torch.save({"state": {"w": torch.arange(3)}, "epoch": 2}, tmp_path / "file.pt")
    value = load_torch(tmp_path / "file.pt", ("state", "epoch"))
    assert value["epoch"] == 2
    assert torch.equal(value["state"]["w"], torch.arange(3))


@pytest.mark.parametrize(
    ("value", "keys", "expected"),
    [
        ({"state": 1}, ("state", "epoch"), "expected the keys state, epoch"),
        ([1], ("state",), "not a checkpoint of this kind"),
        ({"state": Path("x")}, ("state",), "corrupt or not a checkpoint"),  # a class, so code would run
    ],
)
def test_a_foreign_checkpoint_is_refused(tmp_path, value, keys, expected):
    torch.save(value, tmp_path / "file.pt")
    with pytest.raises(InputError, match=rf"file\.pt: .*{expected}") as caught:
        load_torch(tmp_path / "file.pt", keys)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("length", [0, 1, 100, -1, -200])
def test_a_truncated_checkpoint_is_refused(tmp_path, length):
    torch.save({"state": torch.arange(1000)}, tmp_path / "file.pt")
    content = (tmp_path / "file.pt").read_bytes()
    (tmp_path / "file.pt").write_bytes(content[:length])
    with pytest.raises(InputError, match=r"file\.pt: corrupt or not a checkpoint"):
        load_torch(tmp_path / "file.pt", ("state",))


STEPS = np.arange(60, dtype=np.uint8).reshape(20, 3) % 10


@pytest.fixture
def configs(tmp_path: Path) -> Path:
    attributes = {"levels": 10, "threshold": 0.4, "groups": GROUPS, "provenance": {"seed": 0}}
    attributes |= {"channels": [8, 8, 8], "weights": graph_of().weights}
    with artefacts.new_configs(tmp_path / "configs.h5", STEPS[:5], len(STEPS), attributes) as search:
        search[:] = STEPS
    return tmp_path / "configs.h5"


GROUPS = ("a", "b", "c")


def graph_of(groups=GROUPS, channels: int = 8) -> Graph:
    return Graph((), (), tuple(Group(name, (name,), channels) for name in groups))


def test_configs_of_this_network_and_config_are_taken(configs):
    artefacts.check_configs(configs, graph_of(), 10, 0.4)


@pytest.mark.parametrize(
    ("graph", "levels", "threshold", "expected"),
    [
        (graph_of("abd"), 10, 0.4, "drawn for another network, of 3 groups"),
        (graph_of(channels=9), 10, 0.4, "drawn for another network, of 3 groups"),
        (graph_of(), 5, 0.4, "drawn by another config: space.levels was 10, is 5 now"),
        (graph_of(), 10, 0.5, "drawn by another config: space.threshold was 0.4, is 0.5 now"),
    ],
)
def test_configs_of_another_network_or_config_are_refused(configs, graph, levels, threshold, expected):
    with pytest.raises(InputError, match=rf"configs\.h5: {expected}"):
        artefacts.check_configs(configs, graph, levels, threshold)


@pytest.mark.parametrize("rows", [slice(None), slice(3, 9), 4, [1, 5, 7]])
def test_rows_of_configs_come_back(configs, rows):
    steps, levels = artefacts.load_configs(configs, "search", rows)
    assert np.array_equal(steps, STEPS[rows])
    assert (steps.dtype, levels) == (np.uint8, 10)


@pytest.mark.parametrize("block", [1, 3, 1000])
def test_candidates_are_read_in_blocks(configs, monkeypatch, block):
    monkeypatch.setattr(artefacts, "BLOCK_ROWS", block)
    candidates = artefacts.Candidates(configs)
    assert candidates.total == len(STEPS)
    assert np.array_equal(np.concatenate([steps for _, steps in candidates]), STEPS)
    assert [start for start, _ in candidates] == list(range(0, len(STEPS), block))


def test_configs_can_be_read_without_this_code(configs):
    with h5py.File(configs) as handle:
        assert handle["training"].shape == (5, 3)
        assert list(handle.attrs["groups"]) == ["a", "b", "c"]
        assert json.loads(handle.attrs["provenance"]) == {"seed": 0}


@pytest.mark.parametrize("damage", ["missing", "truncated", "no such set", "row beyond", "one byte"])
def test_configs_that_cannot_be_read_are_refused(configs, damage):
    name, rows = ("other" if damage == "no such set" else "search"), (99 if damage == "row beyond" else slice(None))
    if damage == "missing":
        configs.unlink()
    if damage == "truncated":
        configs.write_bytes(configs.read_bytes()[:900])
    if damage == "one byte":
        content = bytearray(configs.read_bytes())
        content[content.index(STEPS.tobytes()) + 7] ^= 1
        configs.write_bytes(content)
    with pytest.raises(InputError, match=rf"configs\.h5: cannot read '{name}'"):
        artefacts.load_configs(configs, name, rows)


def test_scores_are_kept_best_first_with_their_provenance(tmp_path):
    path = tmp_path / "scores.parquet"
    artefacts.save_scores(path, np.rec.fromarrays([[7, 2, 5], [0.9, 0.8, 0.1]], names="candidate,score"), {"seed": 3})
    assert artefacts.load_best(path, 2) == [7, 2]
    assert artefacts.load_best(path, 9) == [7, 2, 5]
    assert json.loads(pq.read_schema(path).metadata[b"provenance"]) == {"seed": 3}


@pytest.mark.parametrize("damage", ["missing", "truncated", "foreign", "one byte"])
def test_what_is_no_table_of_scores_is_refused(tmp_path, damage):
    path = tmp_path / "scores.parquet"
    column = "other" if damage == "foreign" else "candidate"
    artefacts.save_scores(path, np.rec.fromarrays([[7, 2, 5]], names=column), {})
    if damage == "missing":
        path.unlink()
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-9])
    if damage == "one byte":
        content = bytearray(path.read_bytes())
        content[30] ^= 1
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"scores\.parquet: not a table of scores"):
        artefacts.load_best(path, 1)


@pytest.mark.parametrize(
    ("word", "expected"),
    [("treshold", " (did you mean 'threshold'?)"), ("levls", " (did you mean 'levels'?)"), ("xyz", "")],
)
def test_nearest_word_is_named_if_there_is_one(word, expected):
    assert nearest(word, ["threshold", "levels", "search_size"]) == expected
