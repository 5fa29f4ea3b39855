"""The notebook from torchvision to ONNX: it is that of its script, and the script does what it says."""

import runpy
from pathlib import Path

import nbformat
import pytest
import sacp
from checkout import ROOT

FOLDER = ROOT / "docs/notebooks"
SCRIPT = (FOLDER / "torchvision_to_onnx.py").read_text()
MAKER = runpy.run_path(str(FOLDER / "make_notebook.py"))
# Fewer images and steps, of the same code.
SHORTER = (
    ("TRAINING_IMAGES, TEST_IMAGES = 1400, 397", "TRAINING_IMAGES, TEST_IMAGES = 100, 30"),
    ("epochs=20, lr=0.05, batch_size=64", "epochs=1, lr=0.05, batch_size=32"),
    ("epochs=8, lr=0.01, batch_size=64", "epochs=1, lr=0.01, batch_size=32"),
    ("data.batches(500)", "data.batches(50)"),
    ("threads=1):", "threads=1, seconds=0.01):"),
)


def test_the_notebook_has_the_cells_of_the_script_and_what_they_print() -> None:
    notebook = nbformat.read(FOLDER / "torchvision_to_onnx.ipynb", as_version=4)
    cells = MAKER["cells_of"](SCRIPT)
    kinds = [(cell.cell_type, cell.source) for cell in cells]
    assert [(cell.cell_type, cell.source) for cell in notebook.cells] == kinds, "run `make notebook`"
    assert {kind for kind, _ in kinds} == {"markdown", "code"}
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    for cell in code:
        assert bool(cell.outputs) == any(word in cell.source for word in ("print(", "=print"))


def test_the_script_prunes_to_half_and_ends_in_an_onnx_file_that_agrees(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    script = SCRIPT
    for written, here in SHORTER:
        assert script.count(written) == 1
        script = script.replace(written, here)
    cells = MAKER["cells_of"](script)
    MAKER["run"](cells)
    printed = "".join(output.text for cell in cells for output in cell.get("outputs", ()))
    assert "10 classes, images of the shape (1, 3, 32, 32)" in printed
    assert "whole network" in printed
    assert "the same logits: True" in printed
    assert printed.count("times as fast") == 2
    assert float(printed.rpartition("largest difference: ")[2]) < 1e-4
    folder = tmp_path / "results/torchvision_to_onnx"
    assert (folder / "exported/network.onnx").is_file()
    widths = [
        layer.weight.shape[0]
        for name, layer in sacp.load(folder / "smaller").named_modules()
        if name == "layer4.1.conv1"
    ]
    assert widths[0] < 512
