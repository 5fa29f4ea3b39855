"""Where files lie: what stages read, and the records of a run."""

from collections import Counter
from typing import Any

import pytest
import rulebook
from configs import DEMO, demo, resolved, shipped, unresolved
from sacp.catalogue.outputs import FIGURES
from sacp.plan.experiments import Experiments, Values
from sacp.plan.paths import Paths, record_of

SEED = f"<results>/{DEMO}/seed0"
EXACT = {"kind": "search", "score": "log-mass", "search": "exact"}
SEARCHES = ["sacp", "sacp-deficit", "log-mass", "sacp-1"]


SHIPPED = ["config", "demo", "demo_all", "cifar10_cpu", "cifar10_score", "cifar10_study", "imagenet"]


def place(method: str, **more: str) -> Values:
    return Values(DEMO, "0", method, **more)


def paths_of(config: dict[str, Any]) -> Paths:
    return Paths(Experiments(config))


@pytest.fixture(scope="module")
def paths() -> Paths:
    return paths_of(demo())


@pytest.fixture(scope="module")
def two() -> Paths:
    """Two experiments, of two seeds, on two data sets; the second has methods of its own alone."""
    value = unresolved()
    common = value["defaults"].pop("methods")
    first = value["experiments"][DEMO]
    value["experiments"] = {
        "b": first | {"methods": {name: common[name] for name in ("l1", "sacp", "sacp-2")}},
        "a": first | {"methods": {"log-mass": EXACT}, "dataset": "few"},
    }
    value["datasets"]["few"] = {"source": "digits", "training_images": 500}
    return paths_of(resolved(value | {"seeds": [7, 3]}))


def with_m(number: int, size: int = 10) -> Paths:
    """The demo with so many tuned candidates, in shards of a size."""
    value = unresolved()
    own = {"refine": {"top_m": number, "top_k": 3, "shard_size": size}, "sweep": {"m": []}, "search": {"found": 2000}}
    value["experiments"][DEMO] |= own
    return paths_of(resolved(value))


def names(found: list[str]) -> list[str]:
    return [path.rpartition("/")[2] for path in found]


@pytest.mark.parametrize(
    ("number", "size", "shards"),
    [
        (20, 10, ["000-009.csv", "010-019.csv"]),
        (13, 10, ["000-009.csv", "010-012.csv"]),
        (11, 10, ["000-009.csv", "010-010.csv"]),
        (3, 10, ["000-002.csv"]),
        (2000, 995, ["000-994.csv", "995-1989.csv", "1990-1999.csv"]),
    ],
)
def test_shards_are_named_by_their_first_and_last_rank(number, size, shards):
    found = with_m(number, size).shards(place("sacp"))
    assert names(found) == shards
    assert all(path.startswith(f"{SEED}/sacp/topm/") for path in found)


def test_raising_m_renames_no_shard_but_a_last_one_that_was_cut_short():
    few, more = (with_m(number).shards(place("sacp")) for number in (13, 27))
    assert more[:1] == few[:1]
    assert few[1] not in more
    full, more = (with_m(number).shards(place("sacp")) for number in (20, 27))
    assert more[:2] == full


def test_shards_of_a_sample_say_of_what_and_which_time(paths):
    folder = f"{SEED}/sample/training/repeat1"
    assert paths.sample_shards(place(""), "training", 12, 1) == [f"{folder}/000-009.csv", f"{folder}/010-011.csv"]


def test_labels_are_the_sample_that_a_regression_learns_from(paths):
    folder = f"{SEED}/sample/training/repeat0"
    assert paths.labels(place("sacp-1")) == {"labels": [f"{folder}/000-009.csv", f"{folder}/010-019.csv"]}
    assert paths.labels(place("sacp")) == {}
    assert paths.labels(place("literal")) == {}  # an encoder that is only compared is no method


def test_shards_after_those_that_teach_are_ranked_by_what_was_learned():
    paths = paths_of(demo(sacp={"kind": "search", "rerank": 0.3}))
    assert names(paths.labelled_shards(place("sacp"))) == ["000-009.csv"]
    assert set(paths.labelled_shards(place("sacp"))) < set(paths.shards(place("sacp")))
    assert paths.ranks(place("sacp", first="000")) == f"{SEED}/sacp/scores.parquet"
    assert paths.ranks(place("sacp", first="010")) == f"{SEED}/sacp/rescored.parquet"
    assert paths.labelled_shards(place("log-mass")) == []
    for first in ("000", "010"):
        assert paths.ranks(place("log-mass", first=first)) == f"{SEED}/log-mass/scores.parquet"


def halved(**methods: dict[str, Any]) -> Paths:
    """The demo with successive halving: 20, 10 and 5 candidates in shards of 8."""
    value = demo(**methods)
    value["experiments"][DEMO]["refine"] |= {"halving": True, "shard_size": 8}
    return paths_of(value)


def test_each_rung_has_half_of_the_candidates_of_the_one_before_and_the_last_those_that_are_tuned_wholly():
    paths = halved()
    rungs = [paths.rung(place("sacp", rung=str(rung))) for rung in range(3)]
    assert [names(rung) for rung in rungs] == [
        ["000-007.csv", "008-015.csv", "016-019.csv"], ["000-007.csv", "008-009.csv"], ["000-004.csv"],
    ]  # fmt: skip
    assert all(path.startswith(f"{SEED}/sacp/topm/rung1/") for path in rungs[1])
    assert paths.shards(place("sacp")) == rungs[2]
    assert paths.shard_records(place("sacp")) == [f"{SEED}/sacp/topm/rung2/000-004.provenance.json"]


def test_a_rung_starts_from_the_scores_or_from_the_better_half_and_all_states_of_the_rung_before():
    paths, folder = halved(), f"{SEED}/sacp/topm"
    assert paths.into_rung(place("sacp", rung="0")) == {"scores": f"{SEED}/sacp/scores.parquet"}
    assert paths.into_rung(place("sacp", rung="2")) == {
        "kept": f"{folder}/rung1/kept.csv",
        "states": [f"{folder}/rung1/{name}.states.zip" for name in ("000-007", "008-009")],
    }


def test_a_winner_knows_of_the_candidates_that_did_not_come_through_a_rung(paths):
    dropped = [f"{SEED}/sacp/topm/rung{rung}/dropped.csv" for rung in (0, 1)]
    assert halved().judged(place("sacp")) == halved().judged(place("sacp-2")) == dropped
    assert paths.judged(place("sacp")) == halved().judged(place("l1")) == []
    assert halved().judged(place("abcpruner")) == paths.judged(place("abcpruner")) == [f"{SEED}/abcpruner/judged.csv"]


def test_every_rung_leaves_its_records_and_is_among_what_a_method_has_taken(paths):
    value = halved()
    found = rulebook.count(value.records(), value.experiments)
    before = rulebook.count(paths.records(), paths.experiments)
    changed = {rule: found[rule] for rule in found | before if found[rule] != before[rule]}
    assert changed == {"tune_rung": 4 * (3 + 2 + 1), "rank_rung": 4 * 2, "tune_shard": 0} | {
        "tune_sample": 3 + 2 * 3,  # shards of eight here too
    }
    own = set(rulebook.count(value.spent(place("sacp")), value.experiments))
    assert {"tune_rung", "rank_rung", "rank_tuned"} <= own
    assert set(value.spent(place("sacp-2"))) >= set(value._search_records(place("sacp")))


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("sacp", f"{SEED}/configs.h5"), ("log-mass", f"{SEED}/log-mass/configs.h5"), ("sacp-2", f"{SEED}/configs.h5"),
        ("of-own", f"{SEED}/log-mass/configs.h5"),
    ],
)  # fmt: skip
def test_candidates_are_of_the_shared_sample_or_of_the_search_that_found_them(method, path):
    paths = paths_of(demo(**{"of-own": {"kind": "tuned", "match": "log-mass"}}))
    assert paths.candidates(place(method)) == path


def test_a_search_that_matches_another_looks_at_the_cost_of_its_winner(paths):
    assert paths.matched_winner(place("log-mass")) == {"winner": f"{SEED}/sacp/winner/cost.json"}
    assert paths.matched_winner(place("sacp")) == {}


def test_a_baseline_depends_on_the_cost_of_the_winner_that_it_matches_and_not_on_its_accuracy(paths):
    for method in ("l1", "slimming", "abcpruner"):
        assert paths.matched(place(method)) == f"{SEED}/sacp/winner/cost.json"


@pytest.mark.parametrize(
    ("method", "found"),
    [
        ("sacp", {"configs": f"{SEED}/configs.h5"}), ("log-mass", {"configs": f"{SEED}/log-mass/configs.h5"}),
        ("sacp-2", {"configs": f"{SEED}/configs.h5"}), ("l1", {"kept": f"{SEED}/l1/kept.json"}),
        ("abcpruner", {"kept": f"{SEED}/abcpruner/kept.json"}),
    ],
)  # fmt: skip
def test_channels_are_those_of_a_candidates_configuration_or_those_that_a_baseline_keeps(paths, method, found):
    assert paths.selection(place(method)) == found


@pytest.mark.parametrize(
    ("method", "wanted"),
    [
        ("l1", []), ("random", []), ("fpgm", []), ("hrank", ["data"]), ("thinet", ["data"]), ("slimming", ["sparse"]),
        ("mine", ["data"]), ("ordered", ["data"]),
    ],
)  # fmt: skip
def test_a_baseline_looks_at_what_its_kind_and_its_criterion_need(method, wanted):
    mine = {"kind": "my.package:select", "match": "sacp"}
    ordered = {"kind": "uniform", "match": "sacp", "criterion": "my.package:order"}
    files = {"data": "<results>/data/digits.safetensors", "sparse": f"{SEED}/sparse.pt"}
    found = paths_of(demo(mine=mine, ordered=ordered)).selection_inputs(place(method))
    assert found == {name: files[name] for name in wanted}


def test_the_encoder_is_an_input_where_the_score_is_an_encoders(paths):
    assert paths.encoder(place("sacp")) == {"encoder": f"{SEED}/sacp/encoder.pt"}
    assert paths.encoder(place("log-mass")) == {}


def test_a_winner_waits_for_the_tuned_candidates_of_its_search(paths):
    tuned = [f"{SEED}/sacp/topm.csv", f"{SEED}/sacp/topm.provenance.json"]
    assert paths.ranked(place("sacp")) == paths.ranked(place("sacp-2")) == tuned
    assert paths.ranked(place("l1")) == []
    assert paths.trained(place("l1"), [9, 4]) == [f"{SEED}/l1/topk/{number}/metrics.json" for number in (9, 4)]


@pytest.mark.parametrize(
    ("weights", "inputs"),
    [
        (None, {}),
        ("ResNet18_Weights.IMAGENET1K_V1", {}),
        ("mine/base.safetensors", {"weights": "mine/base.safetensors"}),
        ("mine/base.pth", {"weights": "mine/base.pth"}),
    ],
)
def test_weights_are_an_input_if_they_are_a_file(weights, inputs):
    value = unresolved()
    value["experiments"][DEMO]["network"] |= {"weights": weights} if weights else {}
    assert paths_of(resolved(value)).weights(place("")) == inputs


def test_data_depend_on_the_users_files_where_there_are_few(paths):
    parquet = {"source": "parquet", "path": "mine"}
    assert paths.dataset_files(parquet) == ["mine/train.parquet", "mine/test.parquet"]
    for other in ({"source": "digits"}, {"source": "folder", "path": "mine"}, {"source": "imagefolder", "path": "x"}):
        assert paths.dataset_files(other) == []


def test_inputs_of_the_tables_are_in_the_order_of_experiments_methods_and_seeds(two):
    found = two.table_inputs()
    assert found["bases"] == [f"<results>/{name}/seed{seed}/base_metrics.json" for name in "ba" for seed in (7, 3)]
    order = [("b", "l1"), ("b", "sacp"), ("b", "sacp-2"), ("a", "log-mass")]
    assert found["winners"] == [
        f"<results>/{experiment}/seed{seed}/{method}/winner/metrics.json"
        for experiment, method in order
        for seed in (7, 3)
    ]
    variants = two.table_inputs("search", "tuned")
    assert variants["bases"] == found["bases"]
    assert variants["winners"] == [path for path in found["winners"] if "/l1/" not in path]


def test_figures_are_of_the_first_seed_and_losses_of_all(two):
    winners = two.of_methods("winner/metrics.json", two.experiments.methods)(Values("b"))
    assert winners == [f"<results>/b/seed7/{method}/winner/metrics.json" for method in ("l1", "sacp", "sacp-2")]
    assert two.first_seed("base.pt") == "<results>/{experiment}/seed7/base.pt"
    assert two.encoder_losses(Values("b")) == [f"<results>/b/seed{seed}/sacp/encoder_loss.csv" for seed in (7, 3)]
    assert two.encoder_losses(Values("a")) == []
    assert two.encoder_candidates(Values("b")) == ["<results>/b/seed7/configs.h5"]
    winner = "<results>/a/seed7/log-mass/winner"
    first = {"winner": f"{winner}/metrics.json", "description": f"{winner}/network.json"}
    assert two.first_winner(Values("a")) == first


def test_results_are_all_figures_and_tables(two):
    figures = two.figures()
    assert figures[0] == f"<results>/figures/{next(iter(FIGURES))}/b.png"
    drawn = [figure for figure in FIGURES.values() if not figure.needs_latency]  # none is measured
    without_encoder = [figure for figure in drawn if not figure.needs_encoder]
    assert 0 < len(without_encoder) < len(drawn) < len(FIGURES)
    found = Counter(path.rpartition("/")[2] for path in figures)
    assert found == {"b.png": len(drawn), "a.png": len(without_encoder)}
    assert two.tables() == [f"<results>/tables/{name}.csv" for name in two.experiments.tables()]
    assert two.studied() == [f"<results>/{name}/seed{seed}/predictors.csv" for name in "ba" for seed in (7, 3)]


def test_predictors_are_put_together_encoder_by_encoder_and_repeat_by_repeat(paths):
    found = paths.predictors(place(""))
    assert [path.split("/")[-2] for path in found["encoders"]] == sorted(paths.experiments.encoders(DEMO))
    shards = ["000-009", "010-019", "020-023"]
    assert found["tuned"] == [f"{SEED}/sample/search/repeat{each}/{name}.csv" for each in (0, 1) for name in shards]


def test_every_method_of_every_experiment_and_seed_is_a_place(two):
    found = [(each.experiment, each.seed, each.method) for each in two.places()]
    of_b = [("b", seed, method) for seed in ("7", "3") for method in ("l1", "sacp", "sacp-2")]
    assert found == [*of_b, ("a", "7", "log-mass"), ("a", "3", "log-mass")]


def test_the_records_of_a_run_hold_that_of_each_job_once(paths):
    records = paths.records()
    assert len(records) == len(set(records))
    # 4 searches, 8 other methods, 4 encoders that are compared; 20 labels and 2 times 24 of the sample, tens in a shard
    assert rulebook.count(records, paths.experiments) == {
        "prepare_data": 1, "trace_network": 1, "train_base": 1, "sample_configs": 1, "train_sparse": 1,
        "train_encoder": 3 + 4, "find_configs": 1, "score_candidates": 4, "tune_shard": 4 * 2, "rank_tuned": 4,
        "tune_sample": 2 + 2 * 3, "probe_sample": 1, "collect_predictors": 1, "write_protocol": 12,
        "select_winner": 12, "select_baseline": 6, "search_colony": 1,
    }  # fmt: skip


def test_records_of_trainings_are_in_those_of_the_winners(paths):
    later = {"train_candidate"}
    everything = set(rulebook.records(paths.experiments))
    drawn_or_written = {"make_summary", "make_forecast", "compare_forecast"}
    found = set(rulebook.count(paths.records(), paths.experiments))
    unasked = {"rescore_candidates", "measure_latency", "measure_sensitivity", "export_winner"}  # none is in the demo
    unasked |= {"tune_rung", "rank_rung", "train_baseline"}
    assert everything - found == later | drawn_or_written | unasked


def test_latency_is_measured_of_all_winners_of_a_seed_where_it_is_asked_for():
    value = demo()
    value["experiments"][DEMO]["latency"]["batches"] = [1, 8]
    paths = Paths(Experiments(value))
    here = Values(DEMO, "0")
    for name in ("latency", "accuracy_latency"):
        assert f"<results>/figures/{name}/digits-resnet14.png" in paths.figures()
    assert paths.table3()["latency"] == [paths.latency(here)] == [f"<results>/{DEMO}/seed0/latency.csv"]
    assert f"<results>/{DEMO}/seed0/latency.provenance.json" in paths.records()
    timed = paths.timed(here)
    methods = paths.experiments.methods(DEMO)
    assert timed["descriptions"] == [f"<results>/{DEMO}/seed0/{method}/winner/network.json" for method in methods]
    assert [path.replace("safetensors", "json") for path in timed["weights"]] == timed["descriptions"]


def test_records_of_two_experiments_and_seeds_share_those_of_a_data_set(two):
    records = two.records()
    assert len(records) == len(set(records))
    found = rulebook.count(records, two.experiments)
    expected = {"prepare_data": 2, "trace_network": 2, "train_base": 4, "find_configs": 2, "select_winner": 2 * 4}
    assert {rule: found[rule] for rule in expected} == expected
    assert found["train_sparse"] == found["search_colony"] == 0


def test_shards_that_two_regressions_learn_from_leave_one_record_each():
    regression = {"kind": "search", "encoder": {"objective": "regression"}}
    paths = paths_of(demo(again=regression | {"labels": 20}, more=regression | {"labels": 25}))
    records = paths.records()
    assert len(records) == len(set(records))
    labels = [path for path in records if "/sample/training/" in path]
    assert names(labels) == [f"{name}.provenance.json" for name in ("000-009", "010-019", "020-024")]


def test_a_search_that_learns_leaves_a_record_of_that(paths):
    learning = set(paths_of(demo(sacp={"kind": "search", "rerank": 0.3})).records())
    assert learning - set(paths.records()) == {f"{SEED}/sacp/rescored.provenance.json"}


def test_a_record_is_named_by_its_file():
    assert record_of("a.b/000-009.csv") == "a.b/000-009.provenance.json"
    assert record_of("<results>/data/digits.safetensors") == "<results>/data/digits.provenance.json"


@pytest.mark.parametrize("name", SHIPPED)
def test_every_record_of_a_shipped_config_is_some_rules(name):
    paths = paths_of(shipped(name))
    records = paths.records()
    assert sum(rulebook.count(records, paths.experiments).values()) == len(records) == len(set(records))


def test_winners_are_exported_by_a_run_that_is_told_so(paths):
    assert paths.exports() == []
    told = paths_of(resolved(unresolved() | {"export": True})).exports()
    assert len(told) == len(set(told)) == 12
    assert told[0] == f"{SEED}/sacp/winner/export/network.onnx"


@pytest.mark.parametrize(("weights", "name"), [({}, "base.pt"), ({"weights": "own"}, "oto/own.pt")])
def test_a_candidate_inherits_the_bases_weights_or_those_that_its_method_has_ended_in(weights, name):
    paths = paths_of(demo(oto={"kind": "oto", "match": "sacp"} | weights))
    assert paths.inherited(place("oto")) == f"{SEED}/{name}"
    for other in ("sacp", "l1", "abcpruner"):
        assert paths.inherited(place(other)) == f"{SEED}/base.pt"
    assert paths.judged(place("oto")) == [f"{SEED}/oto/judged.csv"]
    assert paths.judged(place("l1")) == []
    assert f"{SEED}/oto/kept.provenance.json" in paths.records()
