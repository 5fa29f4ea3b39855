import hashlib
import json
import subprocess
from pathlib import Path

import pytest
from sacp import provenance
from sacp.provenance import code_digest, file_digest

ROOT = Path(__file__).parents[1]
MODULES = {
    "run_stage.py": '"""A stage."""\nfrom sacp import direct\nfrom sacp.named import value\nprint(direct.f(value))\n',
    "sacp/__init__.py": "",
    "sacp/direct.py": 'import sacp.deep as deep\n\ndef f(x):\n    """Add."""\n    return x + deep.one  # why\n',
    "sacp/named.py": "value = 2\n",
    "sacp/deep.py": "one = 1\n",
    "sacp/stranger.py": "two = 2\n",
}  # fmt: skip


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """A script that imports `direct` and `named`, of which `direct` imports `deep`; `stranger` is not imported."""
    (tmp_path / "sacp").mkdir()
    for name, text in MODULES.items():
        (tmp_path / name).write_text(text)
    return tmp_path / "run_stage.py"


def edit(script: Path, name: str, old: str, new: str) -> None:
    path = script.parent / name
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("run_stage.py", '"""A stage."""', '"""Another docstring."""'),
        ("run_stage.py", '"""A stage."""\n', ""),
        ("run_stage.py", "print(", "# a comment\nprint("),
        ("sacp/direct.py", '"""Add."""', '"""Sum."""'),
        ("sacp/direct.py", "  # why", ""),
        ("sacp/direct.py", "x + deep.one", "(x +\n        deep.one)"),
        ("sacp/deep.py", "one = 1", "# new\none = 1"),
        ("sacp/stranger.py", "two = 2", "two = 3"),
    ],
)
def test_digest_is_blind_to_comments_docstrings_layout_and_modules_that_are_not_imported(script, name, old, new):
    before = code_digest(script)
    edit(script, name, old, new)
    assert code_digest(script) == before


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("run_stage.py", "print(", "repr("),
        ("run_stage.py", "from sacp import direct", "from sacp import direct, stranger"),
        ("sacp/direct.py", "x + deep.one", "x - deep.one"),
        ("sacp/named.py", "2", "3"),
        ("sacp/deep.py", "1", "1.0"),
    ],
)
def test_digest_follows_the_code_of_the_script_and_of_what_it_imports_however_deep(script, name, old, new):
    before = code_digest(script)
    edit(script, name, old, new)
    assert code_digest(script) != before


def test_digest_does_not_depend_on_where_the_code_lies(script, tmp_path):
    before = code_digest(script)
    copy = tmp_path / "elsewhere"
    (copy / "sacp").mkdir(parents=True)
    for name, text in MODULES.items():
        (copy / name).write_text(text)
    assert code_digest(copy / "run_stage.py") == before


@pytest.mark.parametrize("script", sorted(path.name for path in (ROOT / "scripts").glob("*.py")))
def test_every_script_of_the_workflow_depends_on_the_library(script):
    closure = {path.name for path in provenance._closure(ROOT / "scripts" / script)}
    assert {script, "job.py", "errors.py"} <= closure


def test_scoring_depends_on_the_encoder_but_not_on_the_report():
    closure = {path.name for path in provenance._closure(ROOT / "scripts/score_candidates.py")}
    assert {"scoring.py", "encoder.py", "space.py", "criteria.py"} <= closure
    assert {"report.py", "refine.py", "training.py"}.isdisjoint(closure)


def test_file_digest_is_that_of_sha256(tmp_path):
    (tmp_path / "file").write_bytes(b"abc" * 100_000)
    assert file_digest(tmp_path / "file") == hashlib.sha256(b"abc" * 100_000).hexdigest()


def test_record_says_how_an_artefact_was_made(tmp_path):
    (tmp_path / "in.txt").write_text("input")
    record = provenance.record("sample_configs", {"levels": 10}, "code digest", [tmp_path / "in.txt"], 3)
    assert json.loads(json.dumps(record)) == record
    assert (record["settings"], record["code"], record["seed"]) == ({"levels": 10}, "code digest", 3)
    assert record["inputs"] == {(tmp_path / "in.txt").as_posix(): hashlib.sha256(b"input").hexdigest()}
    assert {"python", "torch", "numpy"} <= set(record["versions"])
    assert record["device"]


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "core.hooksPath=none"]
    return subprocess.run(
        ["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True
    ).stdout.strip()


def test_commit_is_that_of_the_checkout_and_says_whether_it_was_changed(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "provenance.py"))

    def commit() -> str | None:
        return provenance.record("", {}, "", [], None)["commit"]

    assert commit() is None
    git(tmp_path, "init", "-q")
    (tmp_path / "file").write_text("one")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-q", "-m", "first")
    head = git(tmp_path, "rev-parse", "HEAD")
    assert commit() == head
    (tmp_path / "untracked").write_text("x")
    assert commit() == head
    (tmp_path / "file").write_text("two")
    assert commit() == f"{head}+dirty"
