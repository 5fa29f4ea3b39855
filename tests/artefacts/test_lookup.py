"""Where the record of a file is found."""

import json
from pathlib import Path

import pytest
from sacp.artefacts import lookup
from sacp.errors import InputError


def record_of(path: Path, rule: str, *outputs: str) -> None:
    """Write a record that names these files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    record = {"rule": rule, "code": {rule: "c"}, "inputs": {}, "started": "2026-01-01", "seconds": 1.0}
    path.write_text(json.dumps(record | {"outputs": dict.fromkeys(outputs, "0" * 64)}))


def found(path: Path) -> tuple[str, str] | None:
    """Name of the file with the record, and the rule in it."""
    pair = lookup.find(path)
    return pair and (pair[0].name, pair[1]["rule"])


@pytest.mark.parametrize("name", ["base.pt", "base.safetensors", "base.tar.gz"])
def test_the_record_of_the_files_own_name_is_found(tmp_path, name):
    record_of(tmp_path / "base.provenance.json", "train_base", name)
    assert found(tmp_path / name) == ("base.provenance.json", "train_base")


def test_the_record_of_a_folder_is_found_for_the_files_that_it_names(tmp_path):
    record_of(tmp_path / "winner/provenance.json", "select_winner", "metrics.json", "network.safetensors")
    for name in ("metrics.json", "network.safetensors"):
        assert found(tmp_path / "winner" / name) == ("provenance.json", "select_winner")
    assert found(tmp_path / "winner/other.csv") is None
    assert found(tmp_path / "metrics.json") is None


def test_a_record_of_another_name_is_found_if_it_names_the_file(tmp_path):
    record_of(tmp_path / "configs.provenance.json", "sample_configs", "configs.h5")
    record_of(tmp_path / "base.provenance.json", "train_base", "base.pt", "base_history.csv")
    assert found(tmp_path / "base_history.csv") == ("base.provenance.json", "train_base")
    assert found(tmp_path / "sparse_history.csv") is None


def test_a_nearer_record_that_does_not_name_the_file_is_passed_over(tmp_path):
    record_of(tmp_path / "table.provenance.json", "one", "table.md")
    record_of(tmp_path / "provenance.json", "two", "figure.png")
    record_of(tmp_path / "other.provenance.json", "three", "table.csv")
    assert found(tmp_path / "table.csv") == ("other.provenance.json", "three")


def test_of_several_records_the_one_of_the_files_name_comes_first_and_then_the_folders(tmp_path):
    for name in ("a.provenance.json", "provenance.json", "table.provenance.json"):
        record_of(tmp_path / name, name, "table.csv")
    assert found(tmp_path / "table.csv") == ("table.provenance.json", "table.provenance.json")
    (tmp_path / "table.provenance.json").unlink()
    assert found(tmp_path / "table.csv") == ("provenance.json", "provenance.json")
    (tmp_path / "provenance.json").unlink()
    assert found(tmp_path / "table.csv") == ("a.provenance.json", "a.provenance.json")


@pytest.mark.parametrize("name", ["provenance.json", "base.provenance.json"])
def test_a_record_is_found_for_itself(tmp_path, name):
    record_of(tmp_path / name, "train_base", "base.pt")
    assert found(tmp_path / name) == (name, "train_base")


def test_a_file_without_a_record_beside_it_has_none(tmp_path):
    (tmp_path / "data.csv").write_text("1,2\n")
    record_of(tmp_path / "deeper/data.provenance.json", "rule", "data.csv")
    assert found(tmp_path / "data.csv") is None
    assert found(tmp_path / "absent/data.csv") is None


def test_a_record_that_is_half_written_by_another_job_is_not_looked_at(tmp_path):
    (tmp_path / ".123-configs.provenance.json").write_text('{"rule": ')
    record_of(tmp_path / "base.provenance.json", "train_base", "base.pt", "base_history.csv")
    assert found(tmp_path / "base_history.csv") == ("base.provenance.json", "train_base")


@pytest.mark.parametrize("missing", ["code", "inputs", "outputs", "started", "seconds"])
def test_a_file_that_is_no_record_is_refused(tmp_path, missing):
    path = tmp_path / "base.provenance.json"
    record_of(path, "train_base", "base.pt")
    record = lookup.load(path)
    del record[missing]
    path.write_text(json.dumps(record))
    with pytest.raises(InputError, match=r"base\.provenance\.json: not a provenance record"):
        lookup.load(path)


@pytest.mark.parametrize(("content", "words"), [(None, "no such file"), ('{"rule": ', "not valid JSON")])
def test_a_record_that_is_missing_or_damaged_is_named(tmp_path, content, words):
    path = tmp_path / "base.provenance.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=rf"base\.provenance\.json: {words}"):
        lookup.load(path)
