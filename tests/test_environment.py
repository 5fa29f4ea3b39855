"""Lock, conda environments and rules agree."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml
from rattler import MatchSpec

ROOT = Path(__file__).parents[1]
ENVIRONMENTS = sorted((ROOT / "envs").glob("*.yaml"))
LOCK = (ROOT / "requirements.lock").read_text()
# conda-forge's names where they are not PyPI's
PYPI_NAMES = {"pytorch": "torch", "pytorch_geometric": "torch-geometric"}


def locked_version(package: str) -> str:
    """Version in the lock; with a Python marker, the one for Python 3.11."""
    pins = re.findall(rf"^{re.escape(package)}==(\S+)(?: ; (.*?))? \\$", LOCK, re.MULTILINE)
    versions = [version for version, marker in pins if ">= '3.12'" not in marker]
    assert len(versions) == 1, f"{package}: {pins}"
    return versions[0]


@pytest.mark.parametrize("path", ENVIRONMENTS, ids=lambda path: path.stem)
def test_conda_environment_pins_the_versions_of_the_lock(path: Path) -> None:
    specs = [MatchSpec(spec) for spec in yaml.safe_load(path.read_text())["dependencies"]]
    found = {spec.name.normalized: str(spec.version).removesuffix(".*") for spec in specs}
    assert found.pop("python") == "3.11"
    assert found == {name: locked_version(PYPI_NAMES.get(name, name)) for name in found}


def test_every_rule_with_a_script_names_an_existing_environment_and_a_log() -> None:
    for path in (ROOT / "rules").glob("*.smk"):
        for name, body in re.findall(r"^(?:rule|checkpoint) (\w+):\n(.*?)(?=^\S|\Z)", path.read_text(), re.M | re.S):
            environment = re.search(r'conda:\s+"\.\./(envs/\w+\.yaml)"', body)
            assert environment, f"{name} names no environment"
            assert (ROOT / environment[1]).is_file()
            assert "log:" in body
            assert f'"../scripts/{name}.py"' in body


def test_the_lock_is_hashed_and_holds_no_address() -> None:
    pins = re.findall(r"^\S+==\S+", LOCK, re.MULTILINE)
    assert len(pins) > 50
    assert LOCK.count("--hash=sha256:") >= len(pins)
    assert "://" not in LOCK


def test_every_relative_link_in_the_docs_leads_to_a_file_of_the_repository():
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
    links = [(page, link) for page in pages for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text())]
    assert len(links) > 8
    assert [(page.name, link) for page, link in links if not (page.parent / link).is_file()] == []
    targets = [str((page.parent / link).resolve()) for page, link in links]
    ignored = subprocess.run(["git", "check-ignore", *targets], cwd=ROOT, capture_output=True, text=True)
    assert ignored.stdout == ""  # a file that git leaves out is a dead link in every clone
