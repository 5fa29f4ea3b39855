"""The table of docs/reruns.md: a change to the finished demo reruns the rules that it names, and no others.

`RERUNS=run` carries the changes out (`make test-reruns`); otherwise they are planned.
"""

import os
import re
from dataclasses import dataclass

import pytest
import yaml
from conftest import PARTS, ROOT, Checkout, copy_checkout, shorten
from sacp import problem

pytestmark = pytest.mark.workflow
RUN = os.environ.get("RERUNS") == "run"
OF_ENCODERS = ("encoder_loss", "responses")  # figures that do not show what was chosen
CODE = "_edited = True\n"


@dataclass(frozen=True)
class Row:
    """A change and the rules that it reruns."""

    change: str
    how: tuple[str, ...]
    planned: frozenset[str]
    added: frozenset[str]
    possible: frozenset[str]  # added if other candidates are chosen

    @classmethod
    def parse(cls, line: str) -> "Row":
        """Read a line of the table; statements and rules stand between backticks."""
        change, how, planned, added = (cell.strip() for cell in line.strip().strip("|").split("|"))
        bracketed = " ".join(re.findall(r"\((.*?)\)", added))
        names = [_rules(text) for text in (planned, re.sub(r"\(.*?\)", "", added), bracketed)]
        return cls(change, tuple(re.findall(r"`(.*?)`", how)), *names)


def _rules(text: str) -> frozenset[str]:
    """Names between backticks; `figures` stands for all that show what was chosen."""
    names = set(re.findall(r"`(\w+)`", text))
    if "figures" in names:
        names = names - {"figures"} | {f"draw_{figure}" for figure in problem.FIGURES if figure not in OF_ENCODERS}
    return frozenset(names)


LINES = (ROOT / "docs/reruns.md").read_text().splitlines()
ROWS = [Row.parse(line) for line in LINES if re.match(r"\| (?!change|---)", line)]


def set_key(checkout: Checkout, key: str, value: str) -> None:
    """Set a key of the demo's config; methods start from the schema's default."""
    path = checkout.path / "config/demo.yaml"
    settings = yaml.safe_load(path.read_text())
    schema = yaml.safe_load((checkout.path / "config/schema.yaml").read_text())
    *parents, last = key.split(".")
    if parents[:2] == ["defaults", "methods"]:
        settings["defaults"].setdefault("methods", schema["$defs"]["experiment"]["properties"]["methods"]["default"])
    inner = settings
    for parent in parents:
        inner = inner.setdefault(parent, {})
    inner[last] = yaml.safe_load(value)
    path.write_text(yaml.safe_dump(settings, sort_keys=False))


def in_order(value: object, key: str = "") -> object:
    """The same value with its keys sorted, but for the methods: they stand in tables in the config's order."""
    if not isinstance(value, dict):
        return value
    names = list(value) if key == "methods" else sorted(value)
    return {name: in_order(value[name], name) for name in names}


def apply(checkout: Checkout, statement: str) -> Checkout:
    """Carry out one statement of the column `how`; return where the pipeline is run then."""
    verb, _, rest = statement.partition(" ")
    path = checkout.path / rest
    if verb == "set":
        set_key(checkout, *rest.split(" ", 1))
    elif verb == "sort":
        text = path.read_text()
        path.write_text(yaml.safe_dump(in_order(yaml.safe_load(text)), sort_keys=False))
        assert list(yaml.safe_load(path.read_text())) != list(yaml.safe_load(text))
    elif verb == "edit":
        text = path.read_text()
        path.write_text(text + CODE if path.suffix == ".py" else text.replace("93.", "92.", 1))
        assert path.read_text() != text
    elif verb == "comment":
        path.write_text(path.read_text() + "# A remark.\n")
    elif verb == "touch":
        assert path.is_file()
        path.touch()
    elif verb == "move":
        return Checkout(checkout.path.rename(checkout.path.with_name("moved")))
    else:
        assert verb == "clone"
        fresh = shorten(copy_checkout(checkout.path.with_name("fresh")))
        for part in PARTS:  # as a clone has it: all files are new
            for file in [fresh.path / part, *(fresh.path / part).rglob("*")]:
                file.touch()
        for part in ("results", ".snakemake"):
            (checkout.path / part).rename(fresh.path / part)
        return fresh
    return checkout


@pytest.mark.parametrize("row", ROWS, ids=[row.change for row in ROWS])
def test_a_change_reruns_exactly_the_rules_that_the_docs_name(demo_copy: Checkout, row: Row) -> None:
    copy = demo_copy
    for statement in row.how:
        copy = apply(copy, statement)
    run = copy.demo() if RUN else copy.demo("--dry-run")
    assert run.status == 0, run.output
    jobs = frozenset(run.jobs) - {"all"}
    if RUN:
        assert row.planned | row.added <= jobs <= row.planned | row.added | row.possible
        assert copy.demo("--dry-run").jobs == []
    else:
        assert jobs == row.planned


def test_the_table_has_a_row_for_every_kind_of_change() -> None:
    assert len(ROWS) >= 25
    assert len({row.how for row in ROWS}) == len(ROWS)
