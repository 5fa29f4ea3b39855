"""The demo with all methods, tables and figures. Other tests run it with three methods."""

import json
from pathlib import Path

import pandas as pd
import pytest
from checkout import Checkout, Run, copy_checkout
from configs import read
from scipy.stats import kendalltau

pytestmark = pytest.mark.workflow
RESULTS = Path("results/demo_all")
SEED = RESULTS / "digits-resnet14/seed0"
METHODS: dict[str, dict] = read("demo_all")["defaults"]["methods"]
SEARCHES = [name for name, settings in METHODS.items() if settings["kind"] == "search"]
BASELINES = [name for name, settings in METHODS.items() if settings["kind"] not in ("search", "tuned")]
NARROW = "oto-own"  # its global ranking leaves a stream one channel
FIGURES = (
    "method", "sweeps", "encoder_loss", "scores", "responses", "embedding", "kept_channels", "accuracy_flops",
    "accuracy_cost", "learning_curves", "predictors",
)  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A copy of the repository in which the demo with all methods has run through."""
    checkout = copy_checkout(tmp_path_factory.mktemp("whole") / "checkout")
    run = with_all(checkout)
    assert run.status == 0, run.output
    return checkout


def with_all(checkout: Checkout, *arguments: str) -> Run:
    return checkout.snakemake(*arguments, "--configfile", "config/demo_all.yaml")


def table(whole: Checkout, name: str) -> pd.DataFrame:
    return pd.read_csv(whole.path / RESULTS / f"tables/{name}.csv")


def metrics(whole: Checkout, path: str) -> dict:
    return json.loads((whole.path / SEED / path).read_text())


def test_every_table_is_there_in_three_forms(whole: Checkout) -> None:
    for name in ("table1", "table3", "table4", "predictors"):
        for suffix in ("csv", "md", "tex"):
            assert (whole.path / RESULTS / f"tables/{name}.{suffix}").stat().st_size > 300


@pytest.mark.parametrize("figure", FIGURES)
def test_every_figure_is_there(whole: Checkout, figure: str) -> None:
    png = (whole.path / RESULTS / f"figures/{figure}/digits-resnet14.png").read_bytes()
    assert png.startswith(b"\x89PNG")
    assert len(png) > 10_000
    assert (whole.path / RESULTS / f"figures/{figure}/digits-resnet14.pdf").is_file()


@pytest.mark.parametrize("baseline", BASELINES)
def test_every_baseline_has_a_row_at_the_winners_flops(whole: Checkout, baseline: str) -> None:
    rows = table(whole, "table3").set_index("method")
    share = rows.loc[baseline, "flops_millions"] / rows.loc["sacp", "flops_millions"]
    assert share == pytest.approx(1, abs=0.02)
    assert rows.loc[baseline, "top1_percent"] > (20 if baseline == NARROW else 50)


def test_baselines_differ(whole: Checkout) -> None:
    files = list((whole.path / SEED).glob("*/kept.json"))
    assert {path.parent.name for path in files} == set(BASELINES)
    # A method with its own weights may choose what it chooses for the base's.
    kept = [json.loads(path.read_text())["kept"] for path in files if not path.parent.name.endswith("-own")]
    assert len({json.dumps(each) for each in kept}) == len(kept)
    assert {path.parent.name for path in files if "scales" in json.loads(path.read_text())} == {"thinet"}


def test_table_4_has_the_variants_and_what_they_cost(whole: Checkout) -> None:
    rows = table(whole, "table4").set_index("method")
    costs = rows[["networks_labelled", "networks_tuned", "networks_trained"]].astype(int)
    expected = dict.fromkeys(SEARCHES, (0, 20, 2)) | {"sacp-1": (20, 20, 2), "sacp-2": (0, 20, 0)}
    assert {name: tuple(row) for name, row in costs.iterrows()} == expected


def test_sacp_2_is_the_best_tuned_network_in_the_same_bits(whole: Checkout) -> None:
    best = pd.read_csv(whole.path / SEED / "sacp/topm.csv").iloc[0]
    winner = metrics(whole, "sacp-2/winner/metrics.json")
    assert winner["candidate"] == best["candidate"]
    assert winner["validation_accuracy_percent"] == pytest.approx(best["validation_accuracy_percent"], abs=1e-9)


def test_the_colony_judged_networks_at_the_winners_flops_and_kept_the_best(whole: Checkout) -> None:
    flops = metrics(whole, "sacp/winner/metrics.json")["flops"]
    judged = pd.read_csv(whole.path / SEED / "abcpruner/judged.csv")
    assert len(judged) >= 3
    assert ((judged["flops"] / flops - 1).abs() <= 0.02).all()
    best = judged.loc[judged["validation_accuracy_percent"].idxmax()]
    assert metrics(whole, "abcpruner/winner/metrics.json")["flops"] == best["flops"]


def test_predictors_are_those_of_scipy_on_the_raw_rows(whole: Checkout) -> None:
    rows, raw = table(whole, "predictors").set_index(["predictor", "band"]), table(whole, "predictors_raw")
    assert len(raw) == 24
    names = {name for name, _ in rows.index}
    encoders = {name for name in SEARCHES if "score" not in METHODS[name]}
    scores = {*encoders, "literal", "literal-original", "contrastive-configuration", "untrained"}
    assert {f"score of {name}" for name in scores} < names
    for name in names - {"retest reliability", "estimated ceiling"}:
        each = [kendalltau(raw[name], raw[f"accuracy_{repeat}"]).statistic for repeat in (0, 1)]
        assert rows.loc[(name, "all"), "kendall"] == pytest.approx(sum(each) / 2, abs=1e-9), name
    retest, ceiling = (rows.loc[(name, "all")] for name in ("retest reliability", "estimated ceiling"))
    assert retest["kendall"] == pytest.approx(kendalltau(raw["accuracy_0"], raw["accuracy_1"]).statistic, abs=1e-9)
    assert retest["kendall"] < ceiling["kendall"] < 1
    for row in (retest, ceiling):
        assert row["kendall_low"] <= row["kendall"] <= row["kendall_high"]
    assert rows["resamples_without_value"].between(0, 1000).all()


def test_the_whole_space_holds_better_ones_than_its_sample(whole: Checkout) -> None:
    """Searches that match lie within 1 % of the winner's FLOPs; both of these rank by the same closed form."""
    best = pd.read_parquet(whole.path / SEED / "log-mass/scores.parquet")
    assert 20 <= len(best) <= 1000  # m at least, of which any two differ in several groups
    assert (best["score"].diff().dropna() <= 0).all()
    assert (best["pruning_ratio"] >= 0.4 - 1e-12).all()
    flops = metrics(whole, "sacp/winner/metrics.json")["flops"]
    assert ((best["flops"] / flops - 1).abs() <= 0.01).all()
    raw = table(whole, "predictors_raw")
    no_larger = raw[raw["flops_millions"] <= 1.01 * flops / 1e6]
    assert len(no_larger)
    assert best["score"].iloc[-1] > no_larger["kept L1 mass, sum of sqrt(C) logs"].max()


def test_all_measured_rows_but_the_base_and_sacp_2_are_trained_alike_at_the_same_flops(
    whole: Checkout,
) -> None:
    rows = table(whole, "table3").query("source == 'measured'").set_index("method").drop(["Base", "sacp-2"])
    assert rows["flops_millions"].min() >= 0.98 * rows["flops_millions"].max()
    assert (rows["networks_trained"] == 2).all()
    assert (rows["device_hours"] > 0).all()
    assert rows["paper_protocol_top1_percent"].notna().all()


def test_figure_2_trains_what_smaller_m_would_have_chosen(whole: Checkout) -> None:
    tuned = pd.read_csv(whole.path / SEED / "sacp/topm.csv")
    expected = set()
    for m in (10, 20):
        part = tuned[tuned["rank"] < m].sort_values(
            ["validation_accuracy_percent", "candidate"], ascending=[False, True]
        )
        expected |= set(part["candidate"][:2])
    assert {int(path.name) for path in (whole.path / SEED / "sacp/topk").iterdir()} == expected
    assert len(metrics(whole, "sacp/winner/metrics.json")["trained_candidates"]) == 2


def test_nothing_is_left_to_do(whole: Checkout) -> None:
    assert with_all(whole, "--dry-run").jobs == []
