"""Configs that users get wrong, beside those of `test_config`: one line of our own words for each."""

import math
from pathlib import Path
from typing import Any

import pytest
from checkout import ROOT
from configs import MINIMAL, resolved, with_value
from sacp.errors import InputError
from sacp.plan import preflight, reading
from words import check_words

NET, METHODS, RESULTS, BASE = "experiments/net", "experiments/net/methods", "pathvars/results", "experiments/net/base"
SEARCH, LETTERS = {"kind": "search"}, "expected a name of lower-case letters, digits"
WHOLE = MINIMAL["experiments"]["net"]
MISTAKES: list[tuple[str, Any, str]] = [
    # seeds
    ("seeds", [True], "seeds.0: found true, expected an integer"),
    ("seeds", [0, 0], "seeds: 0 stands twice; expected each value once"),
    ("seeds", [], "seeds: found [], expected a length of at least 1"),
    ("seeds", [-1], "seeds.0: found -1, expected at least 0"),
    ("seeds", [0.5], "seeds.0: found 0.5, expected an integer"),
    ("seeds", "0", "seeds: found '0', expected a list in [ ]"),
    ("seeds", 0, "seeds: found 0, expected a list in [ ]"),
    ("seeds", "[0, x", "seeds: found '[0, x', expected a list in [ ]"),
    ("seeds", [[0]], "seeds.0: found [0], expected an integer"),
    ("seeds", None, "seeds: found null, expected a list in [ ]"),
    ("seeds", {"a": 1}, "seeds: found {'a': 1}, expected a list in [ ]"),
    ("seeds", [*range(500), "x"], "seeds.500: found 'x', expected an integer"),
    # the results
    (RESULTS, "~/x", "pathvars.results: found '~/x', in which '~' is not expanded; write the whole path"),
    (RESULTS, "results/", "pathvars.results: found 'results/'; write it as 'results'"),
    (RESULTS, None, "pathvars.results: found null, expected a text"),
    (RESULTS, ["a"], "pathvars.results: found ['a'], expected a text"),
    (RESULTS, "file", "pathvars.results: 'file' is a file; expected a folder"),
    (RESULTS, "file/below", "pathvars.results: 'file' is a file; expected a folder"),
    (RESULTS, "dangling", "pathvars.results: 'dangling' is a link to 'nowhere', which is not there"),
    (RESULTS, "dangling/below", "pathvars.results: 'dangling' is a link to 'nowhere', which is not there"),
    ("pathvars", None, "pathvars: found null, expected keys with values"),
    ("pathvars", "results", "pathvars: found 'results', expected keys with values"),
    # numbers
    (f"{BASE}/epochs", "5 epochs", "experiments.net.base.epochs: found '5 epochs', expected an integer"),
    (f"{BASE}/epochs", -5, "base.epochs: found -5, expected at least 0"),
    (f"{BASE}/epochs", math.inf, "base.epochs: found inf, expected an integer"),
    (f"{BASE}/epochs", math.nan, "base.epochs: found nan, expected an integer"),
    (f"{BASE}/epochs", ".nan", "base.epochs: found '.nan', expected an integer"),
    (f"{BASE}/epochs", None, "base.epochs: found null, expected an integer"),
    (f"{BASE}/epochs", [5], "base.epochs: found [5], expected an integer"),
    (f"{BASE}/epochs", {"a": 1}, "base.epochs: found {'a': 1}, expected an integer"),
    (f"{BASE}/epochs", True, "base.epochs: found true, expected an integer"),
    (f"{BASE}/epochs", 1e300, "base.epochs: found 1000000000"),
    (f"{BASE}/epochs", "1e300", "expected at most 1000000"),
    (f"{BASE}/lr", "10%", "base.lr: found '10%', expected a number"),
    (f"{BASE}/lr", "0,1", "base.lr: found '0,1', expected a number"),
    (f"{BASE}/lr", "x" * 5000, "xxx..., expected a number"),
    (f"{BASE}/lr", "a\nb\x1b[1m", "base.lr: found 'a\\nb\\x1b[1m', expected a number"),
    (f"{BASE}/lr", {str(key): key for key in range(200)}, "..., expected a number"),
    (f"{NET}/space/threshold", "0.4%", "space.threshold: found '0.4%', expected a number"),
    (f"{NET}/validation", "a fifth", "validation: found 'a fifth', expected a number or null"),
    (f"{NET}/validation", 1e9, "holds out 1000000000 of"),
    ("threads", 10**9, "threads: found 1000000000, expected at most 1024"),
    ("processes", "two", "processes: found 'two', expected an integer"),
    ("export", "yes", "export: found 'yes', expected true or false"),
    ("export", 1, "export: found 1, expected true or false"),
    ("device", None, "device: found null; expected one of auto, cpu, cuda"),
    (f"{NET}/search/budget", 0.5, "search.budget: found 0.5, expected keys with values"),
    (f"{NET}/search/budget", {"flops": "50%"}, "budget.flops: found '50%', expected a number or a list in [ ]"),
    (f"{NET}/search/budget", {"flops": True}, "budget.flops: found true, expected a number or a list in [ ]"),
    (f"{NET}/search/budget", {"flops": [0.9, 0.1]}, "budget.flops: found [0.9, 0.1], expected [at least, at most]"),
    # names
    *(
        (f"experiments/{name}", WHOLE, f"experiments: found '{name}', {LETTERS}, - and _")
        for name in ("Net", "my net", "a.b", "..", "", "n\u00e9")
    ),
    *((f"{METHODS}/{name}", SEARCH, f"methods: found '{name}', {LETTERS} and -") for name in ("SACP", "my_m", "a b")),
    ("datasets/My Data", {"source": "digits"}, f"datasets: found 'My Data', {LETTERS}"),
    *((f"experiments/{name}", WHOLE, f"'{name}' is a folder of the results") for name in ("logs", "data", "resume")),
    (f"{NET}/dataset", 3, "experiments.net.dataset: found 3, expected a text"),
    (f"{METHODS}/x", "search", "methods.x: found 'search', expected keys with values"),
    (METHODS, ["sacp"], "methods: found ['sacp'], expected keys with values"),
    # matches
    (METHODS, {"a": SEARCH | {"match": "b"}, "b": SEARCH | {"match": "a"}}, "a.match: found 'b', expected another"),
    (METHODS, {"a": SEARCH, "b": {"kind": "uniform", "match": "b"}}, "b.match: found 'b', expected a search method: a"),
    (METHODS, {"sacp": SEARCH, "b": {"kind": "uniform", "match": "sap"}}, "found 'sap' (did you mean 'sacp'?), expec"),
    (METHODS, {"a": SEARCH, "b": {"kind": "uniform"}}, "methods.b.match: missing; expected a search method: a"),
    # unknown keys
    (f"{METHODS}/s", SEARCH | {"encoder": {"hiden": 8}}, "s.encoder: unknown key 'hiden' (did you mean 'hidden'?)"),
    (f"{NET}/search/budget/flop", 0.5, "search.budget: unknown key 'flop' (did you mean 'flops'?)"),
    (f"{NET}/refine/topm", 8, "refine: unknown key 'topm' (did you mean 'top_m'?)"),
    (f"{NET}/full/epoch", 8, "full: unknown key 'epoch' (did you mean 'epochs'?)"),
    (f"{NET}/network/widht", 8, "network: unknown key 'widht' (did you mean 'width'?)"),
    (f"{NET}/predictors/sampel", 3, "net.predictors: unknown key 'sampel' (did you mean 'sample'?)"),
    ("predictors/band", 3, "predictors: unknown key 'band' (did you mean 'bands'?)"),
    ("datasets/digits/training_image", 8, "unknown key 'training_image' (did you mean 'training_images'?)"),
    ("defaults/methds", {}, "defaults: unknown key 'methds' (did you mean 'methods'?)"),
    (f"{BASE}/{'k' * 600}", 1, "kkk...; known: epochs, lr"),
    (f"{BASE}/a\nb", 1, "unknown key 'a\\nb'; known: epochs, lr"),
    # networks and weights
    (f"{NET}/network/weights", ".", "network.weights: .: is a folder; expected a state dict in a file"),
    (f"{NET}/network/name", 18, "network.name: found 18, expected a text"),
    (f"{NET}/network/name", "a:b:c", "'a:b:c' is no import path; expected 'module:function'"),
    (f"{NET}/network/name", "torchvision.models:resnet18", "to have 3 channels, but got 1 channels instead"),
]


@pytest.fixture(autouse=True)
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "dangling").symlink_to("nowhere")
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(("key", "value", "expected"), MISTAKES)
def test_a_mistake_is_told_in_one_line_of_our_own_words_with_its_key(key: str, value: Any, expected: str) -> None:
    with pytest.raises(InputError) as caught:
        preflight.check(resolved(with_value(key, value)), "my.yaml", ROOT / "config/reported/table3.csv")
    check_words(str(caught.value), "my.yaml: ", expected)


def test_a_whole_number_with_a_point_is_one() -> None:
    assert resolved(with_value("seeds", [1.0]))["seeds"] == [1]


@pytest.mark.parametrize("text", ["seeds: [0]\r\nthreads: 1\r\n", "\ufeffseeds: [0]\n"])
def test_line_ends_and_marks_of_other_editors_are_taken(tmp_path: Path, text: str) -> None:
    (tmp_path / "my.yaml").write_bytes(text.encode())
    reading.check_file(tmp_path / "my.yaml")
