"""Artefacts of a run, damaged in eight ways, and what the stage that reads them says.

`DAMAGE=all` goes through all artefacts of a run of two networks, two seeds and all kinds of methods, and compares what
happens with the table of docs/damage.md, which `DAMAGE=write` makes anew (`make test-damage`); otherwise some artefacts
of a small run are damaged.
"""

import os
import pickle
import re
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from checkout import ROOT, Checkout, copy_checkout
from sacp.artefacts import lookup
from sacp.artefacts.digests import file_digest

pytestmark = pytest.mark.workflow
ALL = os.environ.get("DAMAGE") in ("all", "write")
WRITE = os.environ.get("DAMAGE") == "write"
PAGE = ROOT / "docs/damage.md"
RESULTS = Path("results/damage")
NETWORK, OTHER_NETWORK = "digits-resnet14", "digits-resnet8"
TUNE = {"epochs": 1, "lr": 0.02, "batch_size": 64}
CONFIG = {
    "pathvars": {"results": RESULTS.as_posix()},
    "seeds": [0, 1],
    "datasets": {"digits": {"source": "digits"}},
    "defaults": {
        "dataset": "digits",
        "validation": 0.15,
        "calibration": 100,
        **{part: TUNE for part in ("base", "tune", "full")},
        "methods": {"sacp": {"kind": "search", "encoder": {"epochs": 1}}, "l1": {"kind": "uniform", "match": "sacp"}},
    },
    "experiments": {
        name: {
            "network": {"name": name.partition("-")[2], "width": 0.5},
            "space": {"training_size": 40, "search_size": 2000, "threshold": 0.4},
            "refine": {"top_m": 2, "top_k": 1, "shard_size": 1},
        }
        for name in (NETWORK, OTHER_NETWORK)
    },
}
MORE = {  # of the first network
    "log-mass": {"kind": "search", "score": "log-mass", "search": "exact", "match": "sacp"},
    "sacp-1": {
        "kind": "search", "labels": 4, "match": "sacp", "encoder": {"objective": "regression", "epochs": 1},
    },
    "sacp-2": {"kind": "tuned", "match": "sacp"},
    "slimming": {"kind": "slimming", "match": "sacp"},
    "abcpruner": {"kind": "colony", "match": "sacp"},
}  # fmt: skip
SOME = (  # damaged in every run of the tests
    "data/digits.safetensors",
    f"{NETWORK}/seed0/base.pt",
    f"{NETWORK}/seed0/configs.h5",
    f"{NETWORK}/seed0/sacp/scores.parquet",
    f"{NETWORK}/seed0/sacp/topm/000-000.csv",
    f"{NETWORK}/seed0/sacp/topm.csv",
    f"{NETWORK}/seed0/sacp/winner/metrics.json",
    f"{NETWORK}/seed0/sacp/winner/provenance.json",
)


def config() -> dict:
    """What is run: less if not all artefacts are damaged."""
    if not ALL:
        return CONFIG | {"experiments": {NETWORK: CONFIG["experiments"][NETWORK]}}
    defaults = CONFIG["defaults"] | {"sparse": TUNE, "colony": {"food": 2, "cycles": 1}}
    experiments = dict(CONFIG["experiments"])
    whole = {"methods": defaults["methods"] | MORE, "predictors": {"sample": 4}, "sweep": {"m": [1]}}
    experiments[NETWORK] = experiments[NETWORK] | whole
    return CONFIG | {"defaults": defaults, "experiments": experiments}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A copy of the repository with the finished run; to be read alone."""
    checkout = copy_checkout(tmp_path_factory.mktemp("damage") / "checkout")
    (checkout.path / "damage.yaml").write_text(yaml.safe_dump(config(), sort_keys=False))
    run = checkout.snakemake("--configfile", "damage.yaml")
    assert run.status == 0, run.output
    return checkout


@dataclass(frozen=True)
class Artefact:
    """A file of a run, and a job that reads it."""

    name: str  # below the results
    reader: lookup.Record  # record of the job
    outputs: tuple[str, ...] = ()  # of a record: the files beside it that it names


def artefacts(finished: Checkout) -> dict[str, Artefact]:
    """The artefacts that some job reads: of those that a rule makes alike, the first."""
    records, found, kinds = records_of(finished), {}, set()
    for record in records:
        for path in [*record["outputs"], Path(record["place"]).name]:
            name = (Path(record["place"]).parent / path).as_posix()
            kind, artefact = (record["rule"], re.sub(r"\d+", "0", path)), artefact_of(name, records)
            if artefact and kind not in kinds:
                kinds.add(kind)
                found[name] = artefact
    return found


def records_of(finished: Checkout) -> list[lookup.Record]:
    """All records of a run; those of the first network come first, and of its methods those of `sacp`."""
    records = [lookup.load(path) for path in (finished.path / RESULTS).rglob("*provenance.json")]
    places = {record["place"]: record for record in records}
    return [
        places[each] for each in sorted(places, key=lambda each: (OTHER_NETWORK in each, "/sacp/" not in each, each))
    ]


def artefact_of(name: str, records: list[lookup.Record]) -> Artefact | None:
    """A file with the first job that reads it, if one does."""
    readers = [record for record in records if (RESULTS / name).as_posix() in record["inputs"]]
    outputs = [each for record in records if record["place"] == name for each in record["outputs"]]
    return Artefact(name, readers[0], tuple(outputs)) if readers else None


def halve(path: Path, _: Path) -> bool:
    os.truncate(path, path.stat().st_size // 2)
    return True


def empty(path: Path, _: Path) -> bool:
    os.truncate(path, 0)
    return True


def flip(path: Path, _: Path) -> bool:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    return True


class Bomb:
    """Runs a command when it is unpickled."""

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("touch exploded",)


def plant(path: Path, _: Path) -> bool:
    path.write_bytes(pickle.dumps(Bomb()))
    return True


def forbid(path: Path, _: Path) -> bool:
    path.chmod(0)
    return True


def foreign(here: str, there: str) -> Callable[[Path, Path], bool]:
    """Put in the file of another seed, method or network, with its record."""

    def replace(path: Path, results: Path) -> bool:
        source = results / path.relative_to(results).as_posix().replace(here, there)
        if source == path or not source.is_file():
            return False
        pairs = [(source, path)]
        if (holder := lookup.find(source)) and holder[0] != source:
            ours, _ = lookup.find(path)
            pairs.append((holder[0], ours))
        for one, other in pairs:
            shutil.copyfile(one, other)
        return True

    return replace


DAMAGES: dict[str, Callable[[Path, Path], bool]] = {
    "half": halve,
    "empty": empty,
    "one bit": flip,
    "foreign seed": foreign("seed0", "seed1"),
    "foreign method": foreign("/sacp/", "/l1/"),
    "foreign network": foreign(NETWORK, OTHER_NETWORK),
    "pickle": plant,
    "mode 000": forbid,
}


def outcome(finished: Checkout, folder: Path, artefact: Artefact, damage: str) -> str:
    """What a run does with a damaged artefact that Snakemake takes for unchanged."""
    shutil.copytree(finished.path, folder, symlinks=True)
    checkout, results = Checkout(folder), folder / RESULTS
    path = results / artefact.name
    before = {other: other.stat() for other in path.parent.iterdir()}
    made = results / Path(artefact.reader["place"]).parent
    target = made / next(iter(artefact.reader["outputs"]))
    made_before = _same_each_time(lookup.load(path)["outputs"]) if artefact.outputs else None
    if not DAMAGES[damage](path, results):
        return "-"
    for other, was in before.items():
        os.utime(other, ns=(was.st_atime_ns, was.st_mtime_ns))
    digest = file_digest(target)
    run = checkout.snakemake(
        target.relative_to(folder).as_posix(), "--forcerun", artefact.reader["rule"], "--configfile", "damage.yaml"
    )
    assert not (folder / "exploded").exists()
    if run.status == 0:
        if file_digest(target) == digest:
            return "same"
        # What the file belongs to was made again, to the same bytes; what holds times, as a summary, differs.
        made = _same_each_time(lookup.load(path)["outputs"])
        assert made == made_before, f"{damage} of {artefact.name} changes {target}\n{run.output}"
        return "anew"
    # Another record than that of a file beside it makes that file the one that is not as it was.
    names = [path, *(path.with_name(each) for each in artefact.outputs)]
    named = [f"error: {each.relative_to(folder)}: " for each in names]
    assert any(each in run.output for each in named), f"{damage} of {artefact.name}:\n{run.output}"
    assert "Traceback" not in run.output, run.output
    assert not target.exists() or file_digest(target) == digest
    return "refused"


def _same_each_time(outputs: dict[str, str]) -> dict[str, str]:
    """Digests of a record's outputs, less those of files that hold times."""
    return {name: digest for name, digest in outputs.items() if not name.endswith(("metrics.json", "history.csv"))}


Table = dict[tuple[str, str], dict[str, str]]  # what each damage does, by artefact and the rule that reads it


def page() -> tuple[str, Table, str]:
    """docs/damage.md: what stands before its table, the table, and what stands after it."""
    before, head, lines, after = re.split(r"(\| artefact .*\n\| ---.*\n)((?:\| .*\n)*)", PAGE.read_text(), maxsplit=1)
    _, _, *damages = _cells(head.splitlines()[0])
    rows = [_cells(line) for line in lines.splitlines()]
    return (
        before,
        {(name.strip("`"), rule): dict(zip(damages, cells, strict=True)) for name, rule, *cells in rows},
        after,
    )


def page_with(table: Table) -> str:
    """docs/damage.md with another table."""
    before, _, after = page()
    rows = [["artefact", "read by", *DAMAGES], ["---"] * (2 + len(DAMAGES))]
    rows += [[f"`{name}`", rule, *cells.values()] for (name, rule), cells in table.items()]
    return before + "".join(f"| {' | '.join(row)} |\n" for row in rows) + after


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.split("|")[1:-1]]


def test_the_page_has_all_damages():
    _, table, _ = page()
    assert all([*cells] == [*DAMAGES] for cells in table.values())
    assert {cell for cells in table.values() for cell in cells.values()} <= {"refused", "same", "anew", "-"}


@pytest.mark.skipif(ALL, reason="all artefacts are damaged")
@pytest.mark.parametrize(("name", "damage"), [*zip(SOME, ("one bit", "half", "empty", "pickle") * 2, strict=True)])
def test_a_damaged_artefact_is_refused_by_the_stage_that_reads_it(finished, tmp_path, name, damage):
    artefact = artefact_of(name, records_of(finished))
    assert outcome(finished, tmp_path / "checkout", artefact, damage) == "refused"
    assert page()[1].get((name, artefact.reader["rule"]), {}).get(damage, "refused") == "refused"


def reads_all(path: Path) -> bool:
    """Whether this process may read a file that nobody may read, as root may."""
    path.touch(mode=0, exist_ok=True)
    try:
        path.read_bytes()
    except PermissionError:
        return False
    return True


@pytest.mark.skipif(not ALL, reason="long; `make test-damage`")
def test_damages_of_all_artefacts_do_what_the_page_says(finished, tmp_path):
    before, table, faults = page()[1], Table(), list[str]()
    for artefact in artefacts(finished).values():
        row = artefact.name, artefact.reader["rule"]
        known = dict.fromkeys(DAMAGES, "?") | before.get(row, {})
        table[row] = (
            known if WRITE and "?" not in known.values() else known | tried(finished, tmp_path, artefact, faults)
        )
        if WRITE:
            PAGE.write_text(page_with(table))
    assert faults == []
    assert table
    assert table == page()[1]
    assert all("refused" in cells.values() for cells in table.values())


def tried(finished: Checkout, folder: Path, artefact: Artefact, faults: list[str]) -> dict[str, str]:
    """What each damage of an artefact does, some at a time; what should not be is added to `faults`."""
    damages = [each for each in DAMAGES if each != "mode 000" or not reads_all(folder / "forbidden")]

    def one(damage: str) -> str:
        place = folder / damage.replace(" ", "-")
        try:
            return outcome(finished, place, artefact, damage)
        except AssertionError as fault:
            faults.append(str(fault))
            return "wrong"
        finally:
            shutil.rmtree(place)

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        return dict(zip(damages, pool.map(one, damages), strict=True))
