"""The catalogue against what it names: functions, rules, captions, and the schema's keys and choices."""

import inspect
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import rulebook
import yaml
from checkout import ROOT
from configs import SCHEMA, read
from sacp import imports
from sacp.artefacts.digests import modules
from sacp.catalogue import criteria, departures, kinds, outputs, page, predictors, scores, sources
from sacp.compute.arithmetic import AUTO, PRECISIONS
from sacp.encoder.model import CHOICES, EncoderSettings
from sacp.errors import InputError
from sacp.forecast.jobs import STRUCTURES
from sacp.report.tables import CAPTIONS
from sacp.search.find import WAYS

EXPERIMENT = yaml.safe_load(SCHEMA.read_text())["$defs"]["experiment"]["properties"]
METHOD = EXPERIMENT["methods"]["additionalProperties"]["properties"]
DATASET = yaml.safe_load(SCHEMA.read_text())["properties"]["datasets"]["additionalProperties"]["properties"]
RULES = rulebook.rules()


def parameters(path: str) -> list[str]:
    """Names of the parameters of what an import path names, `**` before one that takes all others."""
    found = imports.load(path)
    assert callable(found)
    named = inspect.signature(found).parameters.values()
    return [f"**{each.name}" if each.kind is each.VAR_KEYWORD else each.name for each in named]


@pytest.mark.parametrize("name", criteria.CRITERIA)
def test_a_criterion_is_a_function_of_network_graph_batches_and_seed(name):
    known = criteria.criterion(name)
    assert parameters(known.function) == [*criteria.ARGUMENTS]
    assert known.images >= 0


@pytest.mark.parametrize("name", [name for name, kind in kinds.KINDS.items() if kind.function])
def test_a_baseline_that_its_rule_calls_is_a_function_of_a_task(name):
    function = kinds.kind(name).function
    assert function is not None
    assert parameters(function) == [*kinds.ARGUMENTS]


@pytest.mark.parametrize("name", scores.SCORES)
def test_a_score_is_a_function_of_network_graph_levels_and_its_own_settings(name):
    known = scores.score(name)
    if known.additive:
        settings = METHOD[known.settings]["properties"] if known.settings else {}
        assert parameters(known.function) == [*scores.ARGUMENTS, *known.needs, *settings]
    else:
        assert parameters(known.function) == ["encoder", *scores.ARGUMENTS, "**settings"]
    assert known.settings is None or known.settings in kinds.KINDS[kinds.SEARCH].keys


@pytest.mark.parametrize("name", sources.SOURCES)
@pytest.mark.parametrize("function", ["read", "check", "count"])
def test_a_source_is_a_module_whose_functions_take_an_entry_of_the_datasets(name, function):
    assert parameters(f"{sources.SOURCES[name].module}:{function}") == ["dataset"]


@pytest.mark.parametrize("name", predictors.ZERO_COST)
def test_a_zero_cost_predictor_is_a_function_of_network_images_and_seed(name):
    assert parameters(predictors.ZERO_COST[name].function) == ["network", "images", "seed"]


def test_choices_of_the_schema_are_the_names_of_the_catalogue():
    assert EXPERIMENT["predictors"]["properties"]["zero_cost"]["items"]["enum"] == list(predictors.ZERO_COST)
    for name in sources.SOURCES:  # names that may be an import path, or that are looked up, are no choices of a schema
        assert f"`{name}`" in DATASET["source"]["description"]
    for key, names in (("kind", kinds.KINDS), ("criterion", criteria.CRITERIA), ("score", scores.SCORES)):
        assert [name for name in names if f"`{name}`" not in METHOD[key]["description"]] == []
    assert METHOD["search"]["enum"] == list(scores.SEARCHES) == [scores.SAMPLE, *WAYS]


def test_keys_of_the_schemas_datasets_are_those_of_the_sources():
    assert set(DATASET) - {"source"} == {key for source in sources.SOURCES.values() for key in source.keys}


def test_keys_of_the_schemas_methods_are_those_of_the_kinds():
    assert {key for kind in kinds.KINDS.values() for key in kind.keys} == set(METHOD) - set(kinds.ALWAYS)


def test_defaults_are_in_the_catalogue():
    assert criteria.DEFAULT in criteria.CRITERIA
    assert scores.DEFAULT in scores.SCORES


@pytest.mark.parametrize("name", [name for name, kind in kinds.KINDS.items() if kind.is_baseline])
def test_a_baselines_rule_gets_the_inputs_and_settings_that_the_catalogue_names(name):
    kind = kinds.kind(name)
    text = RULES[kind.rule]
    assert f'method=experiments.made_by("{kind.rule}")' in text
    assert 'kept="<results>/{experiment}/seed{seed}/{method}/kept.json"' in text
    # Where a rule serves several kinds, an input function hands out what each of them takes.
    assert all(f"{each}=" in text for each in kind.inputs) or "unpack(paths.selection_inputs)" in text
    assert set(kind.settings) <= set(EXPERIMENT)
    assert kind.tunings is None or kind.tunings in set(kind.settings) & set(STRUCTURES)


def test_a_run_of_all_methods_has_a_method_of_every_kind():
    methods = read("demo_all")["defaults"]["methods"].values()
    assert {method["kind"] for method in methods} == set(kinds.KINDS)


def test_a_rule_that_serves_several_kinds_calls_the_function_of_each():
    made = [kind for kind in kinds.KINDS.values() if kind.is_baseline]
    for rule in {kind.rule for kind in made}:
        served = [kind.function for kind in made if kind.rule == rule]
        assert len(served) == 1 or None not in served


@pytest.mark.parametrize("name", outputs.FIGURES)
def test_a_figure_has_a_rule_and_a_caption(name):
    assert f'**figure("{name}")' in RULES[f"draw_{name}"]
    assert (ROOT / f"rules/captions/{name}.rst").read_text().strip()


@pytest.mark.parametrize("name", outputs.TABLES)
def test_a_table_has_a_rule_and_captions(name):
    assert f'**table("{name}")' in RULES[f"make_{name}"]
    assert (ROOT / f"rules/captions/{name}.rst").read_text().strip()
    assert CAPTIONS[name]


def test_every_figure_table_and_caption_of_the_rules_is_in_the_catalogue():
    assert {rule for rule in RULES if rule.startswith("draw_")} == {f"draw_{name}" for name in outputs.FIGURES}
    tables = {rule for rule, text in RULES.items() if re.search(r"\*\*table\(", text)}
    assert tables == {f"make_{name}" for name in outputs.TABLES}
    captions = {path.stem for path in (ROOT / "rules/captions").glob("*.rst")}
    assert captions - {"summary", "workflow"} == {*outputs.FIGURES, *outputs.TABLES}
    assert set(CAPTIONS) == set(outputs.TABLES)


def source(name: str) -> Any:
    return sources.source({"source": name})


@pytest.mark.parametrize(
    ("look_up", "wrong", "message"),
    [
        (kinds.kind, "slimmng", "unknown kind 'slimmng' (did you mean 'slimming'?); known: "),
        (criteria.criterion, "fgpm", "unknown criterion 'fgpm' (did you mean 'fpgm'?); known: "),
        (scores.score, "logmass", "unknown score 'logmass' (did you mean 'log-mass'?); known: "),
        (source, "parket", "unknown source 'parket' (did you mean 'parquet'?); known: "),
        (outputs.figure, "sweep", "unknown figure 'sweep' (did you mean 'sweeps'?); known: "),
        (kinds.kind, "zzzzzz", "unknown kind 'zzzzzz'; known: "),
        (kinds.kind, "mine.select", "unknown kind 'mine.select'"),
        (scores.score, ":score", "unknown score ':score'"),
        (criteria.criterion, "mine:", "unknown criterion 'mine:'"),
        (source, "mine:read", "unknown source 'mine:read'"),
        (outputs.figure, "mine:draw", "unknown figure 'mine:draw'"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_one(look_up: Callable[[str], Any], wrong: str, message: str):
    with pytest.raises(InputError) as caught:
        look_up(wrong)
    assert str(caught.value).startswith(message)
    accepts_paths = look_up in (kinds.kind, criteria.criterion, scores.score)
    assert str(caught.value).endswith(" or an import path 'module:function'") == accepts_paths
    assert "\n" not in str(caught.value)


def test_an_import_path_is_a_baseline_that_may_look_at_images():
    kind = kinds.kind("my.package:select")
    assert (kind.function, kind.rule, kind.is_baseline) == ("my.package:select", "select_baseline", True)
    assert kind.inputs == ("data",)
    assert kind.keys == ("criterion", "trainings")


@pytest.mark.parametrize("name", [name for name, kind in kinds.KINDS.items() if kind.other_space])
def test_what_a_kind_can_remove_hangs_on_an_option_of_the_schema(name):
    kind = kinds.kind(name)
    option, value, other = kind.other_space
    known = METHOD[kind.options]["properties"][option]
    assert value in known.get("enum", [False, True])
    assert value != known["default"]
    assert kinds.space({"kind": name, kind.options: {option: known["default"]}}) == kind.space
    assert kinds.space({"kind": name, kind.options: {option: value}}) == other != kind.space


@pytest.mark.parametrize(
    ("method", "space", "matched"),
    [
        ({"kind": "search"}, "all groups", None),
        ({"kind": "search", "match": "sacp"}, "all groups", "sacp"),
        ({"kind": "tuned", "match": "sacp"}, "all groups", None),  # a network of its match's, of whatever FLOPs
        ({"kind": "uniform", "match": "sacp"}, "all groups, by one ratio", "sacp"),
        ({"kind": "gal", "match": "sacp", "gal": {}}, "inner groups", "sacp"),
        ({"kind": "my.package:select", "match": "sacp"}, "what its function says", "sacp"),
    ],
)
def test_what_a_method_can_remove_and_whose_flops_it_has_to_meet(method, space, matched):
    assert (kinds.space(method), kinds.matched(method)) == (space, matched)


def test_an_import_path_is_a_criterion_that_sees_images():
    criterion = criteria.criterion("my.package:order")
    assert (criterion.function, criterion.images) == ("my.package:order", criteria.IMAGES)


def test_an_import_path_is_a_closed_form_without_settings():
    score = scores.score("my.package:values")
    assert (score.function, score.additive, score.settings) == ("my.package:values", True, None)


def test_names_are_looked_up_as_they_are_known():
    assert kinds.of({"kind": "colony"}) is kinds.KINDS["colony"]
    assert source("digits") is sources.SOURCES["digits"]
    assert outputs.figure("sweeps") is outputs.FIGURES["sweeps"]


@pytest.mark.parametrize(
    ("dataset", "shape"),
    [
        ({"source": "digits"}, (1, 8, 10)),
        ({"source": "imagefolder", "path": "x", "classes": 7}, (3, 224, 7)),
        ({"source": "imagefolder", "path": "x", "classes": 7, "image_size": 64}, (3, 64, 7)),
    ],
)
def test_the_shape_of_a_data_set_is_its_sources_or_its_own(dataset, shape):
    assert sources.shape(dataset) == shape


def test_the_catalogue_is_read_without_torch():
    names = "criteria, kinds, outputs, scores, sources"
    code = f"import sys; from sacp.catalogue import {names}; print('torch' in sys.modules)"
    environment = {"PYTHONPATH": str(ROOT / "scripts")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_a_job_knows_nothing_of_the_catalogue_but_the_forecast_does():
    """A new entry makes nothing run again that does not use it."""
    folder = ROOT / "scripts/sacp/catalogue"
    knowing = {
        path.stem
        for path in (ROOT / "scripts").glob("*.py")
        if any(module.is_relative_to(folder) for module in modules(path))
    }
    assert knowing == {"make_forecast", "compare_forecast"}


@pytest.mark.parametrize("rule", sorted({kind.rule for kind in kinds.KINDS.values() if kind.rule}))
def test_a_baselines_rule_is_a_checkpoint(rule):
    """Then a baseline that keeps the channels that it kept before is not trained again."""
    assert f"checkpoint {rule}:\n" in (ROOT / "rules/baselines.smk").read_text()


def test_a_kind_whose_function_no_rule_calls_is_refused():
    with pytest.raises(ValueError, match="needs select_baseline or train_baseline, and its settings space and val"):
        kinds.Kind("", "", "", (), function="sacp.baselines.uniform:select")
    with pytest.raises(ValueError, match="needs select_baseline"):
        kinds.Kind("", "", "", (), "select_baseline", "sacp.baselines.uniform:select")


def test_choices_of_an_encoder_and_of_the_precision_are_those_that_the_code_knows():
    schema = yaml.safe_load(SCHEMA.read_text())
    encoder = schema["$defs"]["encoder"]["properties"]
    assert {name: tuple(entry["enum"]) for name, entry in encoder.items() if "enum" in entry} == CHOICES
    assert tuple(schema["properties"]["precision"]["enum"]) == (AUTO, *PRECISIONS)


@pytest.mark.parametrize("name", CHOICES)
def test_an_unknown_choice_of_an_encoder_is_refused_and_taken_for_no_other(name):
    settings = {key: known[0] for key, known in CHOICES.items()}
    sizes = {"hidden": 4, "layers": 1, "temperature": 1.0, "epochs": 1, "batch_size": 2, "lr": 0.1}
    EncoderSettings(**settings, **sizes)
    with pytest.raises(InputError, match=f"encoder.{name}: unknown 'other'; known: {settings[name]}"):
        EncoderSettings(**settings | {name: "other"}, **sizes)


def test_all_that_was_published_by_others_says_in_what_it_differs_in_a_line_each():
    published = {name for name, kind in kinds.KINDS.items() if kind.is_baseline and kind.source}
    published |= {name for name in ("fpgm", "hrank", "thinet")}
    assert set(departures.DEPARTURES) == {departures.ALL} | published
    for lines in departures.DEPARTURES.values():
        assert lines
        for line in lines:
            assert line == line.strip(" .")
            assert not {"\n", "|"} & set(line)
            assert len(line) <= 120


def test_the_page_says_which_trainings_may_start_from_a_methods_own_weights():
    rows = [line.split(" | ") for line in page.tables()["kinds"].splitlines()[2:]]
    own = {row[0].strip("| `") for row in rows if row[5] == "base, or own"}
    assert own == {name for name, kind in kinds.KINDS.items() if kinds.WEIGHTS in kind.keys} == {"oto", "gal", "ato"}


def test_the_tables_of_the_docs_are_those_of_the_catalogue():
    text = (ROOT / "docs/methods.md").read_text()
    assert page.filled(text) == text, "make docs"
    assert page.filled(text.replace("| `fpgm` |", "| `fpmg` |")) == text
    for name in page.tables():
        assert page.BEGIN.format(name) in text
    for name in (*kinds.KINDS, *criteria.CRITERIA, *scores.SCORES, *scores.SEARCHES):
        assert f"| `{name}` |" in text
