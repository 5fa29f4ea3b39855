import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from checkout import ROOT, Checkout
from sacp.artefacts import lookup, record
from sacp.artefacts.digests import file_digest
from sacp.artefacts.explain import explain
from sacp.errors import InputError

DEMO = Path("results/demo")
SEED = DEMO / "digits-resnet14/seed0"


def finish(made: dict[str, Any], path: str, *outputs: str) -> None:
    """Write a record of outputs beside them."""
    Path(path).write_text(json.dumps(record.finished(made, outputs)))


@pytest.fixture
def chain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A table made from a base, which was made from data; each record names several outputs."""
    monkeypatch.chdir(tmp_path)
    Path("data.csv").write_text("1,2\n")
    Path("base_history.csv").write_text("epoch\n")
    torch.save({"state": torch.arange(3)}, "base.pt")
    made = record.record("train_base", {"lr": 0.1}, {"train_base": "c" * 64}, ["data.csv"], 0)
    finish(made, "base.provenance.json", "base.pt", "base_history.csv")
    Path("tables").mkdir()
    Path("tables/table.csv").write_text("93.1\n")
    Path("tables/table.md").write_text("|93.1|\n")
    made = record.record("make_table", {}, {"make_table": "d" * 64}, ["base.pt"], None)
    finish(made, "tables/table.provenance.json", "tables/table.csv", "tables/table.md")
    return Path("tables/table.csv")


def test_the_chain_goes_down_to_the_data(chain: Path) -> None:
    found = explain(chain)
    assert found.artefacts == ["tables/table.csv", "base.pt"]
    assert found.sources == ["data.csv"]
    assert found.broken == []
    text = "\n".join(found.lines)
    assert "make_table, code of make_table dddddddddddd" in text
    assert "train_base, seed 0, code of train_base cccccccccccc" in text
    assert '{"lr": 0.1}' in text
    assert found.lines[-1] == f"    data.csv, {file_digest('data.csv')[:12]}"


@pytest.mark.parametrize("name", ["tables/table.csv", "tables/table.md", "base.pt", "base_history.csv", "data.csv"])
def test_one_changed_byte_of_any_file_is_named(chain: Path, name: str) -> None:
    content = bytearray(Path(name).read_bytes())
    content[len(content) // 2] ^= 1
    Path(name).write_bytes(content)
    assert f"{name} (changed)" in explain(chain).broken


@pytest.mark.parametrize("name", ["tables/table.md", "base.pt", "base_history.csv", "data.csv"])
def test_a_missing_file_is_named(chain: Path, name: str) -> None:
    Path(name).unlink()
    assert f"{name} (missing)" in explain(chain).broken


def test_a_file_by_the_way_is_explained_by_the_record_that_names_it(chain: Path) -> None:
    assert explain(Path("base_history.csv")).artefacts == ["base_history.csv"]
    holder, found = lookup.find("base_history.csv")
    assert (holder.name, found["rule"]) == ("base.provenance.json", "train_base")


@pytest.mark.parametrize(("name", "words"), [("none.csv", "no such file"), ("data.csv", "no record says how")])
def test_what_cannot_be_explained_is_refused_in_one_line(chain: Path, name: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        explain(Path(name))
    command = [sys.executable, "-m", "sacp.artefacts.explain", name]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "scripts")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1


def test_lineage_gathers_codes_and_versions_and_the_note_names_what_is_mixed(chain: Path) -> None:
    found = lookup.load("tables/table.provenance.json")
    assert found["lineage"]["code"] == {"make_table": ["d" * 64], "train_base": ["c" * 64]}
    assert record.mixture_note(found) == ""
    base = lookup.load("base.provenance.json")
    base["lineage"]["versions"]["torch"] = ["1.0"]
    base["lineage"]["code"]["make_table"] = ["e" * 64]
    Path("base.provenance.json").write_text(json.dumps(base))
    mixed = record.record("make_table", {}, {"make_table": "d" * 64}, ["base.pt"], None)
    assert record.mixture_note(mixed) == (
        f"**Mixed**: what this was made from comes from torch 1.0 and {torch.__version__.partition('+')[0]}, "
        "2 codes of make_table."
    )


@pytest.mark.workflow
def test_the_demos_table_is_explained_down_to_the_data(finished_demo: Checkout, monkeypatch) -> None:
    monkeypatch.chdir(finished_demo.path)
    found = explain(DEMO / "tables/table3.csv")
    assert found.broken == []
    seen = set(found.artefacts)
    stages = (
        "base.pt",
        "configs.h5",
        "sacp/encoder.pt",
        "sacp/scores.parquet",
        "sacp/topm/000-009.csv",
        "sacp/topm.csv",
    )
    assert {(SEED / stage).as_posix() for stage in stages} <= seen
    assert (DEMO / "data/digits.safetensors").as_posix() in seen
    assert found.sources == ["config/reported/table3.csv"]
    _, prepared = lookup.find(DEMO / "data/digits.safetensors")
    assert f"| data {prepared['data_digest']}" in "\n".join(found.lines)


@pytest.mark.workflow
def test_every_file_of_the_demo_has_a_record(finished_demo: Checkout, monkeypatch) -> None:
    monkeypatch.chdir(finished_demo.path)
    files = [path for path in DEMO.rglob("*") if path.is_file() and "logs" not in path.parts]
    assert len(files) > 40
    assert [path for path in files if lookup.find(path) is None] == []


@pytest.mark.workflow
def test_one_changed_byte_of_any_artefact_of_the_demo_is_named(demo_copy: Checkout, monkeypatch) -> None:
    monkeypatch.chdir(demo_copy.path)
    table = DEMO / "tables/table3.csv"
    for name in (
        DEMO / "data/digits.safetensors", SEED / "base.pt", SEED / "base_history.csv", SEED / "configs.h5",
        SEED / "sacp/scores.parquet", SEED / "sacp/encoder_loss.csv", SEED / "sacp/topm/010-019.csv",
        SEED / "sacp/winner/metrics.json", SEED / "sacp/winner/network.safetensors", table,
    ):  # fmt: skip
        before = name.read_bytes()
        content = bytearray(before)
        content[len(content) // 2] ^= 1
        name.write_bytes(content)
        assert f"{name.as_posix()} (changed)" in explain(table).broken
        name.write_bytes(before)
    assert explain(table).broken == []
