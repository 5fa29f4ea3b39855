"""The table of docs/reruns.md: a change to the finished demo reruns the rules that it names, and no others.

`RERUNS=run` carries the changes out (`make test-reruns`); otherwise they are planned.
"""

import ast
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from checkout import PARTS, ROOT, Checkout, copy_checkout, shorten
from sacp.catalogue.outputs import FIGURES

pytestmark = pytest.mark.workflow
METHODS = {
    "log-mass": {"kind": "search", "score": "log-mass", "search": "exact"},
    "thinet": {"kind": "uniform", "match": "sacp", "criterion": "thinet"},
    "fpgm": {"kind": "uniform", "match": "sacp", "criterion": "fpgm"},
}
FORECAST = "results/demo/forecast.csv"
RUN = os.environ.get("RERUNS") == "run"
OF_ENCODERS = ("encoder_loss", "responses")  # figures that do not show what was chosen
OF_WINNERS = frozenset({"draw_kept_channels", "draw_learning_curves"})  # dropped again where every winner stays
# Dropped again where tuned candidates and winners come out as they were.
# Neither latency is measured nor predictors are compared in this demo.
DRAWN = [name for name, figure in FIGURES.items() if not (figure.needs_latency or figure.needs_sample)]
OF_RESULTS = frozenset({"select_winner", "make_table3", "make_table4", *(f"draw_{figure}" for figure in DRAWN)})


@dataclass(frozen=True)
class Row:
    """A change and the rules that it reruns."""

    change: str
    how: tuple[str, ...]
    planned: frozenset[str]
    dropped: frozenset[str]  # of these: not run if the same channels are kept
    added: frozenset[str]
    possible: frozenset[str]  # added if other candidates are chosen

    @classmethod
    def parse(cls, line: str) -> "Row":
        """Read a line of the table; statements and rules stand between backticks."""
        change, how, planned, added = (cell.strip() for cell in line.strip().strip("|").split("|"))
        texts = (planned, _bracketed(planned), re.sub(r"\(.*?\)", "", added), _bracketed(added))
        return cls(change, tuple(re.findall(r"`(.*?)`", how)), *map(_rules, texts))


def _bracketed(text: str) -> str:
    return " ".join(re.findall(r"\((.*?)\)", text))


def _rules(text: str) -> frozenset[str]:
    """Names between backticks; `figures` stands for all that show what was chosen, `tables` for all measured ones."""
    groups = {
        "figures": {f"draw_{figure}" for figure in DRAWN if figure not in OF_ENCODERS},
        "tables": {"make_table3", "make_table4"},
    }
    names = set(re.findall(r"`(\w+)`", text))
    return frozenset(names - groups.keys()).union(*(rules for name, rules in groups.items() if name in names))


def rows_of(page: str) -> list[Row]:
    return [Row.parse(line) for line in page.splitlines() if re.match(r"\| (?!change|---)", line)]


ROWS, MORE = (rows_of(part) for part in (ROOT / "docs/reruns.md").read_text().split("## More methods"))
OWN = "def orders(network, graph, batches, seed):\n    return [range(group.channels) for group in graph.groups]\n"


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


def edit(path: Path, function: str) -> None:
    """Add a statement to a function."""
    text = path.read_text()
    node = next(node for node in ast.walk(ast.parse(text)) if getattr(node, "name", None) == function)
    first = node.body[1 if ast.get_docstring(node) else 0]
    lines = text.splitlines(keepends=True)
    lines.insert(first.lineno - 1, " " * first.col_offset + "_edited = True\n")
    path.write_text("".join(lines))


def add_criterion(checkout: Checkout, name: str) -> None:
    """Add a criterion to the library: its module, and its entry in the catalogue."""
    (checkout.path / f"scripts/sacp/baselines/{name}.py").write_text(OWN)
    catalogue = checkout.path / "scripts/sacp/catalogue/criteria.py"
    entry = f'    "{name}": Criterion("sacp.baselines.{name}:orders", 0, "", ""),\n'
    text = catalogue.read_text()
    catalogue.write_text(text.replace("CRITERIA = {\n", f"CRITERIA = {{\n{entry}"))
    assert catalogue.read_text() != text


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
    elif verb == "edit" and path.suffix == ".csv":
        path.write_text(path.read_text().replace("93.", "92.", 1))
    elif verb == "edit":
        name, _, function = rest.partition(" ")
        edit(checkout.path / name, function)
    elif verb == "add":
        path.write_text(path.read_text() + "\n\ndef newcomer(value: int) -> int:\n    return value + 1\n")
    elif verb == "criterion":
        add_criterion(checkout, rest)
    elif verb == "write":
        path.write_text(OWN)
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


def outcome(copy: Checkout) -> dict[str, bytes]:
    """What the tuning and the full training came to, by file."""
    seeds = copy.path / "results/demo/digits-resnet14"
    return {
        str(path.relative_to(seeds)): path.read_bytes()
        for pattern in ("seed*/*/topm.csv", "seed*/*/winner/metrics.json")
        for path in seeds.glob(pattern)
    }


def check(copy: Checkout, row: Row, *targets: str) -> None:
    """Make a row's change and look at what is planned, or run."""
    before = outcome(copy)
    for statement in row.how:
        copy = apply(copy, statement)
    run = copy.demo(*targets) if RUN else copy.demo(*targets, "--dry-run")
    assert run.status == 0, run.output
    jobs = frozenset(run.jobs) - {"all"}
    if RUN:
        same = outcome(copy) == before
        dropped = row.dropped | OF_WINNERS | (OF_RESULTS if same else frozenset())
        assert (row.planned - dropped) | row.added <= jobs <= row.planned | row.added | row.possible
        assert not (same and jobs & row.dropped)
        assert copy.demo(*targets, "--dry-run").jobs == []
    else:
        assert jobs == row.planned


@pytest.fixture(scope="session")
def finished_more(finished_demo: Checkout, tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """The finished demo with three methods more, and with its forecast."""
    copy = Checkout(tmp_path_factory.mktemp("more") / "checkout")
    shutil.copytree(finished_demo.path, copy.path, symlinks=True)
    for name, method in METHODS.items():
        set_key(copy, f"defaults.methods.{name}", yaml.safe_dump(method, default_flow_style=True))
    run = copy.demo("all", FORECAST)
    assert run.status == 0, run.output
    return copy


@pytest.mark.parametrize("row", ROWS, ids=[row.change for row in ROWS])
def test_a_change_reruns_exactly_the_rules_that_the_docs_name(demo_copy: Checkout, row: Row) -> None:
    check(demo_copy, row)


@pytest.mark.parametrize("row", MORE, ids=[row.change for row in MORE])
def test_a_change_of_one_method_reruns_exactly_the_rules_that_the_docs_name(
    finished_more: Checkout, tmp_path: Path, row: Row, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(finished_more.path, tmp_path / "checkout", symlinks=True)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "checkout"))
    check(Checkout(tmp_path / "checkout"), row, "all", FORECAST)


def test_the_table_has_a_row_for_every_kind_of_change() -> None:
    assert len(ROWS) >= 25
    assert len(MORE) >= 5
    assert len({row.how for row in ROWS + MORE}) == len(ROWS + MORE)
