import json
import math
import os
from pathlib import Path

import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from sacp import artefacts
from sacp.errors import InputError, nearest
from sacp.files import atomic, load_torch, read_json, write_csv, write_json


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
    attributes = {"levels": 10, "threshold": 0.4, "groups": ["a", "b", "c"], "provenance": {"seed": 0}}
    with artefacts.new_configs(tmp_path / "configs.h5", STEPS[:5], len(STEPS), attributes) as search:
        search[:] = STEPS
    return tmp_path / "configs.h5"


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
