"""Workflows, and the forms for reports and changes, are what their readers can use."""

import tomllib
from pathlib import Path

import pytest
import yaml
from checkout import ROOT

FOLDER = ROOT / ".github"
FORMS = sorted(FOLDER.glob("ISSUE_TEMPLATE/[!c]*.yml"))
FIELDS = {"input", "textarea", "dropdown", "checkboxes", "markdown"}


def test_a_change_must_pass_what_ci_run_does_with_the_oldest_python() -> None:
    workflow = yaml.safe_load((FOLDER / "workflows/check.yml").read_text())
    assert set(workflow[True]) == {"push", "pull_request"}  # YAML 1.1 reads `on` as a truth value
    (job,) = workflow["jobs"].values()
    assert [step["run"] for step in job["steps"] if "run" in step] == [".ci/run"]
    (version,) = [step["with"]["python-version"] for step in job["steps"] if "with" in step]
    requires = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert f">={version}" == requires
    assert (ROOT / ".ci/run").stat().st_mode & 0o100


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_a_form_has_fields_of_known_types_and_names_of_their_own(path: Path) -> None:
    form = yaml.safe_load(path.read_text())
    assert form["name"]
    assert form["description"]
    assert {field["type"] for field in form["body"]} <= FIELDS
    names = [field["id"] for field in form["body"]]
    assert len(set(names)) == len(names) > 2
    assert all(field["attributes"]["label"] for field in form["body"])
    assert any(field.get("validations", {}).get("required") for field in form["body"])


def test_a_report_asks_for_what_a_mistake_is_found_by() -> None:
    assert [path.stem for path in FORMS] == ["bug", "feature"]
    body = {field["id"]: field for field in yaml.safe_load(FORMS[0].read_text())["body"]}
    assert {"command", "config", "error", "explain"} < set(body)
    assert "make explain FILE=" in body["explain"]["attributes"]["description"]


def test_nothing_leads_to_other_hosts() -> None:
    files = [path for path in FOLDER.rglob("*") if path.is_file()]
    assert len(files) >= 5
    assert [path.name for path in files if "://" in path.read_text()] == []
