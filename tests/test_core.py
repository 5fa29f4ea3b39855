"""The core is enough: pruning, saving and loading need its own dependencies alone, and no Snakemake."""

import importlib.metadata as metadata
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import sacp
from checkout import ROOT
from packaging.requirements import Requirement

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# In a file of its own: whatever it imports, it imports under the eyes of the hook.
PROGRAM = """
import sys, tempfile, sacp, torch
from torch import nn

def make():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4),
    )

network = make().eval()
smaller = sacp.prune(network, (1, 3, 8, 8), flops=0.5).eval()
folder = tempfile.mkdtemp() + "/smaller"
sacp.save(smaller, folder)
loaded, images = sacp.load(folder, network=make), torch.randn(2, 3, 8, 8)
assert torch.equal(loaded(images), smaller(images))
assert sum(p.numel() for p in loaded.parameters()) < sum(p.numel() for p in network.parameters())
assert "snakemake" not in sys.modules
try:
    sacp.data(".")
except sacp.errors.InputError as error:
    assert str(error) == "the package 'pyarrow' is missing; pip install 'sacp[command]'", error
for name in ("snakemake", "pandas", "torchvision", "onnx"):
    try:
        __import__(name)
    except ModuleNotFoundError:
        continue
    raise AssertionError(name + " can be imported")
print("pruned")
"""
HOOK = """
import importlib.abc, importlib.machinery, json, sys

class OnlyCore(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ALLOWED:
            return None
        found = importlib.machinery.PathFinder.find_spec(name, path)
        if found is not None and "site-packages" in (found.origin or str(found.submodule_search_locations)):
            raise ModuleNotFoundError("not of the core: " + name, name=name)
        return None

ALLOWED = set(json.loads(sys.argv[1]))
sys.meta_path.insert(0, OnlyCore())
"""


def closure() -> dict[str, metadata.Distribution]:
    """Installed distributions that the core needs, directly or not, by their names."""
    found, waiting = dict[str, metadata.Distribution](), [(each, "") for each in PROJECT["dependencies"]]
    known = set[tuple[str, str]]()
    while waiting:
        text, extra = waiting.pop()
        requirement = Requirement(text)
        if (text, extra) in known or (requirement.marker and not requirement.marker.evaluate({"extra": extra})):
            continue
        known.add((text, extra))
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        found[name] = metadata.distribution(name)
        assert requirement.specifier.contains(found[name].version, prereleases=True), requirement
        waiting += [(each, asked) for each in found[name].requires or [] for asked in ("", *requirement.extras)]
    return found


def places(distribution: metadata.Distribution) -> set[str]:
    """What a distribution has put into the folder of packages."""
    return {file.parts[0] for file in distribution.files or () if file.parts[0] not in ("..", "__pycache__")}


def test_the_core_needs_four_packages_and_what_they_need() -> None:
    assert [Requirement(each).name for each in PROJECT["dependencies"]] == ["numpy", "safetensors", "scipy", "torch"]
    assert closure().keys().isdisjoint({"snakemake", "torchvision", "pandas", "onnx", "typer"})


def test_a_network_is_pruned_saved_and_loaded_where_nothing_else_can_be_imported() -> None:
    allowed = sorted({place.partition(".")[0] for each in closure().values() for place in places(each)} | {"sacp"})
    command = [sys.executable, "-W", "ignore", "-c", HOOK + PROGRAM, json.dumps(allowed)]
    done = subprocess.run(command, cwd=ROOT / "scripts", capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "pruned\n"), done.stderr


def test_the_library_says_its_version_once() -> None:
    assert PROJECT["dynamic"] == ["version"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", sacp.__version__)
    assert (ROOT / "scripts/sacp/py.typed").is_file()


@pytest.mark.workflow
def test_the_core_is_installed_alone_and_prunes(tmp_path: Path) -> None:
    """A real installation; the packages of the core's closure are lent to it instead of being downloaded again."""

    def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*map(str, command)], cwd=tmp_path, capture_output=True, text=True)

    python, pip = tmp_path / "env/bin/python", (sys.executable, "-m", "pip")
    assert run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "env").returncode == 0
    if run(*pip, "download", "--no-deps", "--dest", tmp_path / "index", "setuptools>=77").returncode:
        pytest.skip("no package index can be reached")
    lent = tmp_path / "lent"
    lent.mkdir()
    for distribution in closure().values():
        for place in places(distribution):
            target = Path(str(distribution.locate_file(place)))
            if not (lent / place).is_symlink() and target.exists():
                (lent / place).symlink_to(target)
    [packages] = (tmp_path / "env/lib").glob("python*/site-packages")
    (packages / "lent.pth").write_text(f"{lent}\n")
    source = tmp_path / "source"
    shutil.copytree(ROOT / "scripts/sacp", source / "scripts/sacp", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    installed = run(*pip, "--python", python, "install", "--find-links", tmp_path / "index", source)
    assert installed.returncode == 0, installed.stderr
    assert f"Successfully installed sacp-{sacp.__version__}\n" in installed.stdout  # and nothing else
    assert (packages / "sacp/py.typed").is_file()
    done = run(python, "-I", "-W", "ignore", "-c", PROGRAM)
    assert (done.returncode, done.stdout) == (0, "pruned\n"), done.stderr
