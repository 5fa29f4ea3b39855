"""A plan in which a checkpoint's result stays as it was, in the shape of a search, its winner and what matches it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from checkout import ROOT

pytestmark = pytest.mark.workflow

# settings -> choose (checkpoint) -> match (checkpoint) -> train -> rank (checkpoint) -> report, which looks rank up
SNAKEFILE = """
import sys

if config["replanning"]:
    sys.path.insert(0, {scripts!r})
    from sacp.plan import replanning

    replanning.install()


def ranked(wildcards):
    rank = checkpoints.rank.get().output[0]
    return [f"best{{number}}" for number in open(rank).read().split()]


rule all:
    input: "report", "drawing", "copy"

checkpoint choose:
    output: "chosen"
    params: config["settings"]
    shell: "echo {{params}} | cut -c1 > {{output}}"

checkpoint match:
    input: "chosen"
    output: "matched"
    shell: "cp {{input}} {{output}}"

rule train:
    input: "matched"
    output: "trained"
    shell: "cp {{input}} {{output}}; date +%N >> {{output}}"

checkpoint rank:
    input: "trained"
    output: "ranked"
    shell: "head -n1 {{input}} > {{output}}"

rule best:
    output: "best{{number}}"
    shell: "echo {{wildcards.number}} > {{output}}"

rule report:
    input: "chosen", ranked
    output: "report"
    params: config["settings"]
    shell: "cat {{input}} > {{output}}"

rule draw:
    input: "trained"
    output: "drawing"
    shell: "cp {{input}} {{output}}"

rule constant:
    output: "constant"
    params: config["settings"]
    priority: 1
    shell: "echo constant > {{output}}"

rule copy:
    input: "constant"
    output: "copy"
    priority: -1
    shell: "cp {{input}} {{output}}"
"""


SIDE = ("constant", "copy")


class Workflow:
    """A folder with that Snakefile."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "Snakefile").write_text(SNAKEFILE.format(scripts=str(ROOT / "scripts")))

    def run(self, settings: str, *arguments: str, replanning: bool = True, beside: tuple[str, ...] = SIDE) -> list[str]:
        """Jobs that ran, without those `beside`; `settings` decide by their first letter what is chosen."""
        done = self.done(settings, *arguments, replanning=replanning)
        assert done.returncode == 0, done.stderr
        jobs = re.findall(r"^(?:local)?(?:rule|checkpoint) (\w+):$", done.stdout + done.stderr, re.MULTILINE)
        return sorted(job for job in jobs if job not in ("all", *beside))

    def done(self, settings: str, *arguments: str, replanning: bool = True, before: tuple[str, ...] = ()):
        """A finished run of Snakemake, behind another command if one is given."""
        values = (f"settings={settings}", f"replanning={'1' if replanning else ''}")
        command = [*before, sys.executable, "-m", "snakemake", "--cores", "1", *arguments, "--config", *values]
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True)


@pytest.fixture
def workflow(tmp_path: Path) -> Workflow:
    workflow = Workflow(tmp_path)
    assert workflow.run("1st") == ["best", "choose", "draw", "match", "rank", "report", "train"]
    return workflow


def test_what_was_planned_behind_a_dropped_job_is_dropped_and_what_waits_for_its_rank_is_planned(workflow: Workflow):
    trained = (workflow.folder / "trained").read_text()
    assert workflow.run("1nd") == ["choose", "report"]
    assert (workflow.folder / "trained").read_text() == trained
    assert (workflow.folder / "report").read_text() == "1\n1\n"
    assert workflow.run("1nd") == []


def test_another_choice_runs_what_depends_on_it(workflow: Workflow):
    assert workflow.run("2nd") == ["best", "choose", "draw", "match", "rank", "report", "train"]
    assert (workflow.folder / "report").read_text() == "2\n2\n"
    assert workflow.run("2nd") == []


def test_what_a_job_that_ran_has_made_is_used_though_its_checkpoint_was_dropped(workflow: Workflow):
    (workflow.folder / "drawing").unlink()
    assert workflow.run("1nd") == ["choose", "draw", "report"]


def test_a_file_that_is_lost_is_made_for_what_needs_it_alone(workflow: Workflow):
    (workflow.folder / "trained").unlink()
    assert workflow.run("1nd", "--forcerun", "draw") == ["choose", "draw", "rank", "report", "train"]


def test_a_dry_run_plans_all_that_may_run(workflow: Workflow):
    planned = ["choose", "draw", "match", "rank", "report", "train"]
    assert workflow.run("1nd", "--dry-run") == planned


def test_a_job_behind_one_that_ran_runs_whatever_checkpoint_ends_between(workflow: Workflow):
    jobs = workflow.run("1nd", beside=())  # in this order: constant, choose, copy
    assert jobs == ["choose", "constant", "copy", "report"]


def test_snakemake_alone_still_runs_what_need_not(workflow: Workflow):
    assert "train" in workflow.run("1nd", replanning=False)


REFUSING = """
import sys

sys.path.insert(0, {scripts!r})
from sacp.errors import InputError
from sacp.plan import replanning

replanning.install()


def chosen(wildcards):
    if config["after"]:
        checkpoints.choose.get()
    raise {error}


checkpoint choose:
    output: "chosen"
    shell: "touch {{output}}"

rule train:
    input: chosen
    output: "trained"
    shell: "touch {{output}}"
"""


@pytest.mark.parametrize("after", ["", "1"], ids=["before all jobs", "after a checkpoint"])
@pytest.mark.parametrize(
    ("error", "is_mistake"), [("InputError('topm.csv: damaged; delete it')", True), ("KeyError('ours')", False)]
)
def test_a_mistake_is_worded_as_everywhere_and_a_defect_with_its_place(
    tmp_path: Path, after: str, error: str, is_mistake: bool
):
    (tmp_path / "Snakefile").write_text(REFUSING.format(scripts=str(ROOT / "scripts"), error=error))
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "trained", "--config", f"after={after}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    lines = done.stderr.splitlines()
    assert done.returncode == 1
    assert ("error: topm.csv: damaged; delete it" in lines) == is_mistake
    assert ("Traceback:" in lines) != is_mistake
    assert "RefusedError:" not in lines
    assert (tmp_path / "chosen").exists() == bool(after)


def test_outputs_that_may_not_be_overwritten_are_told_in_one_line(workflow: Workflow):
    for name in ("chosen", "constant"):
        (workflow.folder / name).chmod(0o444)
    powers = "-dac_override,-dac_read_search"  # with which root may write all files
    as_others = ("setpriv", "--bounding-set", powers, "--inh-caps", powers) if os.geteuid() == 0 else ()
    done = workflow.done("2nd", before=as_others)
    assert done.returncode != 0
    (line,) = [line for line in done.stderr.splitlines() if "may not be overwritten" in line]
    assert re.fullmatch(
        r"error: (chosen|constant): has to be made again and may not be overwritten \(mode 444\), and 1 more; "
        "make it writable, or delete it",
        line,
    )
    assert "Traceback" not in done.stderr
