"""Lock, conda environments and rules agree."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from checkout import ROOT
from rattler import MatchSpec
from sacp.artefacts import digests
from sacp.catalogue.criteria import CRITERIA
from sacp.catalogue.kinds import KINDS
from sacp.catalogue.scores import SCORES
from sacp.catalogue.sources import SOURCES

ENVIRONMENTS = sorted((ROOT / "envs").glob("*.yaml"))
LOCK = (ROOT / "requirements.lock").read_text()
PEERS = (ROOT / "requirements-peers.lock").read_text()
SITE = (ROOT / "docs/requirements.lock").read_text()
# conda-forge's names where they are not PyPI's
PYPI_NAMES = {"pytorch": "torch", "pytorch_geometric": "torch-geometric"}


# conda-forge's names where they are not those of the modules
PACKAGES = {
    "PIL": "pillow", "sklearn": "scikit-learn", "torch": "pytorch", "torch_geometric": "pytorch_geometric",
    "yaml": "pyyaml",
}  # fmt: skip


# What scripts are told to load by import path.
KEEPERS = [kind.function for kind in KINDS.values() if kind.function]
SCORED = [score.function for score in SCORES.values()]
LOADED = {
    "prepare_data": [f"{source.module}:read" for source in SOURCES.values()],
    "select_baseline": KEEPERS + [criterion.function for criterion in CRITERIA.values()],
    "score_candidates": SCORED, "find_configs": SCORED, "draw_responses": SCORED,
}  # fmt: skip


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
            script = re.search(r'"\.\./(scripts/\w+\.py)"', body)
            assert script, f"{name} names no script"
            assert (ROOT / script[1]).is_file()


def modules(path: Path) -> set[str]:
    """Top-level names of what a file imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
    return names - set(sys.stdlib_module_names) - {"sacp"}


@pytest.mark.parametrize("script", sorted(path.stem for path in (ROOT / "scripts").glob("*.py")))
def test_a_rules_environment_holds_what_its_script_and_library_import(script: str) -> None:
    rules = "\n".join(path.read_text() for path in (ROOT / "rules").glob("*.smk"))
    body = re.search(rf"^(?:rule|checkpoint) {script}:\n(.*?)(?=^\S|\Z)", rules, re.M | re.S)
    assert body is not None
    environment = re.search(r'conda:\s+"\.\./(envs/\w+\.yaml)"', body[1])
    assert environment is not None
    specs = yaml.safe_load((ROOT / environment[1]).read_text())["dependencies"]
    held = {spec.partition("=")[0] for spec in specs}
    reached = digests.modules(ROOT / f"scripts/{script}.py", LOADED.get(script, ()))
    needed = {PACKAGES.get(name, name) for path in reached for name in modules(path)}
    assert needed <= held


def test_the_container_takes_the_lock_and_the_python_of_the_environments() -> None:
    recipe = (ROOT / "envs/Dockerfile").read_text()
    assert "COPY requirements.lock /opt/" in recipe
    assert re.findall(r"pip install (.*)", recipe) == [
        "--no-cache-dir --require-hashes --no-deps --requirement /opt/requirements.lock"
    ]
    assert set(re.findall(r"python3\.\d+", recipe)) == {"python3.11"}
    assert "==" not in recipe  # no version beside the lock's


@pytest.mark.parametrize(("lock", "least"), [(LOCK, 50), (PEERS, 1), (SITE, 3)])
def test_a_lock_is_hashed_and_holds_no_address(lock: str, least: int) -> None:
    pins = re.findall(r"^\S+==\S+", lock, re.MULTILINE)
    assert len(pins) >= least
    assert lock.count("--hash=sha256:") >= len(pins)
    assert "://" not in lock


def test_peers_are_locked_apart_from_all_that_is_installed() -> None:
    named = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]["peers"]
    locked = re.findall(r"^(\S+)==", PEERS, re.MULTILINE)
    assert locked == sorted(named)
    assert not set(locked) & set(re.findall(r"^(\S+)==", LOCK, re.MULTILINE))


def test_what_makes_the_site_is_locked_and_no_part_of_what_is_installed() -> None:
    named = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]["docs"]
    assert set(named) <= set(re.findall(r"^(\S+)==", SITE, re.MULTILINE))
    assert not set(named) & set(re.findall(r"^(\S+)==", LOCK, re.MULTILINE))


def test_every_relative_link_in_the_docs_leads_into_the_repository():
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
    links = [(page, link) for page in pages for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text())]
    assert len(links) > 8
    assert [(page.name, link) for page, link in links if not (page.parent / link).exists()] == []
    targets = [str((page.parent / link).resolve()) for page, link in links]
    ignored = subprocess.run(["git", "check-ignore", *targets], cwd=ROOT, capture_output=True, text=True)
    assert ignored.stdout == ""  # a file that git leaves out is a dead link in every clone


def imports_of(*paths: Path) -> str:
    """The import statements at the top level of files, as a program."""
    found = [node for path in paths for node in ast.parse(path.read_text()).body]
    return "\n".join(ast.unparse(node) for node in found if isinstance(node, (ast.Import, ast.ImportFrom)))


def loaded_by(program: str) -> set[str]:
    """Names of all modules that a program has loaded at its end."""
    program = f"import sys; sys.path.insert(0, 'scripts')\n{program}\nprint('\\n'.join(sys.modules))"
    command = [sys.executable, "-W", "ignore", "-c", program]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


HEAVY = {"torch", "torch._dynamo", "torch_geometric", "torchvision", "sklearn"}
# What loads what, by the stages' scripts; all others are in one of the three lists.
LIGHT = ("compare_forecast", "rank_rung", "rank_tuned", "sample_configs", "select_winner", "write_protocol")
ENCODING = ("collect_predictors", "draw_embedding", "train_encoder")
MEASURING = ("make_forecast",)


def scripts_with(*names: str) -> list[Path]:
    return [ROOT / f"scripts/{name}.py" for name in names]


def test_planning_loads_no_torch_and_no_table_library() -> None:
    """Every job plans before it runs; what `rules/reading.smk` and `rules/common.smk` import for it must be light."""
    rules = "".join((ROOT / f"rules/{name}.smk").read_text() for name in ("reading", "common"))
    inside = "import snakemake.api\n"  # where rules are read, Snakemake is loaded
    loaded = loaded_by(inside + "\n".join(re.findall(r"^from sacp.*$", rules, re.MULTILINE))) - loaded_by(inside)
    assert "sacp.plan.stages" in loaded
    assert (loaded - loaded_by("import snakemake.api")).isdisjoint({*HEAVY, "pandas", "matplotlib"})
    assert loaded.isdisjoint(HEAVY)


def test_jobs_that_rank_choose_draw_or_write_tables_load_no_torch() -> None:
    scripts = {path.stem for path in (ROOT / "scripts").glob("*.py")}
    scoring = {"draw_responses", "draw_embedding"}
    light = {name for name in scripts - scoring if name.startswith(("draw_", "make_"))} - set(MEASURING) | set(LIGHT)
    assert len(light) > 15
    loaded = loaded_by(imports_of(*scripts_with(*sorted(light))))
    assert "sacp.report.tables" in loaded
    assert loaded.isdisjoint(HEAVY)


def test_jobs_that_train_load_neither_torchvision_nor_torch_geometric_nor_a_compiler() -> None:
    scripts = {path.stem for path in (ROOT / "scripts").glob("*.py")}
    training = {
        name for name in scripts if name.startswith(("train_", "tune_", "search_", "probe_", "select_baseline"))
    }
    loaded = loaded_by(imports_of(*scripts_with(*sorted(training - set(ENCODING)))))
    assert "sacp.training.loop" in loaded
    assert loaded & HEAVY == {"torch"}


def test_torch_geometric_is_loaded_by_the_encoders_room_alone() -> None:
    importing = {
        path.relative_to(ROOT / "scripts/sacp").parts[0]
        for path in (ROOT / "scripts").rglob("*.py")
        if "torch_geometric" in modules(path)
    }
    assert importing == {"encoder"}


def test_a_training_loads_no_compiler_when_it_runs() -> None:
    program = """
import torch
from sacp.images.splits import ImageSet, Splits
from sacp.network.architectures import build
from sacp.network.spec import NetworkSpec
from sacp.training.loop import train
from sacp.training.recipe import Recipe
part = ImageSet(torch.zeros(8, 1, 8, 8, dtype=torch.uint8), torch.arange(8))
splits = Splits(part, part, part, torch.zeros(1), torch.ones(1), "")
network = build(NetworkSpec("resnet8", 1.0, 1, 8, 10))
train(network, splits, Recipe(1, 0.1, 4, 0.9, 0.0005, False, 1, False), 0, "training")
"""
    assert loaded_by(program) & HEAVY == {"torch"}
