"""Configs and what is refused before any job starts; the messages are what a user sees."""

import copy
import errno
import os
import subprocess
import sys
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from checkout import ROOT
from configs import MINIMAL, REMOVED, SCHEMA, resolved, shipped, with_value
from sacp.catalogue import scores
from sacp.errors import InputError
from sacp.plan import preflight
from sacp.plan.experiments import network_settings
from sacp.training.recipe import Recipe
from words import check_words

REPORTED = ROOT / "config/reported/table3.csv"
SHIPPED = ("config", "demo", "demo_all", "cifar10_cpu", "imagenet")
PARQUET = {"source": "parquet", "path": "truncated"}

EXACT = ", ".join(name for name, score in scores.SCORES.items() if score.additive and score.exact)


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_configs_resolve_and_resolving_again_changes_nothing(name):
    complete = shipped(name)
    assert resolved(complete) == complete
    for experiment in complete["experiments"].values():
        assert experiment["base"]["momentum"] == 0.9
        assert experiment["methods"]["sacp"]["encoder"]["batch_size"] == 32


def test_config_has_the_budgets_of_the_paper():
    found = {}
    for name, experiment in shipped("config")["experiments"].items():
        space, refine = experiment["space"], experiment["refine"]
        sizes = (space["training_size"], space["search_size"], space["threshold"])
        found[name] = (*sizes, refine["top_m"], refine["top_k"])
    assert found == {
        "vgg16": (10_000, 1_000_000, 0.6, 150, 10),
        "resnet18": (10_000, 1_000_000, 0.7, 150, 10),
        "resnet56": (50_000, 5_000_000, 0.3, 300, 10),
    }


def test_config_has_the_recipe_of_the_paper():
    for experiment in shipped("config")["experiments"].values():
        recipe = {"lr": 0.01, "batch_size": 128, "momentum": 0.9, "weight_decay": 0.0005, "nesterov": False}
        assert experiment["full"] == experiment["base"]
        augmentation = {"crop_padding": 4, "flip": True}
        given = recipe | augmentation
        assert Recipe(**experiment["full"]) == Recipe(epochs=200, validate_every=10, **given)
        assert Recipe(**experiment["tune"]) == Recipe(epochs=2, **given)


def test_a_recipes_defaults_are_those_of_the_library():
    keys = yaml.safe_load(SCHEMA.read_text())["$defs"]["recipe"]["properties"]
    found = {field.name: keys[field.name].get("default", MISSING) for field in fields(Recipe)}
    assert found.keys() == keys.keys()
    own = {field.name: field.default for field in fields(Recipe) if field.default is not MISSING}
    without = {"distill_weight": 0, "distill_temperature": 4}  # in the settings of stages only where they are given
    assert {name: found[name] for name in own} == own | dict.fromkeys(without, MISSING)
    assert {name: own[name] for name in without} == without


def test_config_of_imagenet_has_the_recipe_of_the_paper_and_the_published_base():
    [experiment] = shipped("imagenet")["experiments"].values()
    full = experiment["full"]
    assert (full["lr"], full["batch_size"], full["epochs"], full["momentum"]) == (0.1, 512, 90, 0.9)
    assert (experiment["base"]["epochs"], experiment["validation"]) == (0, 50_000)
    paper = shipped("config")["experiments"]["resnet18"]
    assert (experiment["space"], experiment["refine"]) == (paper["space"], paper["refine"])


@pytest.mark.parametrize("name", ["config", "demo", "cifar10_cpu", "cifar10_score", "cifar10_study"])
def test_what_is_compared_with_the_paper_is_trained_in_float32(name):
    assert shipped(name)["precision"] == "float32"


def test_defaults_are_filled_in_at_every_depth():
    complete = resolved(MINIMAL)
    net = complete["experiments"]["net"]
    assert (complete["seeds"], complete["device"], complete["pathvars"]) == ([0], "auto", {"results": "results"})
    assert complete["precision"] == "float32"
    assert net["network"] == {"name": "resnet8", "width": 1.0}
    assert net["space"]["levels"] == 10
    assert net["refine"] == {"top_m": 20, "top_k": 3, "shard_size": 25}
    assert (net["base"]["epochs"], net["tune"]["epochs"], net["tune"]["lr"]) == (200, 2, 0.01)
    assert net["methods"]["l1"] == {"kind": "uniform", "match": "sacp"}
    assert net["methods"]["sacp"]["encoder"]["objective"] == "contrastive"


def test_an_experiment_wins_over_defaults_and_both_over_the_schema():
    value = with_value("experiments/net/base", {"lr": 0.3}) | {"defaults": {"base": {"lr": 0.2, "epochs": 7}}}
    base = resolved(value)["experiments"]["net"]["base"]
    assert (base["lr"], base["epochs"], base["batch_size"]) == (0.3, 7, 128)


def test_methods_that_are_given_replace_the_default_ones():
    methods = {"mine": {"kind": "search", "encoder": {"hidden": 8}}, "other": {"kind": "uniform", "match": "mine"}}
    complete = resolved(with_value("experiments/net/methods", methods))["experiments"]["net"]["methods"]
    assert list(complete) == ["mine", "other"]
    assert (complete["mine"]["encoder"]["hidden"], complete["mine"]["encoder"]["layers"]) == (8, 3)
    assert "encoder" not in complete["other"]


def test_resolving_leaves_its_input_alone():
    value = with_value("defaults", {"base": {"epochs": 1}})
    before = copy.deepcopy(value)
    resolved(value)["experiments"]["net"]["base"]["epochs"] = 9
    assert value == before


@pytest.mark.parametrize("written", [1.0e3, "1.0e3", "1e3", "1E+3", "1000", "1000."])
def test_whole_numbers_however_written_become_integers(written):
    complete = resolved(with_value("experiments/net/space/search_size", written) | {"seeds": [0, written]})
    found = [complete["experiments"]["net"]["space"]["search_size"], complete["seeds"][1]]
    assert found == [1000, 1000]
    assert all(type(number) is int for number in found)


def test_text_of_the_command_line_is_what_the_schema_expects():
    given = {"base": {"lr": "1e-2", "flip": "false"}, "search": {"keep": "null", "budget": {"flops": ["0.1", ".5"]}}}
    complete = resolved(with_value("defaults", given))["experiments"]["net"]
    assert (complete["base"]["lr"], complete["base"]["flip"]) == (0.01, False)
    assert complete["search"]["keep"] is None
    assert complete["search"]["budget"] == {"flops": [0.1, 0.5]}


def properties(schema: Any, path: str = "") -> list[tuple[str, dict[str, Any]]]:
    """All properties of a schema, at any depth, with their paths."""
    if not isinstance(schema, dict):
        return []
    found = [(f"{path}.{name}", value) for name, value in schema.get("properties", {}).items()]
    nested = [*found, *((f"{path}.{name}", value) for name, value in schema.get("$defs", {}).items())]
    nested.append((f"{path}.*", schema.get("additionalProperties")))
    return found + [item for inner, value in nested for item in properties(value, inner)]


def test_every_key_of_the_schema_is_described():
    found = properties(yaml.safe_load(SCHEMA.read_text()))
    assert len(found) > 50
    assert [path for path, value in found if not value.get("description")] == []


def write_parquet(path: Path, **columns: list[Any]) -> bytes:
    path.parent.mkdir(exist_ok=True)
    pq.write_table(pa.table(columns), path)
    return path.read_bytes()


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with broken data and the user's module `mine`, which is where the check is run."""
    content = write_parquet(tmp_path / "truncated/train.parquet", img=["x"] * 500, label=[0] * 500)
    (tmp_path / "truncated/train.parquet").write_bytes(content[: len(content) // 2])
    write_parquet(tmp_path / "foreign/train.parquet", picture=["x"], label=[0])
    (tmp_path / "mine.py").write_text(
        "from torch import nn\n"
        "NUMBER = 3\n"
        "class Branching(nn.Module):\n"
        "    def forward(self, x):\n"
        "        return x.flatten(1)[:, :10] if x.sum() > 0 else -x.flatten(1)[:, :10]\n"
        "def branching(num_classes):\n"
        "    return Branching()\n"
        "class Counting(nn.Sequential):\n"
        "    def forward(self, x):\n"
        "        return self[3](self[2](self[1](self[0](x) * self[0].out_channels).mean((2, 3))))\n"
        "def counting(num_classes):\n"
        "    convolutions = nn.Conv2d(1, 9, 3), nn.Conv2d(9, 9, 3)\n"
        "    return Counting(*convolutions, nn.ReLU(), nn.Linear(9, num_classes))\n"
        "def stubborn():\n"
        "    return nn.Identity()\n"
        "def net(num_classes):\n"
        "    convolutions = (nn.Conv2d(channels, 9, 3, padding=1) for channels in (1, 9, 9, 9))\n"
        "    return nn.Sequential(*convolutions, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(9, num_classes))\n"
        "def wide(num_classes):\n"
        "    return net(num_classes + 2)\n"
        "def text(num_classes):\n"
        "    return 'net'\n"
        "def forgetful(num_classes):\n"
        "    net(num_classes)\n"
        "class Silent(nn.Linear):\n"
        "    def forward(self, x):\n"
        "        super().forward(x)\n"
        "def silent(num_classes):\n"
        "    return nn.Sequential(net(num_classes), Silent(num_classes, num_classes))\n"
        "class Twofold(nn.Flatten):\n"
        "    def forward(self, x):\n"
        "        return (x, x) if self.training else x\n"
        "def twofold(num_classes):\n"
        "    return nn.Sequential(net(num_classes), Twofold())\n"
        "def unflattened(num_classes):\n"
        "    return nn.Sequential(net(num_classes), nn.Unflatten(1, (num_classes, 1, 1)))\n"
        "def endless(num_classes):\n"
        "    network = net(num_classes)\n"
        "    nn.init.constant_(network[-1].bias, float('inf'))\n"
        "    return network\n"
        "def select(task): ...\n"
        "def order(network, graph, batches, seed): ...\n"
        "def narrow(network, graph, levels, scale=1): ...\n"
        "def anything(*arguments): ...\n"
    )
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pth")
    (tmp_path / "ending.py").write_text("import sys\nsys.exit()\n")
    (tmp_path / "unfinished.py").write_text("def build(:\n")
    (tmp_path / "talkative.py").write_text("raise ImportError('one\\ntwo')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "mine", raising=False)  # that of another test
    return tmp_path


def refusal(value: dict[str, Any]) -> str:
    """The message that a user gets for a config."""
    with pytest.raises(InputError) as caught:
        preflight.check(resolved(value), "my.yaml", REPORTED)
    check_words(str(caught.value))
    return str(caught.value)


METHODS, RESULTS = "experiments/net/methods", "pathvars/results"
NET = MINIMAL["experiments"]["net"]
HALVED = {"top_m": 20, "top_k": 3, "halving": True}
MISTAKES = [
    # misspelt keys, at every depth
    ("sedes", [1], "top level: unknown key 'sedes' (did you mean 'seeds'?)"),
    ("experiments/net/netwrok", {}, "experiments.net: unknown key 'netwrok' (did you mean 'network'?)"),
    ("experiments/net/space/treshold", 0.4, "net.space: unknown key 'treshold' (did you mean 'threshold'?)"),
    ("defaults/base/learning_rate", 0.1, "defaults.base: unknown key 'learning_rate'"),
    (f"{METHODS}/s", {"kind": "search", "encoder": {"temprature": 1}}, "did you mean 'temperature'?"),
    ("datasets/digits/pth", "x", "datasets.digits: unknown key 'pth' (did you mean 'path'?)"),
    ("pathvars/result", "x", "pathvars: unknown key 'result' (did you mean 'results'?)"),
    ("experiments/net/zzzzzz", 1, "experiments.net: unknown key 'zzzzzz'; known: dataset, validation"),
    ("experiments/net/space/8", 1, "experiments.net.space: unknown key '8'; known: levels"),
    # wrong types
    ("experiments/net/base/lr", "1e-3x", "experiments.net.base.lr: found '1e-3x', expected a number"),
    ("experiments/net/space/search_size", "1.5", "experiments.net.space.search_size: found 1.5, expected"),
    ("experiments/net/search/keep", "none", "search.keep: found 'none', expected an integer or null"),
    ("experiments/net/base/lr", "fast", "experiments.net.base.lr: found 'fast', expected a number"),
    ("experiments/net/base/epochs", 1.5, "experiments.net.base.epochs: found 1.5, expected an integer"),
    ("experiments/net/base/flip", "yes", "found 'yes', expected true or false"),
    ("experiments/net/refine/top_k", True, "found true, expected an integer"),
    ("experiments/net", None, "experiments.net: found null, expected keys with values"),
    ("seeds", 3, "seeds: found 3, expected a list in [ ]"),
    ("experiments/net/network", "resnet8", "experiments.net.network: found 'resnet8', expected keys with values"),
    # out of range
    ("experiments/net/space/threshold", 1.5, "experiments.net.space.threshold: found 1.5, expected at most 1"),
    ("experiments/net/space/threshold", -0.1, "found -0.1, expected at least 0"),
    ("experiments/net/space/levels", 1, "experiments.net.space.levels: found 1, expected at least 2"),
    ("experiments/net/space/levels", 300, "found 300, expected at most 256"),
    ("experiments/net/base/lr", 0, "experiments.net.base.lr: found 0, expected more than 0"),
    ("experiments/net/network/width", -1.0, "experiments.net.network.width: found -1.0, expected more than 0"),
    ("experiments/net/full/ema_decay", 1, "experiments.net.full.ema_decay: found 1, expected less than 1"),
    ("experiments/net/full/label_smoothing", 2, "experiments.net.full.label_smoothing: found 2, expected less than 1"),
    ("experiments/net/base/validate_every", -1, "experiments.net.base.validate_every: found -1, expected at least 0"),
    ("processes", 0, "processes: found 0, expected at least 1"),
    ("save_seconds", -1, "save_seconds: found -1, expected at least 0"),
    ("seeds", [-1], "seeds.0: found -1, expected at least 0"),
    ("seeds", [], "seeds: found [], expected a length of at least 1"),
    ("seeds", [1, 0, 1], "seeds: 1 stands twice; expected each value once"),
    ("seeds", [0, "0"], "seeds: 0 stands twice; expected each value once"),
    ("experiments/net/sweep", {"m": [5, 5.0]}, "experiments.net.sweep.m: 5 stands twice; expected each value once"),
    ("threads", 0, "threads: found 0, expected at least 1"),
    ("experiments", {}, "experiments: found {}, expected a number of entries of at least 1"),
    ("experiments/My Net", {}, "experiments: found 'My Net', expected a name of lower-case letters"),
    ("experiments/net/space/threshold", float("nan"), "experiments.net.space.threshold: found nan"),
    ("experiments/net/base/lr", float("inf"), "experiments.net.base.lr: found inf"),
    ("experiments/net/network/width", float("nan"), "experiments.net.network.width: found nan"),
    # not among the choices
    ("device", "gpu", "device: found 'gpu' (did you mean 'cpu'?); expected one of auto, cpu, cuda"),
    ("precision", "float16", "precision: found 'float16' (did you mean 'bfloat16'?); expected one of auto, float32,"),
    ("datasets/digits/source", "digit", "source: unknown source 'digit' (did you mean 'digits'?); known: digits,"),
    (f"{METHODS}/s", {"kind": "search", "encoder": {"objective": "contrast"}}, "did you mean 'contrastive'?"),
    (f"{METHODS}/s", {"kind": "search", "encoder": {"edges": "all"}}, "encoder.edges: found 'all'"),
    # beyond what can be meant, or held
    ("experiments/net/space/training_size", 1.0e11, "space.training_size: found 100000000000, expected at most 100000"),
    ("experiments/net/space/search_size", 1e10, "space.search_size: found 10000000000, expected at most 400000000"),
    ("experiments/net/refine/top_m", 10**6, "refine.top_m: found 1000000, expected at most 100000"),
    ("experiments/net/search/found", 10**6, "search.found: found 1000000, expected at most 500000"),
    ("experiments/net/network/width", 99, "network.width: found 99, expected at most 16"),
    ("datasets/tree", {"source": "imagefolder", "image_size": 9999}, "tree.image_size: found 9999, expected at most 1"),
    ("seeds", [2**63], "seeds.0: found 9223372036854775808, expected at most 9223372036854775807"),
    ("experiments/net/base/lr", 1e3, "experiments.net.base.lr: found 1000.0, expected at most 10"),
    ("experiments/net/base/momentum", 1, "experiments.net.base.momentum: found 1, expected less than 1"),
    ("experiments/net/tune/weight_decay", 5, "experiments.net.tune.weight_decay: found 5, expected at most 1"),
    ("experiments/net/full/label_smoothing", 1, "full.label_smoothing: found 1, expected less than 1"),
    ("experiments/net/full/distill_weight", 1.1, "net.full.distill_weight: found 1.1, expected at most 1"),
    ("experiments/net/full/distill_temperature", 0, "full.distill_temperature: found 0, expected at least 0.1"),
    ("experiments/net/full/distill_temperature", 2, "full.distill_temperature: found 2 without a distill_weight"),
    ("experiments/net/base/distill_weight", 0.5, "base.distill_weight: found 0.5, but the base teaches only networks"),
    ("defaults/sparse", {"distill_weight": 0.5}, "net.sparse.distill_weight: found 0.5, but the base teaches only"),
    ("experiments/net/sparse/bn_l1", 2, "experiments.net.sparse.bn_l1: found 2, expected at most 1"),
    (f"{METHODS}/s", {"kind": "search", "encoder": {"hidden": 10**6}}, "encoder.hidden: found 1000000, expected at mo"),
    (f"{METHODS}/s", {"kind": "search", "score": "log-mass", "exponents": {"channels": 9}}, "found 9, expected at mos"),
    # numbers that mean something else than they seem to
    ("experiments/net/validation", 1.0, "net.validation: found 1.0, neither a share nor a number of images; expected"),
    ("experiments/net/validation", 20.5, "net.validation: found 20.5, neither a share nor a number of images"),
    ("experiments/net/validation", True, "experiments.net.validation: found true, expected a number"),
    ("experiments/net/search/budget", {"flops": [0.5, 1]}, "flops: found [0.5, 1], of which one is a share of the"),
    ("experiments/net/base/crop_padding", 8, "net.base.crop_padding: found 8, with which crops may miss images of 8 p"),
    ("defaults/tune", {"crop_padding": 100}, "net.tune.crop_padding: found 100, with which crops may miss images of 8"),
    ("processes", 65, "net.base.batch_size: found 128, shared by 65 processes; expected at least 2 for each"),
    # fewer than are asked for
    ("experiments/net/search/keep", 19, "net.search.keep: found 19, expected at least m = 20 (refine.top_m), or null"),
    ("experiments/net/search/distance", 2, "net.search.distance: found 2, but all searches rank the sample, which it"),
    # parts of paths
    *(
        (RESULTS, folder, f"pathvars.results: found {folder!r}{reason}")
        for folder, reason in (
            ("", ", expected a folder for the results alone"),
            (".", ", expected a folder for the results alone"),
            ("/", ", expected a folder for the results alone"),
            ("a/..", ", expected a folder for the results alone"),
            ("results/", "; write it as 'results'"),
            ("./a//b", "; write it as 'a/b'"),
            ("results/{date}", "; expected a path without '{', which Snakemake would fill in"),
            ("<nothing>/a", "; expected a path without '<'"),
            ("a\nb", ", which holds a line break"),
            ("a\x00b", ", which holds a line break or a character that cannot be seen"),
            ("~/results", ", in which '~' is not expanded; write the whole path"),
            ("/scratch/$USER", ", in which '$' is not expanded"),
        )
    ),
    (RESULTS, "é" * 128, "pathvars.results: 'éé"),
    (RESULTS, "é" * 128, "...' holds a name of 256 bytes; expected 255 at most"),
    (RESULTS, "a/" * 2000 + "b", "...' has 4001 characters; expected a shorter path"),
    ("datasets/cifar", {"source": "parquet", "path": "data/{x}"}, "datasets.cifar.path: found 'data/{x}'; expected a"),
    ("experiments/net/network/weights", "a<b>.safetensors", "net.network.weights: found 'a<b>.safetensors'; expected"),
    ("experiments/" + "n" * 65, MINIMAL["experiments"]["net"], "n', expected a length of at most 64"),
    ("datasets/" + "n" * 256, {"source": "digits"}, "n..., expected a length of at most 64"),
    (f"{METHODS}/{'n' * 65}", {"kind": "search"}, "n', expected a length of at most 64"),
    ("experiments/net\n", MINIMAL["experiments"]["net"], "experiments: found 'net\\n', expected a name of lower-case"),
    ("experiments/tables", MINIMAL["experiments"]["net"], "experiments.tables: 'tables' is a folder of the results al"),
    (f"{METHODS}/sample", {"kind": "search"}, "net.methods.sample: 'sample' is a folder of the results already"),
    # missing or contradictory
    ("datasets", REMOVED, "top level: key 'datasets' is missing"),
    ("datasets/digits/source", REMOVED, "datasets.digits: key 'source' is missing"),
    ("experiments/net/space/threshold", REMOVED, "experiments.net.space.threshold: missing; give it here or under"),
    ("experiments/net/network/name", REMOVED, "experiments.net.network.name: missing"),
    ("experiments/net/dataset", "digit", "dataset: unknown data set 'digit' (did you mean 'digits'?); known: digits"),
    ("experiments/net/refine/top_k", 21, "experiments.net.refine.top_k: k = 21 exceeds m = 20"),
    ("experiments/net/refine/top_m", 1001, "experiments.net.refine.top_m: m = 1001 exceeds M = 1000"),
    (METHODS, {"l1": {"match": "sacp"}}, "experiments.net.methods.l1: key 'kind' is missing"),
    (f"{METHODS}/l1", {"kind": "uniform", "match": "sapc"}, "methods.l1.match: found 'sapc', expected a search"),
    (METHODS, {"s": {"kind": "search"}, "b": {"kind": "random"}}, "methods.b.match: missing"),
    (METHODS, {"s": {"kind": "search", "match": "s"}}, "methods.s.match: found 's', expected another search, which"),
    (
        METHODS,
        {"s": {"kind": "search"}, "a": {"kind": "search", "match": "s"}, "b": {"kind": "search", "match": "a"}},
        "methods.b.match: found 'a', expected another search, which matches none itself: s",
    ),
    (
        METHODS,
        {"s": {"kind": "search"}, "l1": {"kind": "uniform", "match": "s"}, "a": {"kind": "search", "match": "l1"}},
        "methods.a.match: found 'l1', expected another search, which matches none itself: s",
    ),
    (
        f"{METHODS}/t",
        {"kind": "tuned", "match": "sacp", "criterion": "l1"},
        "methods.t.criterion: only methods of the kind 'search' or 'uniform'",
    ),
    (
        f"{METHODS}/b",
        {"kind": "random", "match": "sacp", "encoder": {}},
        "methods.b.encoder: only methods of the kind 'search' have it, found kind 'random'; expected no 'encoder' here",
    ),
    (
        f"{METHODS}/b",
        {"kind": "slimming", "match": "sacp", "criterion": "l1"},
        "methods.b.criterion: only methods of the kind 'search' or 'uniform'",
    ),
    (f"{METHODS}/b", {"kind": "unifrom", "match": "sacp"}, "methods.b.kind: unknown kind 'unifrom' (did you mean 'uni"),
    (
        f"{METHODS}/b",
        {"kind": "uniform", "match": "sacp", "criterion": "thinnet"},
        "methods.b.criterion: unknown criterion 'thinnet' (did you mean 'thinet'?); known: ",
    ),
    (
        f"{METHODS}/b",
        {"kind": "mine:select", "match": "sacp", "search": "local"},
        "methods.b.search: only methods of the kind 'search' have it, found kind 'mine:select'; expected no 'search'",
    ),
    (
        METHODS,
        {"sacp": {"kind": "search"}, "b": {"kind": "mine:branching"}},
        "methods.b.match: missing; expected a search method: sacp",
    ),
    (
        METHODS,
        {"s": {"kind": "search"}, "l1": {"kind": "uniform", "match": "s"}, "t": {"kind": "tuned", "match": "l1"}},
        "methods.t.match: found 'l1', expected a search method: s",
    ),
    (METHODS, {"t": {"kind": "tuned", "match": "l1"}}, "methods.t.match: found 'l1', expected a search method: none"),
    (f"{METHODS}/s", {"kind": "search", "labels": 9}, "methods.s.labels: only the objective 'regression' has it"),
    (f"{METHODS}/s", {"kind": "search", "labels": 9999, "encoder": {"objective": "regression"}}, "labels: N' = 9999"),
    (
        f"{METHODS}/s",
        {"kind": "search", "score": "mass"},
        "methods.s.score: unknown score 'mass' (did you mean 'log-mass'?); known: encoder, log-mass, sensitivity",
    ),
    (
        f"{METHODS}/s",
        {"kind": "search", "score": "random", "encoder": {}},
        "methods.s.encoder: only the score 'encoder' has it, found 'random'; expected no 'encoder' here",
    ),
    (
        f"{METHODS}/s",
        {"kind": "search", "exponents": {}},
        "methods.s.exponents: only the score 'log-mass' has it, found 'encoder'; expected no 'exponents' here",
    ),
    (
        f"{METHODS}/s",
        {"kind": "search", "score": "mine:score", "exponents": {}},
        "methods.s.exponents: only the score 'log-mass' has it, found 'mine:score'; expected no 'exponents' here",
    ),
    (f"{METHODS}/s", {"kind": "search", "score": "log-mass", "exponents": {"depth": 1}}, "unknown key 'depth'"),
    (
        f"{METHODS}/s",
        {"kind": "search", "search": "exact"},
        f"methods.s.search: 'exact' needs a sum over the groups that is equal for few networks: {EXACT} or a function",
    ),
    (f"{METHODS}/s", {"kind": "search", "score": "random", "search": "exact"}, "own; found the score 'random', use 'l"),
    (f"{METHODS}/s", {"kind": "search", "score": "pruning-ratio", "search": "exact"}, "the score 'pruning-ratio', use"),
    (f"{METHODS}/s", {"kind": "search", "search": "exat"}, "methods.s.search: found 'exat' (did you mean 'exact'?)"),
    (f"{METHODS}/s", {"kind": "search", "rerank": 0.99}, "s.rerank: 0.99 of m = 20 in shards of"),
    (
        f"{METHODS}/b",
        {"kind": "random", "match": "sacp", "search": "local"},
        "methods.b.search: only methods of the kind 'search' have it, found kind 'random'; expected no 'search' here",
    ),
    (
        f"{METHODS}/b",
        {"kind": "random", "match": "sacp", "labels": 9},
        "methods.b.labels: only methods of the kind 'search' have it, found kind 'random'; expected no 'labels' here",
    ),
    (
        f"{METHODS}/s",
        {"kind": "search", "encoder": {"score": "distance", "negatives": "own", "anchor": "configuration"}},
        "s.encoder.score: 'distance' goes with anchor: original, found configuration",
    ),
    (
        f"{METHODS}/s",
        {"kind": "search", "encoder": {"score": "distance"}},
        "s.encoder.score: 'distance' goes with negatives: own, found batch",
    ),
    (
        f"{METHODS}/s",
        {"kind": "search", "encoder": {"objective": "literal", "negatives": "own"}},
        "s.encoder.negatives: 'own' goes with the objective 'contrastive', found 'literal'",
    ),
    ("experiments/net/search/budget", {"flops": [0.5, 0.4]}, "budget.flops: found [0.5, 0.4], expected [at least, at"),
    ("experiments/net/sweep/m", [2000], "net.sweep.m: found 2000, expected values from k ="),
    ("experiments/net/refine", HALVED | {"top_k": 6}, "net.refine.top_k: k = 6 exceeds the 5 of m = 20 that are tuned"),
    ("experiments/net", NET | {"refine": HALVED, "sweep": {"m": [9]}}, "net.sweep.m: found [9]; with a smaller m, "),
    ("experiments/net", NET | {"refine": HALVED, "tune": {"epochs": 0}}, "net.tune.epochs: found 0, which refine.ha"),
    (
        "experiments/net",
        NET | {"refine": HALVED | {"shard_size": 5}, "methods": {"s": {"kind": "search", "rerank": 0.3}}},
        "net.methods.s.rerank: it learns from candidates that are tuned wholly before the others, which refine.halving",
    ),
    ("experiments/net/refine/halving", 2, "net.refine.halving: found 2, expected true or false"),
    ("experiments/net/predictors/sample", 2, "net.predictors.sample: found 2, expected 0 or at least 3"),
    ("experiments/net/predictors/sample", 1001, "net.predictors.sample: found 1001, more than M = 1000"),
    ("experiments/net/predictors/encoders", {"sacp": {}}, "net.predictors.encoders.sacp: a method has this name"),
    ("experiments/net/predictors/encoders", {"r": {"objective": "regression"}}, "a regression needs labels"),
    ("experiments/net/selection", {"epochs": 0}, "net.selection.epochs: found 0, but channels are chosen while it tr"),
    ("experiments/net/selection", {"crop_padding": 9}, "net.selection.crop_padding: found 9, with which crops may"),
    (f"{METHODS}/o", {"kind": "oto", "match": "sacp", "oto": {"optimiser": "adam"}}, "oto.optimiser: found 'adam'"),
    (
        METHODS,
        {"s": {"kind": "search"}, "o": {"kind": "oto", "match": "s", "oto": {"optimiser": "hesso", "start": 0.6}}},
        "methods.o.oto.end: found 0.5, expected more than start, 0.6",
    ),
    (
        METHODS,
        {"s": {"kind": "search"}, "a": {"kind": "ato", "match": "s", "ato": {"start": 0.5}}},
        "methods.a.ato.freeze: found 0.5, expected more than start, 0.5",
    ),
    (
        f"{METHODS}/b",
        {"kind": "random", "match": "sacp", "weights": "own"},
        "methods.b.weights: only methods of the kind 'oto' or 'gal' or 'ato' have it, found kind 'random'; exp",
    ),
    (
        METHODS,
        {"sacp": {"kind": "search"}, "a": {"kind": "amc", "match": "sacp", "amc": {"episodes": 100}}},
        "methods.a.amc.warmup: found 100, which leaves an agent none of 100 episodes to learn in; expected fewer",
    ),
    (f"{METHODS}/a", {"kind": "agmc", "match": "sacp", "agmc": {"state": "old"}}, "agmc.state: found 'old'; expected"),
    (f"{METHODS}/a", {"kind": "apib", "match": "sacp", "apib": {"images": 1}}, "apib.images: found 1, expected at le"),
    (f"{METHODS}/a", {"kind": "apib", "match": "sacp", "criterion": "l1"}, "methods.a.criterion: only methods of the"),
    ("experiments/net/colony/food", 1, "experiments.net.colony.food: found 1, expected at least 2"),
    ("experiments/net/base", {"epochs": 1, "nesterov": True, "momentum": 0.0}, "experiments.net.base.nesterov"),
    ("experiments/net/base", {"epochs": 3, "warmup_epochs": 3}, "net.base.warmup_epochs: found 3, expected less than"),
    ("experiments/net/tune/warmup_epochs", 2.5, "net.tune.warmup_epochs: found 2.5, expected less than the 2 epochs"),
    # what only the world can tell
    ("experiments/net/network/name", "resnet9", "network.name: unknown network 'resnet9' (did you mean 'resnet"),
    ("experiments/net/network/name", "vgg16", "network.name: vgg16 needs images of at least 32 pixels, found 8"),
    ("experiments/net/network/name", "nowhere:build", "network.name: cannot import 'nowhere:build'"),
    ("experiments/net/network/name", "mine:absent", "network.name: cannot import 'mine:absent'"),
    ("experiments/net/network/name", ":build", "network.name: ':build' is no import path; expected 'module:function'"),
    ("experiments/net/network/name", "my-net:build", "network.name: 'my-net:build' is no import path; expected"),
    ("experiments/net/network/name", "ending:build", "name: cannot import 'ending:build': SystemExit ("),
    ("experiments/net/network/name", "mine:text", "network.name: 'mine:text' returned a str, expected a torch.nn.Mod"),
    ("experiments/net/network/name", "mine:forgetful", "returned a NoneType, expected a torch.nn.Module: does it end "),
    ("experiments/net/network/name", "mine:wide", "name: 'mine:wide' in evaluation gives a tensor of shape [2, 12"),
    ("experiments/net/network/name", "mine:silent", "evaluation gives nothing for images of shape [2, 1, 8, 8], expec"),
    ("experiments/net/network/name", "mine:twofold", "'mine:twofold' in training gives a tuple of 2 for images of sha"),
    ("experiments/net/network/name", "mine:unflattened", "gives a tensor of shape [2, 10, 1, 1] for images of shape"),
    ("experiments/net/network/name", "mine:endless", "evaluation gives NaN or infinite values for random images; exp"),
    (
        "experiments/net/network",
        {"name": "mine:net", "width": 0.25},
        "experiments.net.network.width: found 0.25, but 'mine:net' is a function that takes none; only networks of the",
    ),
    ("experiments/net/network/name", "mine:branching", "net.network: forward of Branching cannot be traced"),
    ("experiments/net/network/name", "mine:counting", "net.network: layer '1' differs from the masked original by"),
    ("experiments/net/network/name", "mine:stubborn", "name: 'mine:stubborn' takes (), expected a function that can"),
    ("experiments/net/network/name", "unfinished:build", "network.name: cannot import 'unfinished:build'"),
    ("experiments/net/network/name", "talkative:build", "cannot import 'talkative:build': ImportError: one two ("),
    ("experiments/net/network/weights", "no.safetensors", "network.weights: no.safetensors: no such file"),
    ("experiments/net/network/weights", "no.pth.tar", "network.weights: no.pth.tar: no such file"),
    ("experiments/net/network/weights", "mine.py", "network.weights: mine.py: is no file of torch.save or safete"),
    (
        "experiments/net/network", {"name": "mine:net", "weights": "other.pth"},
        "network.weights: other.pth: weights do not fit the network: of its 10 tensors 10 are missing (0.weight, 0.bi",
    ),
    ("experiments/net/space/threshold", 0.95, "space.threshold: no configuration reaches 0.95; with 10 levels"),
    ("experiments/net/space", {"training_size": 9, "search_size": 600, "threshold": 0.9, "levels": 10},
     "space.search_size: M = 600, but only 1 configurations of 6 groups reach the threshold 0.9"),
    ("experiments/net/reported", "resnet99", "net.reported: no rows for 'resnet99'; known models: resnet18, resnet56"),
    ("experiments/net/validation", 5000, "experiments.net.validation: 5000 holds out 5000 of"),
    ("datasets/cifar", {"source": "parquet"}, "datasets.cifar.path: missing; source 'parquet' needs a folder"),
    ("datasets/cifar", {"source": "parquet", "path": "nowhere"}, "cifar.path: nowhere/train.parquet: no such file"),
    ("datasets/cifar", PARQUET, "cifar.path: truncated/train.parquet: truncated or not a parquet file"),
    ("datasets/cifar", PARQUET | {"path": "foreign"}, "foreign/train.parquet: column 'img' is missing; found ['pict"),
    ("experiments/net/search/budget", {"flops": 100}, "search.budget.flops: no configuration is within 100 (100"),
    ("experiments/net/search/budget", {"parameters": 1e-4}, "the smallest reachable is 772"),
    *(
        ("experiments/net/search/budget", {"flops": limit}, f"flops: found {limit}, expected a number, or [at least")
        for limit in ([], [0.1], [0.1, 0.2, 0.3])
    ),
    (
        "defaults",
        {
            "methods": {"sacp": {"kind": "search"}, "o": {"kind": "oto", "match": "sacp", "weights": "own"}},
            "full": {"distill_weight": 0.5},
        },
        "experiments.net.methods.o.weights: found 'own', but the base teaches (full.distill_weight) and this",
    ),
    # a search's own budget
    (f"{METHODS}/s", {"kind": "search", "budget": {"flops": [0.5, 0.4]}}, "methods.s.budget.flops: found [0.5, 0.4]"),
    (f"{METHODS}/s", {"kind": "search", "budget": {"flops": [0.5, 1]}}, "methods.s.budget.flops: found [0.5, 1], of"),
    (f"{METHODS}/s", {"kind": "search", "budget": {"flops": 100}}, "methods.s.budget.flops: no configuration is with"),
    (f"{METHODS}/s", {"kind": "search", "budget": {"flops": [0.99, 1.0]}}, "s.budget.flops: no configuration is "),
    (f"{METHODS}/s", {"kind": "search", "budget": {"macs": 5}}, "s.budget: unknown key 'macs'; known: flops, par"),
    (f"{METHODS}/s", {"kind": "search", "budget": {"flops": 0.5}, "match": "sacp"}, "s.budget.flops: the FLOPs a"),
    (f"{METHODS}/l1", {"kind": "uniform", "match": "sacp", "budget": {"flops": 0.5}}, "l1.budget: only methods of th"),
    ("experiments/net/search/budget", {"macs": 5}, "unknown key 'macs'; known: flops, parameters"),
    ("experiments/net/search/keep", 0, "experiments.net.search.keep: found 0, expected at least 1"),
    ("datasets/tree", {"source": "imagefolder", "path": "nowhere", "classes": 2}, "tree.path: nowhere: no folder 't"),
    ("datasets/tree", {"source": "imagefolder", "path": "x"}, "datasets.tree.classes: missing; source 'imagefolder'"),
    ("datasets/tree", {"source": "imagefolder", "path": "x", "classes": 1}, "datasets.tree.classes: found 1"),
    ("datasets/digits/image_size", 8, "digits.image_size: source 'digits' has none; only 'imagefolder' has it"),
    (
        "datasets/tree",
        {"source": "imagefolder", "path": "x", "classes": 2, "training_images": 9},
        "tree.training_images: source 'imagefolder' has none; only 'digits'",
    ),
    # what a method names by an import path
    *(
        (METHODS, {"s": {"kind": "search"}, "x": method | {key: path}}, f"experiments.net.methods.x.{key}: {reason}")
        for key, method in (
            ("kind", {"match": "s"}), ("criterion", {"kind": "uniform", "match": "s"}), ("score", {"kind": "search"}),
        )
        for path, reason in (
            ("nowhere:f", "cannot import 'nowhere:f' (No module named 'nowhere'); expected 'module:function'"),
            ("mine:absent", "cannot import 'mine:absent' (module 'mine' has no attribute 'absent'); expected 'mod"),
            ("mine:NUMBER", "'mine:NUMBER' is no function"),
            ("unfinished:f", "cannot import 'unfinished:f' ("),
            ("talkative:f", "cannot import 'talkative:f': ImportError: one two ("),
            ("ending:f", "cannot import 'ending:f': SystemExit ("),
            ("mine:stubborn", "'mine:stubborn' takes (), expected a function that can be called with "),
        )
    ),
    *(
        (METHODS, {"s": {"kind": "search"}, "x": method}, f"net.methods.x.{key}: '{method[key]}' takes {found}")
        for key, method, found in (
            (
                "criterion",
                {"kind": "uniform", "match": "s", "criterion": "sacp.pruning.criteria:l1_order"},
                "(network, graph), expected a function that can be called with (network, graph, batches, seed): too",
            ),
            (
                "criterion",
                {"kind": "mine:select", "match": "s", "criterion": "mine:select"},
                "(task), expected a function that can be called with (network, graph, batches, seed): too many",
            ),
            (
                "score",
                {"kind": "search", "score": "mine:order"},
                "(network, graph, batches, seed), expected a function that can be called with (network, graph, levels)",
            ),
            (
                "score",
                {"kind": "search", "score": "sacp.encoder.scorer:of_file"},
                "(encoder, network, graph, levels, **settings), expected a function that can be called with (",
            ),
            ("kind", {"kind": "mine:narrow", "match": "s"}, "(network, graph, levels, scale=1), expected a function"),
            (
                "kind",
                {"kind": "sacp.baselines.uniform:counts", "match": "s"},
                "(graph, target_flops), expected a function that can be called with (task): missing a required",
            ),
        )
    ),
    ("experiments/net/network/weights", "ResNet18_Weights.V1", "network.weights: ResNet18_Weights.V1: torchvision"),
    ("datasets/cifar", {"source": "folder", "path": "truncated"}, "cifar.path: truncated: no folder 'cifar-10-"),
    ("datasets/cifar", {"source": "torchvision"}, "datasets.cifar.path: missing; source 'torchvision' needs a folder"),
    ("datasets/cifar", {"source": "torchvision", "path": "mine.py/x"}, "cifar.path: 'mine.py' is a file; expected a"),
    ("datasets/few", {"source": "digits", "training_images": 1439}, "datasets.few.training_images: found 1439, but"),
    ("datasets/digits", {"source": "digits", "training_images": 1439}, "datasets.digits.training_images: found 1439"),
]  # fmt: skip


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize(("key", "value", "expected"), MISTAKES)
def test_a_mistake_is_told_in_one_line_that_names_the_file_and_the_key(key, value, expected):
    message = refusal(with_value(key, value))
    assert message.startswith("my.yaml: ")
    assert expected in message
    assert "\n" not in message


def tracked_folders() -> list[str]:
    """Folders of the repository, at its top, as git knows them."""
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return sorted({file.partition("/")[0] for file in files.splitlines() if "/" in file})


def test_results_are_not_mixed_with_the_projects_own_files(monkeypatch, tmp_path):
    monkeypatch.chdir(ROOT)
    (tmp_path / "elsewhere").symlink_to(ROOT / "docs")
    of_project = [*tracked_folders(), ".git", ".venv", ".snakemake/mine", "config/mine", str(ROOT / "tests/workflow")]
    for folder in (*of_project, str(tmp_path / "elsewhere/mine")):
        assert f"results: found '{folder}', in the project's own folder '" in refusal(with_value(RESULTS, folder))
    for folder in ("..", "../..", str(ROOT), str(ROOT.parent)):
        expected = f"my.yaml: pathvars.results: found '{folder}', which holds the project or the working folder; expe"
        assert refusal(with_value(RESULTS, folder)).startswith(expected)
    for folder in ("results", "results/mine", "results/config", "runs", str(tmp_path / "config")):
        preflight.check(resolved(with_value(RESULTS, folder)), "my.yaml", REPORTED)
    monkeypatch.chdir(tmp_path)
    preflight.check(resolved(with_value(RESULTS, "config/mine")), "my.yaml", REPORTED)  # of another working folder
    assert "which holds the project or the working folder" in refusal(with_value(RESULTS, str(tmp_path)))


LOCKED = [
    (RESULTS, "locked/results", "pathvars.results: locked/results"),
    ("experiments/net/network/weights", "locked/net.pt", "experiments.net.network.weights: locked/net.pt"),
    *(
        ("datasets/own", {"source": source, "path": "locked/own"}, "datasets.own.path: locked/own")
        for source in ("torchvision", "folder", "parquet")
    ),
]


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize(("key", "value", "expected"), LOCKED)
def test_a_path_in_a_folder_that_may_not_be_entered_is_told_with_its_key(monkeypatch, key, value, expected):
    stat = Path.stat

    def denied(path: Path, **settings: Any) -> os.stat_result:  # as it is for all but root
        if path.is_relative_to("locked"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return stat(path, **settings)

    monkeypatch.setattr(Path, "stat", denied)
    assert refusal(with_value(key, value)) == f"my.yaml: {expected}: cannot be read (Permission denied)"


def test_a_search_of_its_own_must_find_as_many_as_are_tuned():
    value = with_value("experiments/net/search", {"found": 5})
    assert resolved(value)
    value["experiments"]["net"]["methods"] = {"s": {"kind": "search", "search": "local"}}
    assert "experiments.net.search.found: found 5, expected at least m = 20 (refine.top_m)" in refusal(value)


def test_each_band_of_the_predictors_needs_a_network():
    value = with_value("predictors/bands", 5)
    assert resolved(value)
    value["defaults"] = {"predictors": {"sample": 4}}
    assert "net.predictors.sample: found 4, fewer than the 5 bands of FLOPs (predictors.bands)" in refusal(value)


def test_two_methods_whose_logs_would_have_one_name_are_refused():
    value = with_value(f"{METHODS}/a-seed0-b", {"kind": "search"})
    value["experiments"]["net-seed0-a"] = with_value(f"{METHODS}/b", {"kind": "search"})["experiments"]["net"]
    expected = "net-seed0-a.methods.b: its log is called 'net-seed0-a-seed0-b', as that of experiments.net.methods.a-se"
    assert expected in refusal(value)


def test_images_of_files_are_cropped_by_shares_whatever_the_padding():
    value = with_value("datasets/tree", {"source": "imagefolder", "path": "x", "classes": 2, "image_size": 4})
    value["experiments"]["net"]["dataset"] = "tree"
    assert resolved(value)["experiments"]["net"]["base"]["crop_padding"] == 4


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_absent_is_refused():
    assert refusal(with_value("device", "cuda")).startswith("my.yaml: device: 'cuda' asked for, but no GPU was found")


def test_keys_that_are_numbers_are_refused_as_names():
    value = copy.deepcopy(MINIMAL)
    value["experiments"] = {18: value["experiments"]["net"]}
    assert "experiments: found 18" in refusal(value)


def test_a_numeric_key_among_the_known_ones_is_unknown():
    value = copy.deepcopy(MINIMAL)
    value["experiments"]["net"]["space"][8] = 1
    assert "experiments.net.space: unknown key '8'" in refusal(value)


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize(
    "method",
    [
        {"kind": "mine:select", "match": "sacp"},
        {"kind": "mine:select", "match": "sacp", "criterion": "mine:order"},
        {"kind": "uniform", "match": "sacp", "criterion": "mine:order"},
        {"kind": "uniform", "match": "sacp", "criterion": "mine:narrow"},
        {"kind": "search", "score": "mine:narrow"},
        {"kind": "search", "score": "mine:narrow", "search": "exact"},
        {"kind": "mine:anything", "match": "sacp", "criterion": "mine:anything"},
        {"kind": "search", "score": "mine:anything"},
        {"kind": "builtins:max", "match": "sacp", "criterion": "builtins:max"},
    ],
)
def test_functions_of_the_users_pass_the_check_by_their_import_paths(method):
    methods = {"sacp": {"kind": "search"}, "mine": method}
    complete = resolved(with_value(METHODS, methods))
    preflight.check(complete, "my.yaml", REPORTED)
    given = complete["experiments"]["net"]["methods"]["mine"]
    assert given.items() >= method.items()
    assert set(given) - set(method) <= {"search"}


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize("width", [{}, {"width": 1}])
def test_a_network_of_the_users_passes_the_check_by_its_import_path(width):
    preflight.check(resolved(with_value("experiments/net/network", {"name": "mine:net"} | width)), "my.yaml", REPORTED)


@pytest.mark.parametrize("key", ["experiments/net/reported", "experiments/net/space/levels"])
def test_what_is_right_passes_the_check(key):
    models = pd.read_csv(REPORTED)["model"]
    value = with_value(key, models.iloc[0] if key.endswith("reported") else 20)
    preflight.check(resolved(value), "my.yaml", REPORTED)
    assert network_settings(resolved(value)["experiments"]["net"], value["datasets"]) == {
        "name": "resnet8", "width": 1.0, "in_channels": 1, "image_size": 8, "num_classes": 10,
    }  # fmt: skip
