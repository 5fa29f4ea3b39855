"""How Sphinx makes a site of these pages: `make site`."""

import json
import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from myst_parser.parsers.sphinx_ import MystParser
from sphinx import addnodes
from sphinx.application import Sphinx

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "scripts"))  # the functions' docstrings; importing sacp imports nothing else

project = html_title = "SACP"
copyright = "Apache License 2.0"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False

myst_heading_anchors = 4  # levels of headings that links can lead to
highlight_language = "text"  # of blocks that name none
default_role = "code"  # docstrings quote code as Markdown does
maximum_signature_line_length = 100
python_use_unqualified_type_names = True

# Files outside this folder that are pages: each page includes its file.
HELD = {"CONTRIBUTING.md": "contributing", "CHANGELOG.md": "changelog"}


def lead_outside(_: Sphinx, page: nodes.document) -> None:
    """Links to what is no page: to the page that holds the file, or the name alone of other files and of folders."""
    for link in list(page.findall(addnodes.pending_xref)):
        name = link["reftarget"]
        if link.get("reftype") != "myst" or link.get("refdomain"):
            continue
        if name in HELD:
            link["refdomain"], link["reftarget"], link["reftargetid"] = "doc", HELD[name], None
        elif (ROOT / name).is_file() or (ROOT / "docs" / name).is_dir():
            link.replace_self(nodes.literal(name, name))


class NotebookParser(MystParser):
    """A notebook as a page: its text, its code, and what the code has printed."""

    supported = ("ipynb",)

    def parse(self, inputstring: str, document: nodes.document) -> None:
        """See `sphinx.parsers.Parser`."""
        cells = json.loads(inputstring)["cells"]
        super().parse("\n\n".join(part for cell in cells for part in markdown_of(cell)), document)


def markdown_of(cell: dict[str, Any]) -> list[str]:
    """A cell of a notebook in Markdown."""
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        return [source]
    printed = ["".join(output["text"]) for output in cell["outputs"] if output["output_type"] == "stream"]
    return [
        f"```python\n{source}\n```",
        *(f"```{{code-block}} text\n:class: printed\n\n{text.rstrip()}\n```" for text in printed),
    ]


def setup(app: Sphinx) -> None:
    """What Sphinx calls."""
    app.connect("doctree-read", lead_outside)
    app.add_source_suffix(".ipynb", "ipynb")
    app.add_source_parser(NotebookParser)
