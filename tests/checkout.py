"""A checkout to break: workflow tests run Snakemake in a copy of the repository, never in the repository itself."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PARTS = ("Snakefile", "rules", "scripts", "config", "envs", "profiles", "slurm")


@dataclass(frozen=True)
class Run:
    """What a call of Snakemake did."""

    status: int
    output: str

    @property
    def jobs(self) -> list[str]:
        """Rules that were run, one entry per job, sorted."""
        return sorted(re.findall(r"^(?:local)?(?:rule|checkpoint) (\w+):$", self.output, re.MULTILINE))


@dataclass(frozen=True)
class Checkout:
    """A copy of the repository."""

    path: Path

    def snakemake(self, *arguments: str) -> Run:
        """Call Snakemake with the profile for one machine and two cores."""
        command = [sys.executable, "-m", "snakemake", "--profile", "profiles/local", "--cores", "2", *arguments]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            command, cwd=self.path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        return Run(done.returncode, done.stdout)

    def demo(self, *arguments: str) -> Run:
        """Call Snakemake with the demo's config."""
        # Targets first: --configfile takes every word that follows it.
        return self.snakemake(*arguments, "--configfile", "config/demo.yaml")


def copy_checkout(target: Path, logger: bool = False) -> Checkout:
    """Copy the repository, with Snakemake's default output in place of the profiles' `logger`, unless it is wanted."""
    target.mkdir(parents=True, exist_ok=True)
    for part in PARTS:
        source = ROOT / part
        if source.is_symlink():
            (target / part).symlink_to(source.readlink())
        elif source.is_dir():
            shutil.copytree(source, target / part, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target / part)
    for profile in () if logger else (target / "profiles").glob("*/config.yaml"):
        profile.write_text(re.sub(r"^logger: .*\n", "", profile.read_text(), flags=re.MULTILINE))
    return Checkout(target)


def shorten(checkout: Checkout) -> Checkout:
    """Leave the demo three methods and no comparison of predictors: a third of its time."""
    path = checkout.path / "config/demo.yaml"
    before, methods, after = re.split(r"(?<=  methods:\n)((?:    .*\n)+)", path.read_text(), maxsplit=1)
    entries = re.findall(r"^    (\S+):.*\n(?:      .*\n)*", methods, re.MULTILINE)
    assert {"sacp", "l1", "random"} < set(entries)
    kept = re.findall(r"^    (?:sacp|l1|random):.*\n", methods, re.MULTILINE)
    path.write_text(before + "".join(kept) + re.sub(r"^ +(predictors|sweep):.*\n", "", after, flags=re.MULTILINE))
    return checkout
