"""What each stage's settings hold: what it uses, no more, and the code that it is told to load."""

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import rulebook
from checkout import ROOT
from configs import DEMO, demo, resolved, unresolved
from sacp.plan.choices import Choices
from sacp.plan.experiments import Experiments, Values
from sacp.plan.paths import Paths
from sacp.plan.stages import Stages, functions, ordered, score_settings

SEARCHES = ["sacp", "sacp-deficit", "log-mass", "sacp-1"]
SELECTED = ["l1", "random", "fpgm", "hrank", "thinet", "slimming"]
TRAINED = [*SEARCHES, "sacp-2", *SELECTED, "abcpruner"]
DIGITS, UNIFORM, L1 = "sacp.images.digits:read", "sacp.baselines.uniform:select", "sacp.baselines.weights:l1"
ENCODER, LOG_MASS = "sacp.encoder.scorer:of_file", "sacp.search.log_mass:values"
NETWORK = "my.package:build"
CAPTIONS = ROOT / "rules/captions"
OF_METHODS = {  # stages of a method, and the demo's methods that have them
    "encoder": ["sacp", "sacp-deficit", "sacp-1", "literal", "untrained"],
    "scoring": SEARCHES, "tuning": SEARCHES, "reranking": SEARCHES, "find": ["log-mass"], "baseline": SELECTED,
    "colony": ["abcpruner"], "candidate": TRAINED,
    "training_baseline": [],  # none in the demo
}  # fmt: skip
OF_EXPERIMENTS = (
    "base", "sparse", "sample", "probes", "predictors", "network", "trace", "latency", "sensitivity",
    "methods", "searches", "encoder_losses", "method_figure", "responses", "embedding", "sweeps", "accuracy_flops",
)  # fmt: skip
IN_THE_CONFIGS_ORDER = ("table3", "table4", "responses")  # stages whose dicts' order is one of rows or panels


def place(method: str = "") -> Values:
    return Values(DEMO, "0", method, rung="0")


def stages_of(config: dict[str, Any]) -> Stages:
    return Stages(Experiments(config))


@pytest.fixture(scope="module")
def stages() -> Stages:
    return stages_of(demo())


def every(stages: Stages) -> dict[str, dict[str, Any]]:
    """Settings of all stages of the demo, by the stage's name and the method's."""
    found = {name: getattr(stages, name)(place()) for name in OF_EXPERIMENTS}
    for name, methods in OF_METHODS.items():
        found |= {f"{name} {method}": getattr(stages, name)(place(method)) for method in methods}
    found |= {f"protocol {method}": stages.protocol(place(method), {"code": "0"}) for method in TRAINED}
    found |= {"dataset": stages.dataset("digits"), "table3": stages.table3(), "table4": stages.table4()}
    return found | {"summary": stages.summary(CAPTIONS), "forecast": stages.forecast(2, None)}


def leaves(value: Any, at: str = "") -> dict[str, Any]:
    """Values of nested dicts by their paths."""
    if not isinstance(value, Mapping):
        return {at: value}
    return {path: leaf for key, each in value.items() for path, leaf in leaves(each, f"{at}.{key}".strip(".")).items()}


def differences(one: Any, other: Any) -> set[str]:
    """Paths at which two dicts differ."""
    first, second = leaves(one), leaves(other)
    return {path for path in first.keys() | second.keys() if first.get(path, ...) != second.get(path, ...)}


def test_stages_of_this_test_are_all_that_there_are(stages):
    public = {name for name in dir(stages) if not name.startswith("_") and callable(getattr(stages, name))}
    here = {*OF_EXPERIMENTS, *OF_METHODS, "rung", "protocol", "dataset", "table3", "table4", "summary", "forecast"}
    assert public - {"parts", "score", "figure", "measured"} == here  # three are parts of others, one is no settings


def test_no_function_of_a_rule_takes_any_named_argument():
    """Snakemake would hand it all of a job, with its resources and paths, and a new TMPDIR would rerun the stage."""
    found = set(re.findall(r"\b(stages|paths|choices)\.(\w+)\b(?!\()", "".join(rulebook.rules().values())))
    owners = {"stages": Stages, "paths": Paths, "choices": Choices}
    assert len(found) > 30
    for owner, name in found:
        kinds = {each.kind for each in inspect.signature(getattr(owners[owner], name)).parameters.values()}
        assert not kinds & {inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL}, name


def test_settings_have_the_keys_of_all_their_dicts_sorted(stages):
    def is_sorted(value: Any) -> bool:
        if isinstance(value, Mapping):
            return list(value) == sorted(value) and all(map(is_sorted, value.values()))
        return not isinstance(value, list) or all(map(is_sorted, value))

    unsorted = [name for name, cfg in every(stages).items() if not is_sorted(cfg)]
    # The rules sort a protocol with what they add to it.
    assert set(unsorted) - {f"protocol {method}" for method in TRAINED} == set(IN_THE_CONFIGS_ORDER)
    assert all(is_sorted(ordered(cfg)) and ordered(cfg) == cfg for cfg in every(stages).values())


def test_the_order_of_keys_in_a_config_changes_no_settings_but_those_of_rows_and_panels(stages):
    def turned(value: Any) -> Any:
        return {key: turned(value[key]) for key in reversed(value)} if isinstance(value, dict) else value

    before, after = every(stages), every(stages_of(turned(demo())))
    order_means_something = {
        *IN_THE_CONFIGS_ORDER, "methods", "searches", "encoder_losses", "sweeps", "accuracy_flops", "embedding",
        "latency", "method_figure",  # shows the first search
    }  # fmt: skip
    assert {name for name in before if repr(before[name]) != repr(after[name])} - order_means_something <= {
        "summary", *(f"protocol {method}" for method in TRAINED),
    }  # fmt: skip


def test_rows_and_panels_stand_in_the_configs_order(stages):
    assert list(stages.table3()["models"][DEMO]["methods"]) == [
        "sacp", "sacp-deficit", "log-mass", "sacp-1", "sacp-2", "l1", "random", "fpgm", "hrank", "thinet", "slimming",
        "abcpruner",
    ]  # fmt: skip
    assert list(stages.table4()["models"][DEMO]["methods"]) == [*SEARCHES, "sacp-2"]


def test_table_3_is_told_what_methods_can_remove_and_whose_flops_they_have_to_meet(stages):
    found = stages.table3()["models"][DEMO]["spaces"]
    assert found["l1"] == {"match": "sacp", "space": "all groups, by one ratio"}
    assert found["sacp-2"] == found["sacp"] == {"match": None, "space": "all groups"}
    assert list(found) == list(stages.table3()["models"][DEMO]["methods"])
    value = unresolved()
    value["experiments"] = {name: value["experiments"][DEMO] for name in "bca"}
    several = stages_of(resolved(value))
    assert list(several.table3()["models"]) == list(several.table4()["models"]) == ["b", "c", "a"]
    assert list(stages.responses(place())["scores"]) == SEARCHES
    assert stages.searches(place())["methods"] == SEARCHES
    assert stages.encoder_losses(place())["methods"] == ["sacp", "sacp-deficit", "sacp-1"]


@pytest.mark.parametrize(
    ("stage", "one", "other", "paths"),
    [
        (
            "scoring", "sacp", "sacp-deficit",
            {f"score.settings.{name}" for name in ("features", "negatives", "score", "temperature")},
        ),
        ("scoring", "sacp", "sacp-1", {"score.settings.objective", "score.settings.epochs"}),
        ("encoder", "sacp", "sacp-1", {"encoder.objective", "encoder.epochs"}),
        ("encoder", "sacp", "literal", {"encoder.objective", "encoder.anchor"}),
        ("encoder", "sacp", "untrained", {"encoder.epochs"}),
        ("baseline", "l1", "fpgm", {"criterion.function"}),
        ("baseline", "hrank", "thinet", {"criterion.function"}),
        ("baseline", "l1", "hrank", {"criterion.function", "criterion.images"}),
        ("baseline", "l1", "random", {"function"}),
        ("baseline", "l1", "slimming", {"function", "criterion.function", "criterion.images"}),
        ("candidate", "sacp", "log-mass", set()),
        ("candidate", "sacp", "l1", set()),
        ("candidate", "sacp", "abcpruner", set()),
        ("candidate", "sacp", "sacp-2", {"stream"} | {f"recipe.{name}" for name in ("epochs", "lr", "validate_every")}),
        ("tuning", "sacp", "sacp-1", set()),
        ("tuning", "sacp", "log-mass", set()),
    ],
)  # fmt: skip
def test_settings_of_two_methods_differ_in_what_the_methods_do(stages, stage, one, other, paths):
    first, second = (getattr(stages, stage)(place(name)) for name in (one, other))
    assert differences(first, second) == paths


def test_scores_of_an_encoder_and_of_a_closed_form_differ_in_function_and_settings(stages):
    encoder, closed = (stages.scoring(place(name)) for name in ("sacp", "log-mass"))
    assert set(encoder) == set(closed) == {"network", "score", "search", "space"}
    assert {path.partition(".")[0] for path in differences(encoder, closed)} == {"score"}
    assert closed["score"] == {
        "additive": True,
        "function": LOG_MASS,
        "needs": [],
        "settings": {"channels": 0.5, "positions": 0},
    }
    assert (encoder["score"]["additive"], encoder["score"]["function"]) == (False, ENCODER)
    assert encoder["score"]["settings"] == demo()["experiments"][DEMO]["methods"]["sacp"]["encoder"]


@pytest.mark.parametrize(("score", "settings"), [("random", {}), ("pruning-ratio", {}), ("my.package:values", {})])
def test_a_closed_form_without_settings_has_none(score, settings):
    found = score_settings({"kind": "search", "score": score, "search": "sample"})
    assert (found["additive"], found["settings"]) == (True, settings)


def test_the_protocol_holds_k_where_a_winner_is_chosen_from_several(stages):
    code = {"train_candidate": "0"}
    search, tuned, baseline = (stages.protocol(place(name), code) for name in ("sacp", "sacp-2", "l1"))
    assert (search["top_k"], tuned["top_k"], baseline["trainings"]) == (3, 1, 3)
    assert search == stages.candidate(place("sacp")) | {"training": code, "top_k": 3}
    assert differences(search, baseline) == {"top_k", "trainings"}


def test_a_search_of_its_own_has_its_way_and_the_number_that_is_tuned(stages):
    found = stages.find(place("log-mass"))
    assert found == stages.scoring(place("log-mass")) | {"way": "exact", "top_m": 20}


def test_a_searchs_own_budget_stands_in_place_of_that_of_all():
    config = demo()
    config["experiments"][DEMO]["search"]["budget"] = {"flops": 0.5, "parameters": 0.5}
    config["experiments"][DEMO]["methods"]["log-mass"]["budget"] = {"flops": 0.3}
    found = {name: stages_of(config).scoring(place(name))["search"] for name in ("sacp", "log-mass")}
    assert (found["sacp"]["budget"], found["log-mass"]["budget"]) == ({"flops": 0.5, "parameters": 0.5}, {"flops": 0.3})
    assert differences(found["sacp"], found["log-mass"]) == {"budget.flops", "budget.parameters"}


def test_a_rung_is_tuned_as_all_candidates_are_and_after_the_first_in_no_precision_of_its_own(stages):
    first, *later = (stages.rung(Values(DEMO, "0", "sacp", rung=str(rung))) for rung in range(3))
    assert first == stages.tuning(place("sacp"))
    assert differences(first, later[0]) == {"engine.precision", "engine.deterministic", "deterministic"}
    assert later[0] == later[1]
    assert later[0]["deterministic"] is True


def test_halving_changes_no_settings_but_those_that_show_all_of_refine(stages):
    config = demo()
    config["experiments"][DEMO]["refine"]["halving"] = True
    before, after = every(stages), every(stages_of(config))
    assert {name for name in before if before[name] != after[name]} == WHOLE_RUN | {"method_figure"}


def test_a_data_set_has_its_reader_and_the_form_of_its_images():
    value = unresolved()
    value["datasets"]["tree"] = {"source": "imagefolder", "path": "x", "classes": 7}
    stages = stages_of(resolved(value))
    digits = {"source": "digits", "reader": DIGITS, "image_size": 8, "classes": 10, "channels": 1}
    assert stages.dataset("digits") == digits
    assert stages.dataset("tree") == {
        "source": "imagefolder", "path": "x", "reader": "sacp.images.folder:read", "image_size": 224, "classes": 7,
        "channels": 3,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("weights", "published"),
    [
        (None, None),
        ("mine/base.pt", None),
        ("best.pth.tar", None),
        ("model.bin", None),
        ("ResNet18_Weights.IMAGENET1K_V1", "ResNet18_Weights.IMAGENET1K_V1"),
    ],
)
def test_published_weights_stand_in_the_settings_and_files_do_not(weights, published):
    value = unresolved()
    value["experiments"][DEMO]["network"] |= {"weights": weights} if weights else {}
    found = stages_of(resolved(value)).base(place())
    assert found["published_weights"] == published
    assert "weights" not in found["network"]


TUNED = {f"tuning {name}" for name in SEARCHES}
TUNING = TUNED | {"colony abcpruner", "candidate sacp-2", "protocol sacp-2"}
WHOLE_RUN = {"forecast", "summary"}
UNUSED = ("latency", "sensitivity")  # parts that no stage of the demo takes: the page of the run does not show them
FULL = {f"{stage} {name}" for stage in ("candidate", "protocol") for name in TRAINED if name != "sacp-2"}
SCORED = {*(f"scoring {name}" for name in SEARCHES), "find log-mass"}
OF_THE_SPACE = SCORED | {f"{name} {method}" for name in ("encoder", "baseline") for method in OF_METHODS[name]}
TRAININGS = FULL | TUNING | {"base", "sparse", "sample"}


@pytest.mark.parametrize(
    ("key", "value", "stages_that_change"),
    [
        # The sample is tuned as the candidates are, where a config says nothing else.
        ("tune/lr", 0.5, TUNING | {"sample"}),
        ("full/lr", 0.5, FULL),
        ("tune/distill_weight", 0.5, TUNING | {"sample"}),
        ("full/distill_weight", 0.5, FULL),
        ("base/epochs", 99, {"base"}),
        ("sparse/bn_l1", 0.5, {"sparse"}),
        ("colony/food", 9, {"colony abcpruner"}),
        ("refine/top_k", 2, {f"protocol {name}" for name in TRAINED if name != "sacp-2"} | {"sweeps", "method_figure"}),
        ("methods/l1/trainings", 2, {"protocol l1"}),
        ("calibration", 500, TRAININGS - {"base", "sparse"} | {"probes", "predictors"}),
        ("refine/top_m", 19, {"find log-mass", "sweeps", "method_figure"}),
        ("refine/shard_size", 7, {"method_figure"}),
        ("search/keep", 1000, SCORED),
        ("search/found", 999, SCORED | {"method_figure"}),
        ("space/threshold", 0.5, OF_THE_SPACE | {"method_figure"}),
        ("sweep/m", [5], {"sweeps"}),
        ("predictors/sample", 30, {"probes", "predictors"}),
        ("predictors/zero_cost", ["near"], {"probes", "predictors"}),
        ("predictors/encoders/untrained/hidden", 8, {"encoder untrained", "predictors"}),
        ("methods/sacp-1/labels", 30, {"table3", "table4"}),
        ("methods/log-mass/exponents/positions", 1, {"scoring log-mass", "find log-mass", "responses"}),
        ("methods/log-mass/budget", {"flops": 0.3}, {"scoring log-mass", "find log-mass"}),
        ("search/budget", {"flops": 0.3}, SCORED),
        ("sensitivity/images", 100, {"sensitivity"}),
        ("space/round_to", 2, {"trace"} | OF_THE_SPACE | {"method_figure"}),
        ("latency/seconds", 1, {"latency"}),
        ("methods/fpgm/criterion", "thinet", {"baseline fpgm"}),
        ("methods/log-mass/criterion", "thinet", {f"{name} log-mass" for name in ("tuning", "candidate", "protocol")}),
        ("methods/log-mass/criterion", "l1", set()),
        # SACP-2 takes the candidates of its match as they were tuned.
        (
            "methods/sacp/criterion",
            "fpgm",
            {
                "tuning sacp",
                "method_figure",
                *(f"{name} {method}" for name in ("candidate", "protocol") for method in ("sacp", "sacp-2")),
            },
        ),
        ("methods/log-mass/search", "local", {"find log-mass"}),
        ("reported", "resnet56", {"table3", "table4", "accuracy_flops"}),
        ("validation", 0.2, TRAININGS | {"probes", "sensitivity"} | {f"baseline {name}" for name in SELECTED}),
    ],
)
def test_a_setting_changes_the_stages_that_use_it_and_no_others(stages, key, value, stages_that_change):
    config = demo()
    *path, last = key.split("/")
    part = config["experiments"][DEMO]
    for name in path:
        part = part[name]
    part[last] = value
    if key.startswith("tune/"):
        config["experiments"][DEMO]["sample"][last] = value
    before, after = every(stages), every(stages_of(config))
    changed = {name for name in before if before[name] != after[name]}
    assert changed - WHOLE_RUN == stages_that_change
    assert changed & WHOLE_RUN == ({"forecast"} if path and path[0] in UNUSED else WHOLE_RUN)


def test_another_method_changes_no_other_methods_settings(stages):
    more = every(stages_of(demo(mine={"kind": "my.package:select", "match": "sacp"})))
    before = every(stages)
    assert {name for name in before if before[name] != more[name]} == WHOLE_RUN | {
        "methods", "table3", "accuracy_flops", "latency",
    }  # fmt: skip


def test_functions_are_the_import_paths_that_a_stage_is_told_to_load(stages):
    found = {name: functions(cfg) for name, cfg in every(stages).items() if functions(cfg)}
    encoders = {name: (ENCODER,) for name in ("scoring sacp", "scoring sacp-deficit", "scoring sacp-1")}
    assert found == encoders | {
        "dataset": (DIGITS,),
        "scoring log-mass": (LOG_MASS,), "find log-mass": (LOG_MASS,), "responses": (ENCODER, LOG_MASS),
        "baseline l1": (UNIFORM, L1), "baseline random": ("sacp.baselines.random_ratios:select", L1),
        "baseline fpgm": ("sacp.baselines.fpgm:orders", UNIFORM),
        "baseline hrank": ("sacp.baselines.hrank:orders", UNIFORM),
        "baseline thinet": ("sacp.baselines.thinet:orders", UNIFORM),
        "baseline slimming": ("sacp.baselines.slimming:select",),
    }  # fmt: skip


def test_a_score_that_is_far_from_linear_is_made_so_where_candidates_are_ranked_anew(stages):
    settings = {"kind": "search", "score": "sensitivity", "weighting": {"form": "inverse", "channels": 1}}
    stages_of_both = stages_of(demo(sensitive=settings))
    cfg = stages_of_both.reranking(place("sensitive"))
    assert cfg["line"]["function"] == "sacp.search.sensitivity:linear"
    assert cfg["line"]["settings"] == stages_of_both.score(place("sensitive"))["settings"]
    assert cfg["line"]["settings"]["form"] == "inverse"
    assert functions(cfg) == ("sacp.search.sensitivity:linear",)
    for name in SEARCHES:  # no digest of theirs has changed
        assert stages_of_both.reranking(place(name)) == stages.network(place(name))


def own(network: str = "resnet14") -> Stages:
    """The demo with functions and a network by import paths of the user's."""
    value = unresolved()
    value["defaults"]["methods"] |= {
        "selected": {"kind": "my.package:select", "match": "sacp", "criterion": "my.package:order"},
        "ordered": {"kind": "uniform", "match": "sacp", "criterion": "my.package:order"},
        "closed": {"kind": "search", "score": "my.package:values", "search": "exact"},
    }
    value["experiments"][DEMO]["network"] = {"name": network}
    return stages_of(resolved(value))


@pytest.mark.parametrize(
    ("stage", "method", "paths"),
    [
        ("baseline", "selected", ("my.package:order", "my.package:select")),
        ("baseline", "ordered", ("my.package:order", UNIFORM)),
        ("scoring", "closed", ("my.package:values",)),
        ("find", "closed", ("my.package:values",)),
        ("candidate", "selected", ()),
        ("candidate", "closed", ()),
        ("tuning", "closed", ()),
        ("responses", "", ("my.package:values", ENCODER, LOG_MASS)),
    ],
)
def test_the_users_functions_are_loaded_where_they_are_used_and_so_is_the_users_network(stage, method, paths):
    assert functions(getattr(own(), stage)(place(method))) == paths
    assert functions(getattr(own(NETWORK), stage)(place(method))) == tuple(sorted({*paths, NETWORK}))


@pytest.mark.parametrize("stage", [*(name for name in OF_EXPERIMENTS if name != "responses"), "colony"])
def test_a_network_by_an_import_path_is_all_that_other_stages_load_and_only_where_they_build_it(stage):
    cfg = getattr(own(NETWORK), stage)(place("abcpruner"))
    assert functions(cfg) == ((NETWORK,) if "network" in cfg else ())


def test_zero_cost_predictors_are_loaded_where_they_are_computed_alone():
    config, plain = demo(), stages_of(demo())
    config["experiments"][DEMO]["predictors"]["zero_cost"] = ["zen", "nsc"]
    more = stages_of(config)
    found = functions(more.probes(place()))
    assert found == ("sacp.search.spectral_capacity:of_network", "sacp.training.zero_cost:zen")
    assert functions(more.predictors(place())) == functions(plain.probes(place())) == ()
    assert more.predictors(place())["zero_cost"] == ["zen", "nsc"]
    assert not {"zero_cost"} & (plain.probes(place()).keys() | plain.predictors(place()).keys())


def test_the_whole_runs_settings_load_nothing():
    stages = own(NETWORK)
    for cfg in (stages.forecast(2, 1), stages.summary(CAPTIONS), stages.table3(), stages.table4()):
        assert functions(cfg) == ()


def test_rules_count_the_code_that_their_settings_tell_them_to_load():
    """The digests of a rule's code are taken with the stage whose settings it has, wherever these name a function."""
    stages, checked = own(NETWORK), set[str]()
    for rule, text in rulebook.rules().items():
        if stage := re.search(r"cfg=stages\.(\w+),", text):
            settings: Callable[[Values], dict[str, Any]] = getattr(stages, stage[1])
            method = {"baseline": "selected", "find": "closed", "scoring": "closed"}.get(stage[1], "sacp")
            if functions(settings(place(method))):
                assert re.search(rf'code=code\("\w+", stages\.{stage[1]}\)', text), rule
                checked.add(rule)
    assert {"select_baseline", "score_candidates", "find_configs", "train_base", "draw_responses"} <= checked


def test_settings_that_all_share_are_those_of_the_config():
    stages = stages_of(resolved(unresolved() | {"device": "cpu", "precision": "bfloat16", "processes": 3}))
    found = stages.base(place())
    assert (found["device"], found["processes"]) == ("cpu", 3)
    assert found["engine"] == {"deterministic": True, "precision": "bfloat16"}
    assert (stages.forecast(4, 1)["cores"], stages.forecast(4, 1)["gpus"]) == (4, 1)


def test_a_forecast_measures_scores_readers_and_networks_and_no_criterion():
    mass = {"kind": "search", "score": "own.scores:mass", "search": "exact"}
    measured = stages_of(demo(mass=mass)).measured()
    assert measured == (
        "own.scores:mass", "sacp.encoder.scorer:of_file", "sacp.images.digits:read", "sacp.search.log_mass:values",
    )  # fmt: skip


@pytest.mark.parametrize("sample", [0, 5])
def test_a_forecast_measures_zero_cost_predictors_where_any_are_computed(sample):
    config = demo()
    config["experiments"][DEMO]["predictors"] |= {"zero_cost": ["zen"], "sample": sample}
    assert ("sacp.training.zero_cost:zen" in stages_of(config).measured()) == (sample > 0)


OTO = {"kind": "oto", "match": "sacp"}


def test_a_baseline_that_trains_has_its_recipe_its_own_settings_and_whose_weights_go_on():
    own, base = (stages_of(demo(oto=OTO | more)).training_baseline(place("oto")) for more in ({"weights": "own"}, {}))
    assert differences(own, base) == {"own_weights"}
    assert (own["function"], own["own_weights"]) == ("sacp.baselines.oto:select", True)
    assert functions(own) == ("sacp.baselines.oto:select",)
    assert own["options"] == {
        "optimiser": "dhspg", "start": 0, "penalty": 0.001, "half_space": 0.95, "end": 0.5, "periods": 10,
    }  # fmt: skip
    hesso = stages_of(demo(oto=OTO | {"oto": {"optimiser": "hesso"}})).training_baseline(place("oto"))
    assert differences(hesso, base) == {"options.optimiser"}
    assert set(base) == {
        "network", "calibration", "device", "engine", "selection", "space", "validation", "function", "options",
        "own_weights",
    }  # fmt: skip


def test_the_recipe_of_baselines_that_train_is_there_where_one_does():
    assert "selection" not in demo()["experiments"][DEMO]
    with_one = demo(oto=OTO)["experiments"][DEMO]
    assert (with_one["selection"]["epochs"], with_one["selection"]["lr"]) == (50, 0.1)
    assert "oto" not in with_one["methods"]["l1"]
    before, after = every(stages_of(demo())), every(stages_of(demo(oto=OTO)))
    assert {name for name in before if before[name] != after[name]} == WHOLE_RUN | {
        "methods", "table3", "accuracy_flops", "latency",
    }  # fmt: skip
