import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from checkout import ROOT, Checkout
from sacp.artefacts import lookup, record
from sacp.artefacts.digests import file_digest, sealed
from sacp.artefacts.explain import differences, explain
from sacp.artefacts.inputs import checked
from sacp.errors import InputError

DEMO = Path("results/demo")
SEED = DEMO / "digits-resnet14/seed0"


def finish(made: dict[str, Any], path: str, *outputs: str) -> None:
    """Write a record of outputs beside them."""
    Path(path).write_text(json.dumps(record.finished(made, outputs)))


def started(
    rule: str, inputs: list[str], settings: dict[str, Any] | None = None, seed: int | None = None
) -> dict[str, Any]:
    """A record of a run whose results lie in `out`, still without outputs."""
    return record.record(rule, settings or {}, {rule: rule[0] * 64}, checked(inputs), seed, Path("out"))


@pytest.fixture
def chain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A table made from a base, which was made from a user's data; each record names several outputs."""
    monkeypatch.chdir(tmp_path)
    for folder in ("out/data", "out/seed0", "out/tables"):
        Path(folder).mkdir(parents=True)
    Path("data.csv").write_text("1,2\n")
    Path("reported.csv").write_text("93.5\n")
    Path("out/data/digits.bin").write_text("1 2")
    finish(started("prepare_data", ["data.csv"]), "out/data/digits.provenance.json", "out/data/digits.bin")
    Path("out/seed0/base_history.csv").write_text("epoch\n")
    torch.save({"state": torch.arange(3)}, "out/seed0/base.pt")
    made = started("train_base", ["out/data/digits.bin"], {"lr": 0.1}, 0)
    finish(made, "out/seed0/base.provenance.json", "out/seed0/base.pt", "out/seed0/base_history.csv")
    Path("out/tables/table.csv").write_text("93.1\n")
    Path("out/tables/table.md").write_text("|93.1|\n")
    made = started("make_table", ["out/seed0/base.pt", "reported.csv"])
    finish(made, "out/tables/table.provenance.json", "out/tables/table.csv", "out/tables/table.md")
    return Path("out/tables/table.csv")


def status_and_errors(*names: str) -> tuple[int, list[str]]:
    """What the command says of a file on stderr, and its exit status."""
    command = [sys.executable, "-m", "sacp.artefacts.explain", *names]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "scripts")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr.splitlines()


def test_the_chain_goes_down_to_the_data(chain: Path) -> None:
    found = explain(chain)
    assert found.artefacts == ["out/tables/table.csv", "out/seed0/base.pt", "out/data/digits.bin"]
    assert found.sources == ["data.csv", "reported.csv"]
    assert (found.broken, found.unexplained) == ([], [])
    text = "\n".join(found.lines)
    assert "make_table, code of make_table mmmmmmmmmmmm" in text
    assert "train_base, seed 0, code of train_base tttttttttttt" in text
    assert '{"lr": 0.1}' in text
    assert f"      data.csv, {file_digest('data.csv')[:12]}" in found.lines
    assert status_and_errors(str(chain)) == (0, [])


@pytest.mark.parametrize(
    "name",
    ["out/tables/table.csv", "out/tables/table.md", "out/seed0/base.pt", "out/seed0/base_history.csv", "data.csv"],
)
def test_one_changed_byte_of_any_file_is_named(chain: Path, name: str) -> None:
    content = bytearray(Path(name).read_bytes())
    content[len(content) // 2] ^= 1
    Path(name).write_bytes(content)
    assert f"{name} (changed)" in explain(chain).broken


MADE_OR_GIVEN = ["out/tables/table.md", "out/seed0/base.pt", "out/seed0/base_history.csv", "data.csv"]


@pytest.mark.parametrize("name", MADE_OR_GIVEN)
def test_a_missing_file_is_named_and_the_chain_goes_on(chain: Path, name: str) -> None:
    Path(name).unlink()
    found = explain(chain)
    assert found.broken == [f"{name} (missing)"]
    assert found.sources == ["data.csv", "reported.csv"]
    assert status_and_errors(str(chain)) == (1, [f"error: not what was used: {name} (missing)"])


@pytest.mark.parametrize("name", ["base.pt", "base_history.csv"])
def test_a_file_that_was_meant_to_be_deleted_is_not_missed(chain: Path, name: str) -> None:
    holder = Path("out/seed0/base.provenance.json")
    holder.write_text(json.dumps(sealed({**json.loads(holder.read_text()), lookup.TEMPORARY: [name]})))
    assert not any("deleted" in line for line in explain(chain).lines)
    (holder.parent / name).unlink()
    found = explain(chain)
    assert found.broken == []
    assert any(f"out/seed0/{name} deleted, as nothing needs it" in line for line in found.lines)
    assert status_and_errors(str(chain)) == (0, [])


@pytest.mark.parametrize("name", MADE_OR_GIVEN)
def test_a_folder_in_a_files_place_is_named(chain: Path, name: str) -> None:
    Path(name).unlink()
    Path(name).mkdir()
    assert explain(chain).broken == [f"{name} (a folder)"]


def copy_other(path: Path) -> None:
    path.write_bytes(Path("out/tables/table.provenance.json").read_bytes())


@pytest.mark.parametrize("name", ["out/data/digits.bin", "out/seed0/base.pt"])
@pytest.mark.parametrize(
    "replace",
    [Path.exists, copy_other, Path.mkdir, lambda path: path.symlink_to("nowhere"), lambda path: path.write_text("{}")],
    ids=["deleted", "of another rule", "folder", "dangling", "foreign"],
)
def test_a_file_of_the_results_without_a_record_is_no_source(
    chain: Path, name: str, replace: Callable[[Path], Any]
) -> None:
    holder = Path(name).with_suffix(".provenance.json")
    holder.unlink()
    replace(holder)
    found = explain(chain)
    assert (found.broken, found.unexplained) == ([], [name])
    assert name not in found.sources
    error = f"error: no record says how it was made: {name}; expected one beside it that names it"
    assert status_and_errors(str(chain)) == (1, [error])


def test_a_record_of_the_same_rule_for_other_files_of_these_names_is_noticed(chain: Path) -> None:
    holder = Path("out/seed0/base.provenance.json")
    other = lookup.load(holder)
    other["outputs"]["base.pt"] = "0" * 64
    holder.write_text(json.dumps(sealed(other)))
    assert explain(chain).broken == ["out/seed0/base.pt (changed)"]


def test_data_that_the_user_gave_below_the_results_are_a_source(chain: Path) -> None:
    Path("data.csv").rename("out/data/data.csv")
    finish(started("prepare_data", ["out/data/data.csv"]), "out/data/digits.provenance.json", "out/data/digits.bin")
    found = explain(chain)
    assert found.sources == ["out/data/data.csv", "reported.csv"]
    assert (found.broken, found.unexplained) == ([], [])


@pytest.mark.parametrize("name", ["out/seed0/base.pt", "out/data/digits.bin"])
def test_where_records_do_not_say_it_the_results_lie_in_the_folder_that_holds_them_all(chain: Path, name: str) -> None:
    Path("out/configs.bin").write_text("")
    finish(started("sample_configs", []), "out/configs.provenance.json", "out/configs.bin")
    made = started("make_table", ["out/seed0/base.pt", "out/configs.bin", "reported.csv"])
    finish(made, "out/tables/table.provenance.json", "out/tables/table.csv", "out/tables/table.md")
    for holder in Path("out").rglob("*.provenance.json"):
        old = lookup.load(holder)
        old["results"] = None
        holder.write_text(json.dumps(sealed(old)))
    assert (explain(chain).sources, explain(chain).unexplained) == (["data.csv", "reported.csv"], [])
    Path(name).with_suffix(".provenance.json").unlink()
    assert explain(chain).unexplained == [name]


def test_a_file_by_the_way_is_explained_by_the_record_that_names_it(chain: Path) -> None:
    assert explain(Path("out/seed0/base_history.csv")).artefacts[0] == "out/seed0/base_history.csv"
    holder, found = lookup.find("out/seed0/base_history.csv")
    assert (holder.name, found["rule"]) == ("base.provenance.json", "train_base")


def test_a_record_without_torch_is_described(chain: Path) -> None:
    holder = Path("out/tables/table.provenance.json")
    made = lookup.load(holder)
    del made["versions"]["torch"]
    holder.write_text(json.dumps(sealed(made)))
    assert f"s on {made['device']}; python {made['versions']['python']}, snakemake" in "\n".join(explain(chain).lines)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("none.csv", "none.csv: no such file"),
        ("data.csv", "data.csv: no record says how it was made; expected a file below the results folder"),
        ("out/tables", "out/tables: a folder; expected a file"),
    ],
)
def test_what_cannot_be_explained_is_refused_in_one_line(chain: Path, name: str, words: str) -> None:
    with pytest.raises(InputError, match=f"^{words}$"):
        explain(Path(name))
    assert status_and_errors(name) == (1, [f"error: {words}"])


@pytest.mark.parametrize("content", ["[" * 100_000, "{", '"text"'])
def test_a_damaged_record_on_the_way_is_named_in_one_line(chain: Path, content: str) -> None:
    Path("out/seed0/base.provenance.json").write_text(content)
    with pytest.raises(InputError, match=r"^out/seed0/base\.provenance\.json: .*$"):
        explain(chain)


def test_lineage_gathers_codes_and_versions_and_the_note_names_what_is_mixed(chain: Path) -> None:
    found = lookup.load("out/tables/table.provenance.json")
    assert found["lineage"]["code"] == {
        "make_table": ["m" * 64],
        "prepare_data": ["p" * 64],
        "train_base": ["t" * 64],
    }
    assert record.mixture_note(found) == ""
    base = lookup.load("out/seed0/base.provenance.json")
    base["lineage"]["versions"]["torch"] = ["1.0"]
    base["lineage"]["code"]["make_table"] = ["e" * 64]
    Path("out/seed0/base.provenance.json").write_text(json.dumps(sealed(base)))
    mixed = started("make_table", ["out/seed0/base.pt"])
    assert record.mixture_note(mixed) == (
        f"**Mixed**: what this was made from comes from torch 1.0 and {torch.__version__.partition('+')[0]}, "
        "2 codes of make_table."
    )


@pytest.mark.parametrize(("tuned", "note"), [("float32", ""), ("bfloat16", "trainings in bfloat16 and float32.")])
def test_the_chain_tells_precisions_and_the_note_those_that_are_mixed(chain: Path, tuned: str, note: str) -> None:
    def finish_training(rule: str, source: str, precision: str, name: str) -> None:
        Path(name).write_text("93.1\n")
        finish(record.computed_in(started(rule, [source]), precision), f"{name}.provenance.json", name)

    finish_training("train_base", "data.csv", "float32", "out/base.bin")
    finish_training("tune_shard", "out/base.bin", tuned, "out/tuned.csv")
    made = started("make_table", ["out/base.bin", "out/tuned.csv"])
    assert made["lineage"]["precision"] == {"trainings": sorted({"float32", tuned})}
    assert record.mixture_note(made) == (f"**Mixed**: what this was made from comes from {note}" if note else "")
    lines = [line for line in explain(Path("out/tuned.csv")).lines if " s on " in line]
    assert [re.search(r" in (\w+); python", line)[1] for line in lines] == [tuned, "float32"]


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
    assert sorted(found.sources) == ["config/reported/frontier.csv", "config/reported/table3.csv"]
    assert found.results == {DEMO}
    assert found.unexplained == []
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
    (DEMO / "data/digits.provenance.json").unlink()
    (SEED / "base.provenance.json").unlink()
    made = [(DEMO / "data/digits.safetensors").as_posix(), (SEED / "base.pt").as_posix()]
    assert set(made) <= set(explain(table).unexplained)


def run_in(folder: Path, threads: int = 1, lr: float = 0.1, seed: int = 0) -> Path:
    """The tuned candidates of a run whose results lie in `folder`, computed in so many threads."""
    base, tuned = folder / f"net/seed{seed}/base.pt", folder / f"net/seed{seed}/sacp/tuned.csv"
    for path, rule, settings in ((base, "train_base", {"lr": lr}), (tuned, "tune_shard", {"epochs": 1})):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{rule} {threads} {lr}")
        inputs = [] if rule == "train_base" else [base]
        holder = path.with_suffix(".provenance.json")
        made = record.record(rule, settings, {}, checked(inputs), seed, folder, holder, threads)
        finish(made, str(holder), str(path))
    return tuned


def test_two_artefacts_that_differ_in_threads_alone_are_told_so(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    paths = [run_in(Path("a"), threads=1), run_in(Path("b"), threads=2)]
    assert differences(*map(explain, paths)) == [
        "other bytes",
        "net/seed0/base.provenance.json: threads 1 and 2",
        "net/seed0/sacp/tuned.provenance.json: threads 1 and 2",
        "they differ in the number of threads alone, which can change the last bits of a sum",
    ]
    assert differences(explain(paths[0]), explain(paths[0])) == ["the same bytes"]


def test_all_else_that_two_artefacts_differ_in_is_named_where_it_stands(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    paths = [run_in(Path("a")), run_in(Path("b"), threads=2, lr=0.2)]
    Path("b").rename("moved")
    other = explain(Path("moved/net/seed0/sacp/tuned.csv"))
    assert (other.broken, other.unexplained, other.results) == ([], [], {Path("moved")})
    assert differences(explain(paths[0]), other) == [
        "other bytes",
        "net/seed0/base.provenance.json: settings lr 0.1 and 0.2",
        "net/seed0/base.provenance.json: threads 1 and 2",
        "net/seed0/sacp/tuned.provenance.json: threads 1 and 2",
    ]


def test_what_stands_in_one_chain_alone_is_named(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    one, other = run_in(Path("a")), run_in(Path("a"), seed=1)
    assert differences(explain(one), explain(other))[1:] == [
        f"net/seed{seed}/{name}.provenance.json: only in the chain of {path}"
        for seed, path in enumerate((one, other))
        for name in ("base", "sacp/tuned")
    ]


@pytest.mark.parametrize("results", ["b", "moved"])
@pytest.mark.parametrize("name", ["net/seed0/base.pt", "net/seed0/sacp/tuned.csv"])
def test_what_has_changed_since_it_was_written_is_named_beside_the_differences(
    tmp_path: Path, monkeypatch, name: str, results: str
) -> None:
    monkeypatch.chdir(tmp_path)
    one, _ = run_in(Path("a")), run_in(Path("b"), threads=2)
    Path("b").rename(results)
    changed = Path(results) / name
    changed.write_text("changed")
    status, errors = status_and_errors(str(one), f"{results}/net/seed0/sacp/tuned.csv")
    assert (status, errors) == (1, [f"error: not what was used: {changed} (changed)"])
    changed.unlink()
    assert status_and_errors(f"{results}/net/seed0/sacp/tuned.csv", str(one))[0] == 1


@pytest.mark.parametrize("folder", ["elsewhere", "paper/net/seed0/sacp"])
def test_a_copy_with_its_record_alone_is_followed_to_where_it_was_made(tmp_path: Path, monkeypatch, folder) -> None:
    monkeypatch.chdir(tmp_path)
    one, other = run_in(Path("a")), run_in(Path("b"), lr=0.2)
    Path(folder).mkdir(parents=True)
    for path in (other, other.with_suffix(".provenance.json")):
        shutil.copy(path, folder)
    copy = explain(Path(folder) / "tuned.csv")
    assert (copy.artefacts[1:], copy.broken) == (["b/net/seed0/base.pt"], [])
    found = differences(explain(one), copy)
    assert found == ["other bytes", "net/seed0/base.provenance.json: settings lr 0.1 and 0.2"]


def test_what_is_compared_on_the_command_line_was_made_in_a_place_of_the_results(chain: Path) -> None:
    words = "error: data.csv: no record says how it was made; expected a file below the results folder"
    assert status_and_errors(str(chain), "data.csv") == (1, [words])
    words = f"error: {chain}: no record says where it was made; expected a file of the results"
    assert status_and_errors(str(chain), str(chain)) == (1, [words])
