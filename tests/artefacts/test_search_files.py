from pathlib import Path

import h5py
import numpy as np
import pytest
from sacp.errors import InputError
from sacp.network.graph import Graph, Group
from sacp.search import files
from sacp.search.files import (
    Candidates,
    attributes_of,
    check_configs,
    load_best,
    load_configs,
    load_scores,
    new_configs,
    save_scores,
)

STEPS = np.arange(60, dtype=np.uint8).reshape(20, 3) % 10


@pytest.fixture
def configs(tmp_path: Path) -> Path:
    attributes = attributes_of(graph_of(), 10, 0.4, count=1000, seed=3)
    with new_configs(tmp_path / "configs.h5", STEPS[:5], len(STEPS), attributes) as search:
        search[:] = STEPS
    return tmp_path / "configs.h5"


GROUPS = ("a", "b", "c")


def graph_of(groups=GROUPS, channels: int = 8) -> Graph:
    return Graph((), (), tuple(Group(name, (name,), channels, (1,)) for name in groups))


def test_configs_of_this_network_and_config_are_taken(configs):
    check_configs(configs, graph_of(), 10, 0.4)


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
        check_configs(configs, graph, levels, threshold)


@pytest.mark.parametrize("rows", [slice(None), slice(3, 9), 4, [1, 5, 7]])
def test_rows_of_configs_come_back(configs, rows):
    steps, levels = load_configs(configs, "search", rows)
    assert np.array_equal(steps, STEPS[rows])
    assert (steps.dtype, levels) == (np.uint8, 10)


@pytest.mark.parametrize("block", [1, 3, 1000])
def test_candidates_are_read_in_blocks(configs, monkeypatch, block):
    monkeypatch.setattr(files, "BLOCK_ROWS", block)
    candidates = Candidates(configs)
    assert candidates.total == len(STEPS)
    assert np.array_equal(np.concatenate([steps for _, steps in candidates]), STEPS)
    assert [start for start, _ in candidates] == list(range(0, len(STEPS), block))


def test_configs_can_be_read_without_this_code(configs):
    with h5py.File(configs) as handle:
        assert handle["training"].shape == (5, 3)
        assert list(handle.attrs["groups"]) == ["a", "b", "c"]
        assert (handle.attrs["levels"], handle.attrs["threshold"], handle.attrs["seed"]) == (10, 0.4, 3)
        assert handle.attrs["constrained_configurations"] == "1000"


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
        load_configs(configs, name, rows)


def test_scores_are_kept_best_first_and_come_back(tmp_path):
    path = tmp_path / "scores.parquet"
    rows = np.rec.fromarrays([[7, 2, 5], [0.9, 0.8, 0.1]], names="candidate,score")
    save_scores(path, rows)
    assert load_best(path, 2) == [7, 2]
    assert load_best(path, 9) == [7, 2, 5]
    back = load_scores(path)
    assert back.dtype.names == ("candidate", "score")
    assert back.tolist() == rows.tolist()


@pytest.mark.parametrize("damage", ["missing", "truncated", "foreign", "one byte"])
def test_what_is_no_table_of_scores_is_refused(tmp_path, damage):
    path = tmp_path / "scores.parquet"
    column = "other" if damage == "foreign" else "candidate"
    save_scores(path, np.rec.fromarrays([[7, 2, 5]], names=column))
    if damage == "missing":
        path.unlink()
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-9])
    if damage == "one byte":
        content = bytearray(path.read_bytes())
        content[30] ^= 1
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"scores\.parquet: not a table of scores"):
        load_best(path, 1)
