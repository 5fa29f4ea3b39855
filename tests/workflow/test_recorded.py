"""What files were made with is known from their records, where Snakemake does not know it."""

import os
import shutil
from pathlib import Path

import pytest
import yaml
from checkout import Checkout
from sacp.artefacts.digests import sealed
from sacp.artefacts.files import read_json, write_json

pytestmark = pytest.mark.workflow
BASE = "digits-resnet14/seed0/base"


def planned(checkout: Checkout) -> set[str]:
    run = checkout.demo("--dry-run")
    assert run.status == 0, run.output
    return set(run.jobs)


def set_epochs(checkout: Checkout, epochs: int) -> None:
    path = checkout.path / "config/demo.yaml"
    config = yaml.safe_load(path.read_text())
    config["defaults"]["base"]["epochs"] = epochs
    path.write_text(yaml.safe_dump(config, sort_keys=False))


def test_results_without_what_snakemake_noted_of_them_are_made_anew_where_the_config_is_another(demo_copy):
    shutil.rmtree(demo_copy.path / ".snakemake")
    assert planned(demo_copy) == set()
    set_epochs(demo_copy, 11)
    jobs = planned(demo_copy)
    assert "train_base" in jobs
    assert {"prepare_data", "trace_network"}.isdisjoint(jobs)


@pytest.mark.parametrize("part", ["settings", "code"])
def test_a_file_that_another_run_has_made_in_its_place_is_made_anew(demo_copy, part):
    path = demo_copy.path / f"results/demo/{BASE}.provenance.json"
    was, record = path.stat(), read_json(path)
    name = next(iter(record[part]))
    write_json(path, sealed(record | {part: record[part] | {name: "another"}}))
    os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))
    assert "train_base" in planned(demo_copy)


def test_a_record_that_is_damaged_or_gone_is_no_reason_to_make_files_anew(demo_copy):
    path: Path = demo_copy.path / f"results/demo/{BASE}.provenance.json"
    was = path.stat()
    path.write_text(path.read_text()[:-20])
    os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))
    assert planned(demo_copy) == set()
    path.unlink()
    assert planned(demo_copy) == set()
