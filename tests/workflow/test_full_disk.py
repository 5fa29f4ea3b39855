"""A disk that is full, whenever and for whatever stage: one line that names the file, and nothing half written.

Root is needed, for disks of a test's own. `DISKS=all`, which `make test-disks` sets, takes all sizes and all rules.
"""

import os
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import configs
import pytest
import rulebook
import yaml
from checkout import Checkout, Run
from disks import disk, files, fill
from sacp.artefacts import lookup

pytestmark = pytest.mark.workflow
ALL = os.environ.get("DISKS") == "all"
RESULTS = Path("results/demo")
SEED = f"{configs.DEMO}/seed0"
OURS = re.compile(r"^\d\d:\d\d:\d\d error: (\S+): (.*)$", re.MULTILINE)  # the last line of a job that ends badly
NOT_OURS = ("Traceback", "defect", "Logging error", "Exception ignored")


@dataclass(frozen=True)
class Case:
    """A disk on which a file of a run does not fit."""

    size: int
    target: str
    options: tuple[str, ...] = ()
    changes: dict[str, Any] = field(default_factory=dict)  # of the demo's experiment
    file: str = ""  # if it is another than the target


SPACE = {"training_size": 1000, "threshold": 0.4}
SIZES = {
    "64 KiB": Case(2**16, "data/digits.safetensors"),
    "1 MiB": Case(
        2**20, f"{SEED}/base.pt", ("--config", "save_seconds=0"), file=f"resume/train_base/{configs.DEMO}-seed0.pt"
    ),
    "16 MiB": Case(2**24, f"{SEED}/base.pt", changes={"network": {"name": "resnet14", "width": 5}}),
    "128 MiB": Case(2**27, f"{SEED}/configs.h5", changes={"space": SPACE | {"search_size": 10**8}}),
    "1 GiB": Case(2**30, f"{SEED}/configs.h5", changes={"space": SPACE | {"search_size": 4 * 10**8}}),
}


def written(results: Path) -> list[str]:
    """All that lies below the results but logs, which may be cut off."""
    return [path for path in files(results) if not path.startswith("logs/")]


def check(run: Run, file: str) -> None:
    """A run has ended in one line about a file of the results."""
    assert run.status != 0
    assert len(set(OURS.findall(run.output))) == 1, run.output
    [(named, reason), *_] = OURS.findall(run.output)  # again from the log, if it has room for it
    assert named == (RESULTS / file).as_posix()
    assert re.fullmatch(r"cannot be written: no room on the disk \(No space left on device; .* MiB free\); .*", reason)
    assert not [word for word in NOT_OURS if word in run.output], run.output


@pytest.mark.parametrize("name", SIZES if ALL else ["64 KiB", "1 MiB", "1 GiB"])
def test_a_run_on_a_small_disk_ends_in_one_line_about_what_does_not_fit(checkout: Checkout, name: str) -> None:
    case, config = SIZES[name], checkout.path / "config/demo.yaml"
    settings = yaml.safe_load(config.read_text())
    settings["experiments"][configs.DEMO] |= case.changes
    settings["defaults"]["base"]["epochs"] = 1
    config.write_text(yaml.safe_dump(settings))
    with disk(checkout.path / RESULTS, case.size) as results:
        check(checkout.demo(str(RESULTS / case.target), *case.options), case.file or case.target)
        made = written(results)
        assert {case.target, case.file}.isdisjoint(made)
        # Other jobs have ended well: what they made is whole, and a record names it.
        assert all(lookup.find(results / path) for path in made)


@pytest.fixture(scope="session")
def made_by(finished_demo: Checkout) -> dict[str, list[str]]:
    """For each rule that the demo runs, the files of one of its jobs, in the results; the record is the last."""
    results, found = finished_demo.path / RESULTS, {}
    for path in sorted(results.rglob(f"*{lookup.SUFFIX}")):
        record = lookup.load(path)
        outputs = [path.with_name(name) for name in record["outputs"]]
        found[record["rule"]] = [file.relative_to(results).as_posix() for file in [*outputs, path]]
    return found


@pytest.mark.parametrize("rule", sorted(rulebook.rules()) if ALL else ["draw_kept_channels", "select_winner"])
def test_a_stage_on_a_full_disk_ends_in_one_line_about_its_output(
    demo_copy: Checkout, made_by: dict[str, list[str]], rule: str
) -> None:
    if rule not in made_by:
        pytest.skip(f"the shortened demo has no job of {rule}")
    whole = demo_copy.path / RESULTS
    shutil.rmtree(whole / "logs")
    kept = whole.rename(whole.with_name("kept"))
    with disk(whole, 2**26) as results:
        shutil.copytree(kept, results, dirs_exist_ok=True)
        for name in made_by[rule]:
            (results / name).unlink()
        before = written(results)
        fill(results)
        # No state is saved before the job is done, however slow the machine is.
        run = demo_copy.demo(str(RESULTS / made_by[rule][0]), "--config", "save_seconds=86400")
        assert run.jobs == [rule]
        named = OURS.search(run.output)
        assert named, run.output
        file = Path(named[1]).relative_to(RESULTS).as_posix()
        assert file in made_by[rule]
        check(run, file)
        assert written(results) == before
