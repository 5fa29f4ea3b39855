"""What a config asks for: the demo's experiments and methods, and what each method needs."""

import re
from typing import Any

import pytest
from configs import DEMO, demo, resolved, shipped, unresolved
from sacp.plan.experiments import Experiments, Values, has_encoder, labelled, network_settings, pattern, shares_sample

SEARCHES = ["sacp", "sacp-deficit", "log-mass", "sacp-1"]
UNIFORM = ["l1", "fpgm", "hrank", "thinet"]
ALL = [*SEARCHES, "sacp-2", "l1", "random", "fpgm", "hrank", "thinet", "slimming", "abcpruner"]
MINE = {
    "mine": {"kind": "my.package:select", "match": "log-mass"},
    "ordered": {"kind": "random", "match": "sacp", "criterion": "my.package:order"},
    "closed": {"kind": "search", "score": "my.package:values", "search": "local"},
}


def place(method: str) -> Values:
    return Values(DEMO, "0", method)


@pytest.fixture(scope="module")
def plan() -> Experiments:
    return Experiments(demo())


@pytest.fixture(scope="module")
def own() -> Experiments:
    """The demo with methods by import paths beside its own."""
    return Experiments(demo(**MINE))


def test_methods_are_named_in_the_configs_order_by_their_kinds(plan):
    assert (plan.names, plan.seeds) == ([DEMO], [0])
    assert plan.methods(DEMO) == ALL
    assert plan.methods(DEMO, "search") == plan.searches(DEMO) == SEARCHES
    assert plan.methods(DEMO, "uniform") == UNIFORM
    assert plan.methods(DEMO, "search", "tuned") == [*SEARCHES, "sacp-2"]
    assert plan.methods(DEMO, "nothing") == []


def test_searches_with_an_encoder_are_those_whose_score_is_an_encoders(plan, own):
    assert plan.with_encoder(DEMO) == ["sacp", "sacp-deficit", "sacp-1"]
    assert own.with_encoder(DEMO) == plan.with_encoder(DEMO)
    methods = plan.of(DEMO)["methods"]
    assert [name for name in ALL if has_encoder(methods[name])] == plan.with_encoder(DEMO)
    assert [name for name in SEARCHES if shares_sample(methods[name])] == ["sacp", "sacp-deficit", "sacp-1"]


def test_searches_that_find_candidates_of_their_own_are_a_pattern(plan, own):
    assert plan.finders() == "log-mass"
    assert own.finders() == "closed|log-mass"


def test_a_pattern_of_no_names_matches_nothing():
    value = unresolved()
    value["defaults"]["methods"] = {"sacp": {"kind": "search"}}
    plan = Experiments(resolved(value))
    for nothing in (plan.finders(), plan.made_by("select_baseline"), plan.made_by("search_colony"), pattern([])):
        assert not any(re.fullmatch(nothing, text) for text in ("", "sacp", nothing))


def test_baselines_are_a_pattern_by_the_rule_that_keeps_their_channels(plan, own):
    assert plan.made_by("select_baseline") == "fpgm|hrank|l1|random|slimming|thinet"
    assert plan.made_by("search_colony") == "abcpruner"
    assert own.made_by("select_baseline") == "fpgm|hrank|l1|mine|ordered|random|slimming|thinet"
    assert not any(re.fullmatch(plan.made_by("select_baseline"), name) for name in [*SEARCHES, "sacp-2", "abcpruner"])


def test_a_pattern_holds_names_of_all_experiments_once():
    value = unresolved()
    other = value["experiments"][DEMO] | {"methods": {"far": {"kind": "search", "search": "local"}}}
    value["experiments"]["other"] = other
    plan = Experiments(resolved(value))
    assert plan.finders() == "far|log-mass"


@pytest.mark.parametrize(
    ("method", "search", "stream", "number"),
    [
        ("sacp", "sacp", "full", 3), ("log-mass", "log-mass", "full", 3),
        ("sacp-2", "sacp", "tune", 1),
        ("l1", None, "full", 3), ("slimming", None, "full", 3), ("abcpruner", None, "full", 3),
    ],
)  # fmt: skip
def test_a_method_is_chosen_from_its_search_by_a_training_of_its_kind(plan, method, search, stream, number):
    assert plan.search_of(place(method)) == search
    assert plan.stream(place(method)) == stream
    assert plan.recipe(place(method)) == plan.of(DEMO)[stream]
    # Of a baseline this is not asked: it has one candidate.
    assert plan.chosen_from(place(method)) == number


def test_the_recipes_that_methods_are_trained_by_differ(plan):
    assert plan.recipe(place("sacp"))["epochs"] == 12
    assert plan.recipe(place("sacp-2"))["epochs"] == 1


def test_a_baseline_by_an_import_path_is_chosen_from_no_search(own):
    assert own.search_of(place("mine")) is None
    assert own.kind(place("mine")).function == "my.package:select"


@pytest.mark.parametrize(
    ("method", "function", "images"),
    [
        ("l1", "sacp.baselines.weights:l1", 0), ("random", "sacp.baselines.weights:l1", 0),
        ("fpgm", "sacp.baselines.fpgm:orders", 0), ("hrank", "sacp.baselines.hrank:orders", 500),
        ("thinet", "sacp.baselines.thinet:orders", 500), ("ordered", "my.package:order", 500),
        ("mine", "sacp.baselines.weights:l1", 0),
    ],
)  # fmt: skip
def test_a_baselines_criterion_says_what_it_looks_at(own, method, function, images):
    assert own.criterion(place(method)).function == function
    assert own.images_seen(place(method)) == images


@pytest.mark.parametrize("method", ["slimming", "abcpruner"])
def test_a_baseline_without_a_criterion_looks_at_no_images_by_one(plan, method):
    assert plan.images_seen(place(method)) == 0


def test_an_input_is_needed_where_a_baseline_takes_it(plan):
    assert plan.needs(DEMO, "sparse")
    assert plan.needs(DEMO, "data")
    value = unresolved()
    value["defaults"]["methods"] = {name: value["defaults"]["methods"][name] for name in ("sacp", "sacp-2", "l1")}
    few = Experiments(resolved(value))
    assert not few.needs(DEMO, "sparse")
    assert not few.needs(DEMO, "data")


@pytest.mark.parametrize(
    ("share", "size", "number"), [(0.3, 10, 10), (0.5, 10, 10), (0.5, 3, 12), (0.01, 1, 1), (0.51, 2, 12)]
)
def test_candidates_that_are_labelled_are_whole_shards(share, size, number):
    assert labelled({"rerank": share}, {"top_m": 20, "shard_size": size}) == number
    assert labelled({}, {"top_m": 20, "shard_size": size}) == 0


def test_a_search_that_ranks_anew_says_after_how_many():
    plan = Experiments(demo(sacp={"kind": "search", "rerank": 0.3}))
    assert [plan.labelled(place(name)) for name in ("sacp", "log-mass")] == [10, 0]


def test_encoders_are_those_of_the_searches_and_then_those_that_are_compared(plan):
    found = plan.encoders(DEMO)
    compared = ["literal", "literal-original", "contrastive-configuration", "untrained"]
    assert list(found) == ["sacp", "sacp-deficit", "sacp-1", *compared]
    assert found["sacp-deficit"] == plan.method(place("sacp-deficit"))["encoder"]
    assert (found["literal"]["objective"], found["untrained"]["epochs"]) == ("literal", 0)


def without(*keys: str) -> dict[str, Any]:
    """The demo's config with `log-mass` alone, and without some keys of its defaults."""
    value = unresolved()
    value["defaults"]["methods"] = {"log-mass": {"kind": "search", "score": "log-mass", "search": "exact"}}
    return value | {"defaults": {key: part for key, part in value["defaults"].items() if key not in keys}}


def test_figures_of_encoders_are_drawn_where_there_is_one(plan):
    of_encoders = {"encoder_loss", "embedding"}
    assert of_encoders < set(plan.figures(DEMO))
    closed = Experiments(resolved(without()))
    assert closed.figures(DEMO) == [name for name in plan.figures(DEMO) if name not in of_encoders]


def test_an_experiment_without_a_search_has_no_figures():
    value = unresolved()
    value["experiments"]["bare"] = value["experiments"][DEMO]
    settings = resolved(value)
    settings["experiments"]["bare"]["methods"] = {}
    plan = Experiments(settings)
    assert (plan.names, plan.drawn()) == ([DEMO, "bare"], [DEMO])


def test_the_table_of_predictors_is_made_where_they_are_compared(plan):
    assert plan.studied() == [DEMO]
    assert "predictors" in plan.tables()
    plain = Experiments(resolved(without("predictors")))
    assert plain.studied() == []
    assert plain.tables() == [name for name in plan.tables() if name != "predictors"]


def test_sizes_of_the_sweep_ascend_and_hold_m(plan):
    assert plan.sweep_sizes(DEMO) == [10, 20]
    value = unresolved()
    value["experiments"][DEMO]["sweep"] = {"m": [20, 15, 5]}
    assert Experiments(resolved(value)).sweep_sizes(DEMO) == [5, 15, 20]


def test_network_settings_hold_the_shape_of_the_data():
    config = shipped("imagenet")
    [experiment] = config["experiments"].values()
    found = network_settings(experiment, config["datasets"])
    shape = {"in_channels": 3, "image_size": 224, "num_classes": 1000}
    assert found == {"name": experiment["network"]["name"], "width": 1.0, **shape}


def test_places_of_the_plan_are_settings_of_the_config(plan):
    assert plan.settings(place("l1")) is plan.of(DEMO) is plan.resolved["experiments"][DEMO]
    assert plan.method(place("l1")) == {"kind": "uniform", "match": "sacp"}
