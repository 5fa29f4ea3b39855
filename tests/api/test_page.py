"""docs/command.md is what the command says of itself."""

import pytest
from checkout import ROOT
from sacp.api.page import COLUMNS, page


def test_the_page_is_the_help_of_all_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", COLUMNS)
    text = page()
    assert (ROOT / "docs/command.md").read_text() == text, "run `make docs`"
    for command in ("prune", "export", "latency", "explain"):
        assert f"## sacp {command}\n" in text
        assert f"Usage: sacp {command} " in text
    assert "--flops" in text
