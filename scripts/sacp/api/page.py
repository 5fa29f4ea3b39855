"""The page docs/command.md, what `sacp --help` says, made from the command itself: `make docs`."""

import contextlib
import io
import os
import sys
from pathlib import Path

import typer

from sacp.api.command import app, run

COLUMNS = "80"  # of the help
TITLE = """# The command `sacp`

<!-- made from the command's own help by `make docs` -->

`sacp` does from the shell what [the functions](api.md) do in Python. A mistake ends in one line that begins with
`error:`. The exit status is 0 if all went well, 1 after a mistake in what was given, 2 after one in the arguments, and
130 if it was stopped.
"""


def page() -> str:
    """Markdown: the help of the command, and of each of its commands."""
    sections = [f"## sacp {name}\n\n{_help(name)}" for name in typer.main.get_group(app).commands]
    return "\n".join([TITLE, _help(), *sections])


def _help(*arguments: str) -> str:
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        run([*arguments, "--help"])
    return f"```text\n{text.getvalue().strip()}\n```\n"


if __name__ == "__main__":
    os.environ["COLUMNS"] = COLUMNS
    Path(sys.argv[1]).write_text(page())
