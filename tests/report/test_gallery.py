"""docs/gallery.md shows every figure of the catalogue."""

import re

import numpy as np
import yaml
from checkout import ROOT
from PIL import Image
from sacp.catalogue.outputs import FIGURES

PAGE = (ROOT / "docs/gallery.md").read_text()
PICTURES = ROOT / "docs/images/gallery"


def test_every_figure_has_a_section_with_its_picture() -> None:
    sections = re.findall(r"^### `(\w+)`\n\n!\[[^]]+\]\(images/gallery/(\w+)\.png\)\n\n\w", PAGE, re.MULTILINE)
    assert sorted(sections) == sorted((name, name) for name in FIGURES)
    assert sorted(path.stem for path in PICTURES.iterdir()) == sorted(FIGURES)


def test_pictures_are_small_and_show_something() -> None:
    for path in PICTURES.iterdir():
        assert path.stat().st_size < 100_000, path.name
        assert np.asarray(Image.open(path).convert("L")).std() > 5, path.name


def test_the_run_adds_what_some_figures_need() -> None:
    added = yaml.safe_load((ROOT / "docs/gallery.yaml").read_text())
    (experiment,) = added["experiments"].values()
    assert experiment["latency"]["batches"]
    assert added["defaults"]["predictors"]["sample"] > 0
    assert list(added["experiments"]) == list(yaml.safe_load((ROOT / "config/demo.yaml").read_text())["experiments"])
