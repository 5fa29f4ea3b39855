import hashlib
import json
import subprocess
from pathlib import Path

from sacp import provenance


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
