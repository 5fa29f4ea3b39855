"""What a user sees after a mistake: one line, status 1, nothing started, nothing written."""

import re

import pytest
from checkout import Checkout

pytestmark = pytest.mark.workflow

REFINE, BUDGET = "refine: {top_m", "search: {budget: {flops"
METHODS, FINDER = "  methods:", "\n  methods:\n    finder: {kind: search, search: local}"
MISTAKES = {
    "misspelt key": ("threshold: 0.4", "treshold: 0.4", "unknown key 'treshold' (did you mean 'threshold'?)"),
    "text for a number": ("lr: 0.1", "lr: fast", "found 'fast', expected a number"),
    "k above m": ("top_k: 3", "top_k: 30", "k = 30 exceeds m = 20"),
    "M above the space": ("20000, threshold: 0.4", "20000, threshold: 0.89", "M = 20000, but only"),
    "M beyond memory": ("search_size: 20000", "search_size: 900000000000", "found 900000000000, expected at most"),
    "threshold out of reach": ("threshold: 0.4", "threshold: 0.95", "no configuration reaches 0.95"),
    "a layer that is none": (
        "threshold: 0.4",
        "threshold: 0.4, ignore: [layer9]",
        "space.ignore: found 'layer9', which no convolution, no linear layer",
    ),
    "rounding beyond all widths": (
        "threshold: 0.4",
        "threshold: 0.4, round_to: 1000",
        "space.threshold: no configuration reaches 0.4; with 10 levels the largest pruning ratio is 0",
    ),
    "a part of a channel": ("threshold: 0.4", "threshold: 0.4, at_least: 2.5", "space.at_least: found 2.5, expected"),
    "unknown network": ("resnet14}", "resnet15}", "unknown network 'resnet15' (did you mean"),
    "results that are a file": ("results/demo}", "Snakefile/demo}", "'Snakefile' is a file; expected a folder"),
    "fewer ranks than m": (
        REFINE,
        f"search: {{keep: 4}}\n    {REFINE}",
        "search.keep: found 4, expected at least m",
    ),
    "fewer found than m": (
        METHODS,
        f"  search: {{found: 4}}{FINDER}",
        "search.found: found 4, expected at least m",
    ),
    "a distance of no network": (METHODS, f"  search: {{distance: 100}}{FINDER}", "found 100, but the network has"),
    "a distance of too few": (
        METHODS,
        f"  search: {{distance: 9}}{FINDER}",
        "no more than 10 configurations differ in",
    ),
    "results at the root": ("results/demo}", "''}", "found '', expected a folder for the results alone"),
    "results among the rules": (
        "results/demo}",
        "rules/demo}",
        "in the project's own folder 'rules'; expected a folder",
    ),
    "results with a wildcard": ("results/demo}", "'results/{date}'}", "expected a path without '{'"),
    "results with a line break": ("results/demo}", '"results\\n/demo"}', "which holds a line break"),
    "results of a long name": ("results/demo}", "N" * 256 + "}", "holds a name of 256 bytes; expected 255 at most"),
    "a long name": ("digits-resnet14:", "n" * 256 + ":", "n..., expected a length of at most 64"),
    "a name that is taken": ("digits-resnet14:", "tables:", "'tables' is a folder of the results already"),
    "a budget out of reach": (REFINE, f"{BUDGET}: 0.0001}}}}\n    {REFINE}", "the smallest reachable is"),
    "a band out of reach": (
        REFINE,
        f"{BUDGET}: [0.98, 0.99]}}}}\n    {REFINE}",
        "with the threshold 0.4 none takes",
    ),
    "a band of too few": (
        REFINE,
        f"{BUDGET}: [0.2, 0.20001]}}}}\n    {REFINE}",
        "of the M = 20000 candidates drawn",
    ),
    "N beyond memory": ("training_size: 1000", "training_size: 1.0e11", "found 100000000000, expected at most"),
    "padding beyond images": ("crop_padding: 1", "crop_padding: 100", "with which crops may miss images of 8 pixels"),
    "a share of all": ("validation: 0.15", "validation: 1.0", "found 1.0, neither a share nor a number of images"),
    "a key twice": ("seeds: [0]", "seeds: [0]\nseeds: [1]", "line 4: key 'seeds' stands in line 3 too"),
    "a number to base 8": ("seeds: [0]", "seeds: [010]", "line 3: YAML reads 010 as 8"),
    "missing data": ("{source: digits}", "{source: parquet, path: nowhere}", "nowhere/train.parquet: no such file"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_ends_in_one_line_before_any_job(checkout: Checkout, mistake: str) -> None:
    right, wrong, expected = MISTAKES[mistake]
    config = checkout.path / "config/demo.yaml"
    assert right in config.read_text()
    config.write_text(config.read_text().replace(right, wrong, 1))

    run = checkout.demo()

    errors = [line for line in run.output.splitlines() if line.startswith("error: ")]
    assert run.status == 1
    assert len(errors) == 1
    assert "config/demo.yaml" in errors[0]
    assert expected in errors[0]
    assert "Traceback" not in run.output
    assert run.jobs == []
    assert not (checkout.path / "results").exists()


def test_a_corrupt_artefact_ends_its_job_in_one_line_that_names_the_file(checkout: Checkout) -> None:
    config = checkout.path / "config/demo.yaml"
    config.write_text(config.read_text().replace("base: {epochs: 12", "base: {epochs: 0"))
    seed = "results/demo/digits-resnet14/seed0"
    assert checkout.demo(f"{seed}/configs.h5", f"{seed}/base.pt").status == 0
    configs = checkout.path / seed / "configs.h5"
    configs.write_bytes(configs.read_bytes()[:1000])

    run = checkout.demo(f"{seed}/sacp/encoder.pt")

    assert run.status == 1
    assert f"error: {seed}/configs.h5: damaged or changed since it was written (SHA-256 " in run.output
    assert not (checkout.path / seed / "sacp/encoder.pt").exists()


def test_a_file_that_is_no_yaml_is_refused_by_its_line_or_by_snakemake(checkout: Checkout) -> None:
    """What `--configfile` names Snakemake reads before anything of ours runs; it names no line, `make config` does."""
    for name in ("config", "demo"):
        with (checkout.path / f"config/{name}.yaml").open("a") as handle:
            handle.write("\nthreads: [1\n")
    ours, theirs = checkout.snakemake(), checkout.demo()
    assert re.findall("^error: .*", ours.output, re.MULTILINE)[0].startswith("error: config/config.yaml, line ")
    assert "not YAML: expected ',' or ']'" in ours.output
    assert "Config file is not valid JSON or YAML." in theirs.output
    for run in (ours, theirs):
        assert (run.status, run.jobs) == (1, [])
        assert "Traceback" not in run.output


def test_numbers_of_the_command_line_are_numbers(checkout: Checkout) -> None:
    given = "defaults={base: {lr: 1e-1, flip: false}, search: {keep: 1.0e3}}"
    run = checkout.demo("--dry-run", "--quiet", "--config", "seeds=[1]", given)
    assert run.status == 0, run.output
