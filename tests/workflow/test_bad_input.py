"""What a user sees after a mistake: one line, status 1, nothing started, nothing written."""

import pytest
from checkout import Checkout

pytestmark = pytest.mark.workflow

MISTAKES = {
    "misspelt key": ("threshold: 0.4", "treshold: 0.4", "unknown key 'treshold' (did you mean 'threshold'?)"),
    "text for a number": ("lr: 0.1", "lr: 1e-1", "found '1e-1', a str, expected type number"),
    "k above m": ("top_k: 3", "top_k: 30", "k = 30 exceeds m = 20"),
    "M above the space": ("search_size: 20000", "search_size: 900000000000", "M = 900000000000, but only"),
    "threshold out of reach": ("threshold: 0.4", "threshold: 0.95", "no configuration reaches 0.95"),
    "unknown network": ("resnet14}", "resnet15}", "unknown network 'resnet15' (did you mean"),
    "results that are a file": ("results/demo}", "Snakefile/demo}", "'Snakefile' is a file; expected a folder"),
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
