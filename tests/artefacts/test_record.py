import hashlib
import json
import subprocess
from pathlib import Path

from sacp.artefacts import record
from sacp.artefacts.inputs import checked


def test_record_says_how_an_artefact_was_made(tmp_path):
    (tmp_path / "in.txt").write_text("input")
    code = {"sample_configs": "digest", "package.module:function": "another digest"}
    made = record.record("sample_configs", {"levels": 10}, code, checked([tmp_path / "in.txt"]), 3)
    assert json.loads(json.dumps(made)) == made
    assert (made["settings"], made["code"], made["seed"]) == ({"levels": 10}, code, 3)
    assert made["inputs"] == {(tmp_path / "in.txt").as_posix(): hashlib.sha256(b"input").hexdigest()}
    assert {"python", "torch", "numpy"} <= set(made["versions"])
    assert made["device"]


def test_a_finished_record_names_the_outputs_with_their_digests(tmp_path):
    (tmp_path / "out.txt").write_text("output")
    made = record.record("rule", {}, {"rule": "digest"}, [], None)
    done = record.finished(made, [tmp_path / "out.txt"])
    assert done["outputs"] == {"out.txt": hashlib.sha256(b"output").hexdigest()}
    assert {name: value for name, value in done.items() if name not in ("outputs", "seconds", "sha256")} == made
    assert done["seconds"] > 0


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "core.hooksPath=none"]
    return subprocess.run(
        ["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True
    ).stdout.strip()


def test_commit_is_that_of_the_checkout_and_says_whether_it_was_changed(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.setattr(record, "__file__", str(tmp_path / "record.py"))

    def commit() -> str | None:
        return record.record("", {}, {}, [], None)["commit"]

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
