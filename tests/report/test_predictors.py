"""The table of predictors against scipy, from the same raw rows, its parts by hand, its ceiling against the truth."""

import warnings

import numpy as np
import pandas as pd
import pytest
from sacp.report import predictors
from sacp.report.predictors import ALL, CEILING, COLUMNS, RETEST, WITHIN, table
from scipy.stats import kendalltau, spearmanr

BANDS, SAMPLE = 3, 40


def raw(seeds: int = 2, noise: float = 1.0) -> pd.DataFrame:
    """Networks whose accuracy follows one predictor with noise, and another not; both have ties."""
    rng = np.random.default_rng(0)
    frames = []
    for seed in range(seeds):
        truth = rng.normal(size=SAMPLE)
        frames.append(
            pd.DataFrame(
                {
                    "model": "net", "seed": seed, "candidate": range(SAMPLE),
                    "flops_millions": rng.uniform(1, 5, SAMPLE),
                    "accuracy_0": truth + rng.normal(size=SAMPLE) * noise,
                    "accuracy_1": truth + rng.normal(size=SAMPLE) * noise,
                    "good": truth.round(1), "noise": rng.integers(0, 9, SAMPLE).astype(float),
                }
            )
        )  # fmt: skip
    return pd.concat(frames, ignore_index=True)


def rows(frame: pd.DataFrame, resamples: int = 20) -> dict[tuple[str, str], dict]:
    return {(row["predictor"], row["band"]): row for row in table(frame, BANDS, resamples)}


@pytest.mark.parametrize(("statistic", "oracle"), [(predictors.kendall, kendalltau), (predictors.spearman, spearmanr)])
def test_correlations_are_scipys_ties_included(statistic, oracle):
    values = np.random.default_rng(1).integers(0, 6, size=(4, 25)).astype(float)
    found = statistic(values)
    for i in range(4):
        for j in range(4):
            assert found[i, j] == pytest.approx(oracle(values[i], values[j]).statistic, abs=1e-12)


@pytest.mark.parametrize("predictor", ["good", "noise"])
@pytest.mark.parametrize(("name", "oracle"), [("spearman", spearmanr), ("kendall", kendalltau)])
def test_the_table_is_what_scipy_computes_from_the_same_rows(predictor, name, oracle):
    frame = raw()
    found = rows(frame)
    expected = {ALL: [], **{f"{band + 1} of {BANDS}": [] for band in range(BANDS)}}
    for _, of_seed in frame.groupby("seed"):
        ordered = of_seed.sort_values("flops_millions", ignore_index=True)
        parts = {ALL: ordered}
        parts |= {f"{band + 1} of {BANDS}": ordered[ordered.index * BANDS // SAMPLE == band] for band in range(BANDS)}
        for band, part in parts.items():
            each = [oracle(part[predictor], part[f"accuracy_{repeat}"]).statistic for repeat in (0, 1)]
            expected[band].append(np.mean(each))
    for band, values in expected.items():
        assert found[predictor, band][name] == pytest.approx(np.mean(values), abs=1e-12)
    inside = np.mean([np.mean(values) for band, values in expected.items() if band != ALL])
    assert found[predictor, WITHIN][name] == pytest.approx(inside, abs=1e-12)


@pytest.mark.parametrize(("name", "oracle"), [("spearman", spearmanr), ("kendall", kendalltau)])
def test_the_retest_reliability_is_the_correlation_of_the_repeats(name, oracle):
    frame = raw()
    each = [oracle(part["accuracy_0"], part["accuracy_1"]).statistic for _, part in frame.groupby("seed")]
    assert rows(frame)[RETEST, ALL][name] == pytest.approx(np.mean(each), abs=1e-12)


def known(networks: int, repeats: int, reliability: float, truths: str = "normal", sets: int = 200) -> pd.DataFrame:
    """Data sets, one a seed, with the true means as a predictor; `reliability` is var(true) / var(run).

    Skewed truths have a long tail of poor networks; uneven noise is larger the poorer a network is.
    """
    rng, frames = np.random.default_rng(networks), []
    deviation = np.sqrt(1 / reliability - 1)
    for seed in range(sets):
        truth = -rng.exponential(size=networks) if truths == "skewed" else rng.normal(size=networks)
        noise = deviation * (np.exp(-0.7 * truth - 0.49) if truths == "uneven" else np.ones(networks))
        keys = {
            "model": "net", "seed": seed, "candidate": range(networks),
            "flops_millions": rng.uniform(1, 5, networks),
        }  # fmt: skip
        runs = {f"accuracy_{repeat}": truth + noise * rng.normal(size=networks) for repeat in range(repeats)}
        frames.append(pd.DataFrame(keys | runs | {"truth": truth}))
    return pd.concat(frames, ignore_index=True)


@pytest.mark.parametrize("reliability", [0.4, 0.7, 0.9, 0.97])
@pytest.mark.parametrize("repeats", [2, 3])
@pytest.mark.parametrize("networks", [24, 60, 100])
def test_the_ceiling_is_what_the_truth_scores_and_above_a_second_run(networks, repeats, reliability):
    found = rows(known(networks, repeats, reliability), 1)
    for band in (ALL, WITHIN):
        for name in ("spearman", "kendall"):
            truth, ceiling, retest = (found[row, band][name] for row in ("truth", CEILING, RETEST))
            assert ceiling == pytest.approx(truth, abs=0.03)
            assert abs(ceiling - truth) < (truth - retest) / 2


@pytest.mark.parametrize("truths", ["skewed", "uneven"])
@pytest.mark.parametrize("reliability", [0.5, 0.9])
def test_the_ceiling_holds_for_truth_and_noise_that_are_not_normal(truths, reliability):
    found = rows(known(60, 2, reliability, truths), 1)
    for name in ("spearman", "kendall"):
        truth, ceiling, retest = (found[row, ALL][name] for row in ("truth", CEILING, RETEST))
        assert ceiling == pytest.approx(truth, abs=0.03)
        assert abs(ceiling - truth) < (truth - retest) / 2


@pytest.mark.parametrize(
    ("ceiling", "oracle"), [(predictors.kendall_ceiling, kendalltau), (predictors.spearman_ceiling, spearmanr)]
)
def test_the_ceiling_is_that_of_scipy_on_many_normal_networks(ceiling, oracle):
    """The linear reliability is .8: of true values of variance 4 with noise of variance 1."""
    truth, *noises = np.random.default_rng(2).normal(size=(3, 20000))
    first, second = (2 * truth + noise for noise in noises)
    assert ceiling(oracle(first, second).statistic) == pytest.approx(oracle(truth, first).statistic, abs=0.01)


@pytest.mark.parametrize("ceiling", [predictors.kendall_ceiling, predictors.spearman_ceiling])
def test_the_ceiling_of_noise_alone_is_zero_and_of_no_noise_one(ceiling):
    assert [ceiling(-0.3), ceiling(0.0), ceiling(1.0)] == pytest.approx([0, 0, 1])


def test_regret_by_hand():
    frame = pd.DataFrame(
        {
            "model": "net", "seed": 0, "candidate": range(20), "flops_millions": range(20),
            "accuracy_0": np.arange(20.0), "accuracy_1": np.arange(20.0) + 2,
            "good": np.arange(20.0), "backwards": -np.arange(20.0),
        }
    )  # fmt: skip
    found = rows(frame)
    assert [found["good", ALL][name] for name in COLUMNS[-3:]] == [0, 0, 0]
    # The top 1, 2 and 5 of 20 by a predictor that is backwards hold the worst: their best are 0, 1 and 4; 19 is best.
    assert [found["backwards", ALL][name] for name in COLUMNS[-3:]] == [19, 18, 15]
    assert found["backwards", ALL]["kendall"] == pytest.approx(-1)


def test_intervals_hold_the_value_are_reproducible_and_are_those_of_the_bootstrap():
    frame = raw(seeds=1)
    first, second = rows(frame, 1000), rows(frame, 1000)
    assert first == second
    row = first["good", ALL]
    assert row["spearman_low"] < row["spearman"] < row["spearman_high"]
    rng = np.random.default_rng(5)
    drawn = []
    for _ in range(1000):
        part = frame.iloc[rng.integers(SAMPLE, size=SAMPLE)]
        drawn.append(np.mean([spearmanr(part["good"], part[f"accuracy_{repeat}"]).statistic for repeat in (0, 1)]))
    low, high = np.percentile(drawn, [2.5, 97.5])
    assert (row["spearman_low"], row["spearman_high"]) == (pytest.approx(low, abs=0.05), pytest.approx(high, abs=0.05))


def opposed() -> pd.DataFrame:
    """Three seeds in which a predictor ranks all well, all well, and all backwards, but for some noise."""
    frame = raw(seeds=3, noise=0.3)
    frame["good"] *= np.where(frame["seed"] == 2, -1, 1)
    return frame


def test_intervals_know_that_other_seeds_would_differ():
    """Of three seeds drawn, 1/27 are all the poor one, and 8/27 have none of it; networks alone move it little."""
    frame = opposed()
    found = rows(frame, 1000)["good", ALL]
    of_seeds = [rows(part, 1)["good", ALL]["spearman"] for _, part in frame.groupby("seed")]
    assert found["spearman"] == pytest.approx(np.mean(of_seeds))
    assert found["spearman_low"] == pytest.approx(of_seeds[2], abs=0.1)
    assert found["spearman_high"] == pytest.approx(np.mean(of_seeds[:2]), abs=0.1)


def test_intervals_are_those_of_a_bootstrap_of_seeds_and_of_networks_within():
    frame = raw(seeds=4, noise=1.5)
    found = rows(frame, 1000)["good", ALL]
    parts, rng, drawn = [part for _, part in frame.groupby("seed")], np.random.default_rng(6), []
    for _ in range(500):
        taken = [parts[place].iloc[rng.integers(SAMPLE, size=SAMPLE)] for place in rng.integers(4, size=4)]
        each = [spearmanr(part["good"], part[f"accuracy_{n}"]).statistic for part in taken for n in (0, 1)]
        drawn.append(np.mean(each))
    assert [found["spearman_low"], found["spearman_high"]] == pytest.approx(np.percentile(drawn, [2.5, 97.5]), abs=0.05)


def test_resamples_without_a_value_are_counted_and_the_interval_is_that_of_the_others():
    """One network alone differs: a resample misses it with the probability (1 - 1 / n) ** n."""
    frame = raw(seeds=1)
    frame["rare"] = np.where(frame.index == frame["accuracy_0"].idxmax(), 1.0, 0.0)
    found = rows(frame, 1000)
    row = found["rare", ALL]
    assert row["resamples_without_value"] == pytest.approx(1000 * (1 - 1 / SAMPLE) ** SAMPLE, abs=60)
    assert 0 < row["kendall_low"] < row["kendall"] < row["kendall_high"] < 1
    assert found["good", ALL]["resamples_without_value"] == 0


def test_without_a_value_in_a_seed_there_is_neither_a_correlation_nor_an_interval():
    """Resamples without that seed have values, but of another question."""
    frame = raw(seeds=2)
    frame["flat"] = np.where(frame["seed"] == 0, 1.0, frame["good"])
    frame["constant"] = 1.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = rows(frame, 200)
    assert 100 < found["flat", ALL]["resamples_without_value"] < 200
    assert found["constant", WITHIN]["resamples_without_value"] == 200
    for name in ("flat", "constant"):
        assert np.isnan([found[name, ALL][f"kendall{part}"] for part in ("", "_low", "_high")]).all()


def test_bands_that_a_resample_leaves_empty_are_without_a_value():
    frame = raw(seeds=1).iloc[:6]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = rows(frame, 300)
    each = [found["good", f"{band + 1} of {BANDS}"]["resamples_without_value"] for band in range(BANDS)]
    assert found["good", ALL]["resamples_without_value"] < min(each)
    assert max(each) <= found["good", WITHIN]["resamples_without_value"] <= sum(each)


def test_failed_tunings_are_left_out_and_a_predictor_that_a_model_lacks_has_no_row():
    frame = raw(seeds=1)
    frame.loc[3, "accuracy_1"] = np.nan
    other = raw(seeds=1).assign(model="other").rename(columns={"noise": "score of x"})
    found = table(pd.concat([frame, other]), BANDS, 5)
    assert {row["networks"] for row in found if row["model"] == "net"} == {SAMPLE - 1}
    assert {row["predictor"] for row in found if row["model"] == "other"} == {
        "good", "score of x", RETEST, CEILING,
    }  # fmt: skip


def test_one_tuning_alone_knows_neither_reliability_nor_ceiling():
    found = rows(raw(seeds=1).drop(columns="accuracy_1"))
    for name in (RETEST, CEILING):
        assert np.isnan([found[name, ALL][f"kendall{part}"] for part in ("", "_low", "_high")]).all()
        assert found[name, ALL]["resamples_without_value"] == 20
    assert np.isfinite(found["good", ALL]["kendall"])
