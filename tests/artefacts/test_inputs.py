"""What is read is what was written."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sacp.artefacts import lookup, record
from sacp.artefacts.digests import file_digest, sealed
from sacp.artefacts.inputs import checked
from sacp.errors import InputError

RESULTS = Path("out")
BASE, SCORES = RESULTS / "net/seed0/base.pt", RESULTS / "net/seed0/sacp/scores.parquet"
ANEW = "; delete it and run the same command again"


def write(path: Path, content: str, inputs: list[Path]) -> Path:
    """A file, with its record beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    holder = path.with_suffix(".provenance.json")
    made = record.record("rule", {}, {}, checked(inputs, RESULTS), 0, RESULTS, holder)
    holder.write_text(json.dumps(record.finished(made, [path])))
    return path


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The results of two seeds and two methods; scores come from a base, which comes from the user's data."""
    monkeypatch.chdir(tmp_path)
    Path("data.csv").write_text("1,2\n")
    for seed in (0, 1):
        base = write(RESULTS / f"net/seed{seed}/base.pt", f"base {seed}", [Path("data.csv")])
        for method in ("sacp", "l1"):
            write(RESULTS / f"net/seed{seed}/{method}/scores.parquet", f"scores {seed} {method}", [base])
    return RESULTS


def refusal(*paths: Path, results: Path = RESULTS) -> str:
    """The one line in which a job that reads these files is refused."""
    with pytest.raises(InputError) as caught:
        checked(paths, results)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def copy(source: Path, target: Path) -> None:
    """Put a file with its record in another's place."""
    target.write_bytes(source.read_bytes())
    target.with_suffix(".provenance.json").write_bytes(source.with_suffix(".provenance.json").read_bytes())


def test_what_was_written_is_read_with_its_digest_and_its_record(run):
    base, scores, data = checked([BASE, SCORES, "data.csv"], run)
    assert (base.path, base.digest) == (BASE, file_digest(BASE))
    assert scores.made == lookup.find(SCORES)[1]
    assert scores.made["place"] == "net/seed0/sacp/scores.provenance.json"
    assert (data.digest, data.made) == (file_digest("data.csv"), None)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


CHANGES = [flip, lambda path: path.write_bytes(b""), lambda path: os.truncate(path, path.stat().st_size // 2)]


@pytest.mark.parametrize("change", CHANGES, ids=["one bit", "empty", "half"])
@pytest.mark.parametrize("results", [RESULTS, None])
def test_a_changed_file_is_refused_wherever_it_is_read(run, change, results):
    expected = file_digest(SCORES)[:12]
    change(SCORES)
    words = f"damaged or changed since it was written (SHA-256 {file_digest(SCORES)[:12]}, expected {expected} as in"
    assert refusal(SCORES, results=results) == f"{SCORES}: {words} scores.provenance.json){ANEW}"


@pytest.mark.parametrize("change", CHANGES, ids=["one bit", "empty", "half"])
def test_a_changed_record_is_refused_with_the_file_and_alone(run, change):
    holder = SCORES.with_suffix(".provenance.json")
    change(holder)
    for path, anew in ((SCORES, "; delete scores.parquet and run the same command again"), (holder, ANEW)):
        assert refusal(path).startswith(f"{holder}: ")
        assert refusal(path).endswith(anew)


def test_any_changed_digit_of_a_record_is_noticed(run):
    holder = SCORES.with_suffix(".provenance.json")
    holder.write_text(holder.read_text().replace('"cores": 1', '"cores": 2'))
    words = "damaged or changed since it was written: 'sha256' is not that of its content"
    assert refusal(holder) == f"{holder}: {words}{ANEW}"


def test_a_file_without_its_record_is_refused(run):
    SCORES.with_suffix(".provenance.json").unlink()
    assert refusal(SCORES) == f"{SCORES}: no record beside it says how it was made{ANEW}, or move it if it is your own"


@pytest.mark.parametrize("other", ["seed1/sacp", "seed0/l1"])
def test_a_file_of_another_seed_or_method_is_refused_with_its_record_and_without(run, other):
    foreign = run / "net" / other / "scores.parquet"
    copy(foreign, SCORES)
    here = "net/seed0/sacp/scores.provenance.json"
    assert refusal(SCORES) == f"{SCORES}: made as net/{other}/scores.provenance.json, found as {here}{ANEW}"
    write(SCORES, "scores 0 sacp", [BASE])
    SCORES.write_bytes(foreign.read_bytes())
    assert "damaged or changed since it was written" in refusal(SCORES)


def test_files_that_come_from_different_bytes_of_one_file_are_not_read_together(run):
    write(BASE, "another base", [Path("data.csv")])
    assert refusal(BASE, SCORES).startswith(f"{SCORES}: made from another {BASE} than the one that is there (SHA-256 ")
    later = write(BASE.parent / "l1/scores.parquet", "new scores", [BASE])
    assert refusal(SCORES, later).startswith(f"{later}: made from another {BASE} than that of {SCORES} (SHA-256 ")
    assert [each.path for each in checked([SCORES], run)] == [SCORES]  # nothing here says what the base is now


def test_an_equal_file_that_was_written_again_is_the_same(run):
    write(BASE, "base 0", [Path("data.csv")])
    base, scores = checked([BASE, SCORES], run)
    assert scores.made["inputs"] == {BASE.as_posix(): base.digest}


def test_the_users_data_may_change_between_two_files(run):
    Path("data.csv").write_text("3,4\n")
    other = write(BASE.parent / "sparse.pt", "sparse", [Path("data.csv")])
    base, sparse = checked([BASE, other], run)
    assert base.made["inputs"]["data.csv"] != sparse.made["inputs"]["data.csv"]


def test_results_that_were_moved_are_read(run):
    moved = Path("moved")
    run.rename(moved)
    base, scores = (moved / path.relative_to(run) for path in (BASE, SCORES))
    checked([base, scores], moved)
    flip(base)
    assert str(base) in refusal(base, scores, results=moved)
    copy(moved / "net/seed1/sacp/scores.parquet", scores)
    assert "found as net/seed0/sacp" in refusal(scores, results=moved)


def test_a_file_that_is_too_large_is_taken_to_be_what_its_record_says(run):
    size = SCORES.stat().st_size
    flip(SCORES)
    [taken] = checked([SCORES], run, size - 1)
    assert taken.digest == lookup.find(SCORES)[1]["outputs"]["scores.parquet"] != file_digest(SCORES)
    with pytest.raises(InputError, match="damaged"):
        checked([SCORES], run, size)


def missing(path: Path) -> None:
    path.unlink()


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(("change", "why"), [(missing, "No such file or directory"), (folder, "Is a directory")])
def test_what_cannot_be_read_is_named(run, change: Callable[[Path], Any], why):
    change(SCORES)
    assert refusal(SCORES) == f"{SCORES}: cannot be read ({why}){ANEW}"


@pytest.mark.parametrize("value", [{"a": 1, "b": [1.5, None]}, {}, {1: "key", "10": 2, "2": 3}])
def test_a_seal_holds_for_the_content_in_any_order_and_for_no_other(value):
    read = json.loads(json.dumps(sealed(value)))
    assert sealed(dict(reversed(read.items()))) == read == sealed(value)
    assert sealed({**value, "a": 2})["sha256"] != read["sha256"]
