"""Content hashes: blind to what means nothing, open to all that does."""

import hashlib
from pathlib import Path

import pytest
from sacp import digests
from sacp.digests import code_digest, file_digest

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
    closure = {path.name for path in digests.closure(ROOT / "scripts" / script)}
    assert {script, "job.py", "errors.py"} <= closure


def test_scoring_depends_on_the_encoder_but_not_on_the_report():
    closure = {path.name for path in digests.closure(ROOT / "scripts/score_candidates.py")}
    assert {"scoring.py", "encoder.py", "space.py", "criteria.py"} <= closure
    assert {"report.py", "refine.py", "training.py"}.isdisjoint(closure)


def test_file_digest_is_that_of_sha256(tmp_path):
    (tmp_path / "file").write_bytes(b"abc" * 100_000)
    assert file_digest(tmp_path / "file") == hashlib.sha256(b"abc" * 100_000).hexdigest()
