"""Where the record of a file is found."""

import json
from pathlib import Path
from typing import Any

import pytest
from sacp.artefacts import lookup
from sacp.artefacts.digests import sealed
from sacp.artefacts.record import of_training
from sacp.errors import InputError

READERS = [lookup.load, lambda path: lookup.find(path.with_name("base.pt"))]


def record_of(path: Path, rule: str, *outputs: str) -> None:
    """Write a record that names these files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    record = {"rule": rule, "settings": {}, "code": {rule: "c"}, "seed": None, "inputs": {}, "commit": None}
    record |= {
        "versions": {"python": "3"},
        "device": "cpu",
        "cores": 2,
        "gpus": 0,
        "started": "2026-01-01",
        "seconds": 1.0,
    }
    record |= {"results": None, "place": None, "outputs": dict.fromkeys(outputs, "0" * 64)}
    path.write_text(json.dumps(sealed(record)))


def change(path: Path, key: str, value: Any) -> None:
    """Put another value under a key of a record."""
    path.write_text(json.dumps(sealed(json.loads(path.read_text()) | {key: value})))


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


@pytest.mark.parametrize("make", [Path.mkdir, lambda path: path.symlink_to("nowhere")], ids=["folder", "dangling"])
def test_what_has_a_records_name_and_is_no_file_is_passed_over(tmp_path, make):
    record_of(tmp_path / "other.provenance.json", "train_base", "base.pt")
    for name in ("base.provenance.json", "provenance.json", "another.provenance.json"):
        make(tmp_path / name)
    assert found(tmp_path / "base.pt") == ("other.provenance.json", "train_base")
    assert found(tmp_path / "base_history.csv") is None


@pytest.mark.parametrize(
    "keys",
    [
        [],
        ["inputs", "outputs"],
        ["code", "inputs", "outputs", "started", "seconds"],
    ],
)
def test_a_file_of_another_tool_with_some_of_the_keys_is_no_record(tmp_path, keys):
    holder = tmp_path / "data.provenance.json"
    holder.write_text(json.dumps({"tool": "another"} | {key: ["data.csv"] for key in keys}))
    assert found(tmp_path / "data.csv") is None
    assert found(holder) is None
    with pytest.raises(InputError, match=r"data\.provenance\.json: not a provenance record \(no 'rule'; "):
        lookup.load(holder)


@pytest.mark.parametrize(
    "read", [lookup.load, lambda path: lookup.find(path.with_name("base.pt"))], ids=["load", "find"]
)
@pytest.mark.parametrize("missing", [*lookup.KINDS])
def test_a_record_that_lacks_a_key_is_refused(tmp_path, read, missing):
    path = tmp_path / "base.provenance.json"
    record_of(path, "train_base", "base.pt")
    record = lookup.load(path)
    del record[missing]
    path.write_text(json.dumps(sealed(record)))
    with pytest.raises(InputError, match=rf"^\S+base\.provenance\.json: not a provenance record \(no '{missing}'; .*$"):
        read(path)


@pytest.mark.parametrize(
    "read", [lookup.load, lambda path: lookup.find(path.with_name("base.pt"))], ids=["load", "find"]
)
@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("rule", None, "'rule' is None; expected a text"),
        ("settings", [1], r"'settings' is \[1\]; expected an object"),
        ("code", "c" * 99, "'code' is 'c{39}; expected an object of texts"),
        ("code", {"train_base": 1}, "'code' is {'train_base': 1}; expected an object of texts"),
        ("seed", "0", "'seed' is '0'; expected a number or null"),
        ("inputs", None, "'inputs' is None; expected an object of texts"),
        ("inputs", {"data.csv": None}, "'inputs' is {'data.csv': None}; expected an object of texts"),
        ("outputs", None, "'outputs' is None; expected an object of texts"),
        ("outputs", ["base.pt"], r"'outputs' is \['base.pt'\]; expected an object of texts"),
        ("commit", 1, "'commit' is 1; expected a text or null"),
        ("versions", {"torch": None}, "'versions' is {'torch': None}; expected an object of texts"),
        ("device", {}, "'device' is {}; expected a text"),
        ("started", 5, "'started' is 5; expected a text"),
        ("seconds", "5", "'seconds' is '5'; expected a number"),
        ("seconds", True, "'seconds' is True; expected a number"),
        ("lineage", {"code": {}}, "'lineage' is {'code': {}}; expected an object of lists"),
        ("lineage", {"code": {"f": "c"}, "versions": {}}, "'lineage' is .*; expected an object of lists"),
        ("lineage", {"code": {}, "versions": {}, "precision": []}, "'lineage' is .*; expected an object of lists"),
        ("precision", None, "'precision' is None; expected a text"),
        ("lineage", [], r"'lineage' is \[\]; expected an object of lists"),
        ("results", 1, "'results' is 1; expected a text or null"),
        ("data_digest", None, "'data_digest' is None; expected a text"),
        ("trained", {}, "'trained' is {}; expected a list of objects with rule, code"),
        ("trained", [{"rule": "train_candidate"}], "'trained' is .*; expected a list of objects with rule, code"),
        ("trained", [{**dict.fromkeys(lookup.OF_TRAINING, "0")}], "'trained' is .*; expected a list of objects"),
    ],
)
def test_a_record_with_a_value_of_another_kind_is_refused_in_one_line(tmp_path, read, key, value, words):
    path = tmp_path / "base.provenance.json"
    record_of(path, "train_base", "base.pt")
    change(path, key, value)
    with pytest.raises(InputError, match=rf"^\S+base\.provenance\.json: not a provenance record \({words}.*$"):
        read(path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seed", 3),
        ("commit", "c"),
        ("results", None),
        ("results", "out"),
        ("lineage", {"code": {"f": ["c"]}, "versions": {}}),
        ("lineage", {"code": {}, "versions": {}, "precision": {"trainings": ["float32"]}}),
        ("precision", "bfloat16"),
    ],
)
def test_what_some_records_have_is_read(tmp_path, key, value):
    path = tmp_path / "base.provenance.json"
    record_of(path, "train_base", "base.pt")
    change(path, key, value)
    assert lookup.load(path)[key] == value


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "no such file"),
        ('{"rule": ', "not valid JSON"),
        ("[" * 100_000, r"not valid JSON \(nested too deep\)"),
        ('{"rule": ' + "9" * 5000 + "}", "not valid JSON"),
        ("[]", "holds a list, expected a JSON object"),
    ],
)
def test_a_record_that_is_missing_or_damaged_is_named(tmp_path, content, words):
    path = tmp_path / "base.provenance.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=rf"base\.provenance\.json: {words}"):
        lookup.load(path)


def test_a_winners_record_brings_those_of_the_trainings_that_it_was_chosen_from(tmp_path):
    holders = [tmp_path / "trained.provenance.json", tmp_path / "winner/provenance.json"]
    for holder in holders:
        record_of(holder, "train_candidate", "metrics.json")
    training = of_training(lookup.load(holders[0]))
    change(holders[1], "trained", [training])
    assert lookup.load_all(holders) == [*map(lookup.load, holders), training]


def test_a_folder_in_a_records_place_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match=rf"^{tmp_path}: cannot be read \(Is a directory\)$"):
        lookup.load(tmp_path)
