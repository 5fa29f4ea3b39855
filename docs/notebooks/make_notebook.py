"""A notebook from a script in the percent format, with what its code prints: `make notebook`."""

import contextlib
import io
import re
import sys
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode, v4

MARK = re.compile(r"^# %%( \[markdown\])?\n", re.MULTILINE)


def cells_of(script: str) -> list[NotebookNode]:
    """The cells of a script, without outputs."""
    _, *parts = MARK.split(script)
    return [_cell(number, *pair) for number, pair in enumerate(zip(parts[::2], parts[1::2], strict=True))]


def _cell(number: int, markdown: str | None, text: str) -> NotebookNode:
    if markdown:
        text = re.sub(r"^# ?", "", text, flags=re.MULTILINE)
    new = v4.new_markdown_cell if markdown else v4.new_code_cell
    return new(text.strip(), id=f"cell-{number}")


def run(cells: list[NotebookNode]) -> None:
    """Run the code of all cells in one namespace, and keep in each what it prints."""
    names: dict[str, Any] = {}
    for number, cell in enumerate(each for each in cells if each.cell_type == "code"):
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(cell.source, names)
        cell.execution_count = number + 1
        cell.outputs = [v4.new_output("stream", name="stdout", text=printed.getvalue())] if printed.getvalue() else []


def main(script: Path) -> None:
    """Write the notebook beside its script."""
    cells = cells_of(script.read_text())
    run(cells)
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = v4.new_notebook(cells=cells, metadata={"kernelspec": kernel, "language_info": {"name": "python"}})
    nbformat.validate(notebook)
    nbformat.write(notebook, script.with_suffix(".ipynb"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
