"""Does a score predict? What is known of a pruned network before it is tuned, against its accuracy after.

Every predictor is turned so that more is better. Accuracies are noisy, so no predictor reaches a correlation of 1: the
repeats of the tuning say what a second run predicts, and what the true mean accuracies would.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata

KEYS = ("model", "seed", "candidate", "flops_millions")  # of a raw row, before accuracies and predictors
ACCURACY = "accuracy_"  # and the number of the repeat: columns of accuracies after tuning, percent
RETEST = "retest reliability"  # the row of what another run of the same tuning predicts, itself noisy
CEILING = "estimated ceiling"  # the row of what the true mean accuracies, without noise, would score
ALL, WITHIN = "all", "within bands"  # rows that are not bands of FLOPs: all networks, the mean over the bands
TOP = (0.05, 0.1, 0.25)  # shares of the sample that a predictor picks, for its regret
COLUMNS = (
    "model", "predictor", "band", "seeds", "networks", "spearman", "spearman_low", "spearman_high", "kendall",
    "kendall_low", "kendall_high", "resamples_without_value",
    *(f"regret_top_{share:.0%}".replace("%", "_percent") for share in TOP),
)  # fmt: skip
INTERVAL = (2.5, 97.5)  # percentiles of the resamples
Values = NDArray[np.float64]


def kendall(values: Values) -> Values:
    """Kendall's tau-b between all pairs of rows, [k, n] -> [k, k]; NaN where a row is constant."""
    signs = np.sign(values[:, :, None] - values[:, None, :]).reshape(len(values), -1)
    return _cosines(signs)


def spearman(values: Values) -> Values:
    """Spearman's rho between all pairs of rows, [k, n] -> [k, k]; NaN where a row is constant."""
    ranks = rankdata(values, axis=1)
    return _cosines(ranks - ranks.mean(axis=1, keepdims=True))


def _cosines(rows: Values) -> Values:
    products = rows @ rows.T
    norms = np.sqrt(np.diag(products))
    with np.errstate(invalid="ignore", divide="ignore"):
        return products / norms[:, None] / norms


def spearman_ceiling(retest: float) -> float:
    """Spearman's rho of true means with one run, of the rho `retest` of two runs; see `_attenuated`.

    Of normal variables with the linear correlation r, rho is 6 / pi arcsin(r / 2) (Pearson, 1907).
    """
    return float(6 / np.pi * np.arcsin(_attenuated(2 * np.sin(np.pi / 6 * retest)) / 2))


def kendall_ceiling(retest: float) -> float:
    """Kendall's tau of true means with one run, of the tau `retest` of two runs; see `_attenuated`.

    Of normal variables with the linear correlation r, tau is 2 / pi arcsin(r) (Greiner, 1909).
    """
    return float(2 / np.pi * np.arcsin(_attenuated(np.sin(np.pi / 2 * retest))))


def _attenuated(reliability: float) -> float:
    """Linear correlation of true values with one run, of that of two runs, the reliability (Spearman, 1904).

    A run is the true value and noise, var(true) / var(run) is the correlation of two runs, and its square root that of
    the truth with a run: above it. Below zero nothing is reliable, and the truth scores 0. Rank correlations go there
    and back as if some monotone transformation made truth and noise normal: a skewed accuracy, or noise that grows as
    accuracy falls, matters little (decision 8).
    """
    return float(np.sqrt(np.maximum(reliability, 0)))


STATISTICS = ((spearman, spearman_ceiling), (kendall, kendall_ceiling))  # in the order of the columns


@dataclass(frozen=True)
class _Sample:
    """The networks of one seed."""

    predictors: Values  # [P, n]
    accuracies: Values  # [R, n], one row for each repeat of the tuning
    bands: NDArray[np.int64]  # [n], 0 for the smallest FLOPs

    def correlations(self, rows: NDArray[np.int64]) -> Values:
        """Spearman and Kendall of the predictors, retest and ceiling, [2, 1 + bands + 1, P + 2], with these rows [m].

        A predictor's is the mean over the repeats that it is compared with; that of a retest, over all pairs of them.
        NaN with fewer than two rows, where a predictor or an accuracy is constant, and without a second repeat.
        """
        found = [self._of(rows)]
        found += [self._of(rows[self.bands[rows] == band]) for band in range(int(self.bands.max()) + 1)]
        found.append(np.mean(found[1:], axis=0))
        return np.stack(found, axis=1)

    def _of(self, rows: NDArray[np.int64]) -> Values:
        """[2, P + 2]"""
        number, repeats = len(self.predictors), len(self.accuracies)
        if len(rows) < 2:
            return np.full((len(STATISTICS), number + 2), np.nan)
        values = np.concatenate([self.predictors, self.accuracies])[:, rows]
        found = []
        for statistic, ceiling in STATISTICS:
            matrix = statistic(values)
            others = matrix[number:, number:][~np.eye(repeats, dtype=bool)]
            retest = float(others.mean()) if repeats > 1 else np.nan
            found.append([*matrix[:number, number:].mean(axis=1), retest, ceiling(retest)])
        return np.array(found)

    def regrets(self) -> Values:
        """Accuracy of the best of the sample less that of the best among each predictor's top share, [P, shares]."""
        accuracy, number = self.accuracies.mean(axis=0), len(self.bands)
        order = np.argsort(-self.predictors, axis=1, kind="stable")  # [P, n]
        return np.stack(
            [accuracy.max() - accuracy[order[:, : max(1, round(share * number))]].max(axis=1) for share in TOP], axis=1
        )


def table(raw: pd.DataFrame, bands: int, resamples: int, seed: int = 0) -> list[dict[str, Any]]:
    """Rows of `COLUMNS` for each model, predictor and band: means over the seeds, bootstrap intervals of 95 %.

    Args:
        raw: one row for each network: `KEYS`, accuracies, predictors. Networks whose tuning failed are left out.
        bands: of FLOPs, with equally many networks of a seed in each.
        resamples: of the seeds with replacement, and of the networks of each seed drawn.
        seed: of the resamples.
    """
    rows: list[dict[str, Any]] = []
    columns = [str(name) for name in raw]
    repeats = [name for name in columns if name.startswith(ACCURACY)]
    for model, of_model in raw.groupby("model", sort=False):
        names = [name for name in columns if name not in (*KEYS, *repeats) and of_model[name].notna().any()]
        samples = [_sample(found, names, repeats, bands) for _, found in of_model.groupby("seed")]
        rng = np.random.default_rng(seed)
        point = np.mean([sample.correlations(np.arange(len(sample.bands))) for sample in samples], axis=0)
        drawn = np.array([_resampled(samples, rng) for _ in range(resamples)])  # [resamples, 2, bands, P + 2]
        low, high = _interval(drawn, point)
        without = np.isnan(drawn).any(axis=1).sum(axis=0)  # [bands, P + 2]
        regrets = np.mean([sample.regrets() for sample in samples], axis=0)
        numbers = {"seeds": len(samples), "networks": sum(len(sample.bands) for sample in samples)}
        for number, name in enumerate([*names, RETEST, CEILING]):
            for place, band in enumerate([ALL, *(f"{n + 1} of {bands}" for n in range(bands)), WITHIN]):
                row = {"model": model, "predictor": name, "band": band, **numbers}
                for kind, statistic in enumerate(("spearman", "kendall")):
                    for part, values in (("", point), ("_low", low), ("_high", high)):
                        row[statistic + part] = values[kind, place, number]
                row["resamples_without_value"] = int(without[place, number])
                if band == ALL and number < len(names):
                    row |= dict(zip(COLUMNS[-len(TOP) :], regrets[number], strict=True))
                rows.append(row)
    return rows


def _sample(frame: pd.DataFrame, names: Sequence[str], repeats: Sequence[str], bands: int) -> _Sample:
    frame = frame.dropna(subset=list(repeats))
    order = frame["flops_millions"].rank(method="first").to_numpy().astype(np.int64) - 1
    values = frame[[*names, *repeats]].to_numpy(np.float64).T
    return _Sample(values[: len(names)], values[len(names) :], order * bands // len(frame))


def _resampled(samples: Sequence[_Sample], rng: np.random.Generator) -> Values:
    """Mean correlations of seeds drawn with replacement and networks drawn within each; of one seed, networks alone."""
    chosen = [samples[place] for place in rng.integers(len(samples), size=len(samples))]
    found: Values = np.mean(
        [sample.correlations(rng.integers(len(sample.bands), size=len(sample.bands))) for sample in chosen], axis=0
    )
    return found


def _interval(drawn: Values, point: Values) -> Values:
    """`INTERVAL` of the resamples with a value, [resamples, ...] -> [2, ...]; NaN where `point` is NaN or none has one.

    How many have none stands in the table, so that an interval that rests on few is seen.
    """
    ends = np.full((len(INTERVAL), *point.shape), np.nan)
    known = ~np.isnan(point) & ~np.isnan(drawn).all(axis=0)
    ends[:, known] = np.nanpercentile(drawn[:, known], INTERVAL, axis=0)
    return ends


def raw_rows(
    keys: Mapping[str, Any], candidates: Sequence[int], flops: Values, accuracies: Mapping[int, Values],
    predictors: Mapping[str, Values],
) -> Iterator[dict[str, Any]]:  # fmt: skip
    """Yield one row for each network.

    Args:
        keys: `model` and `seed`.
        candidates: numbers in the search set, [n].
        flops: multiply-accumulates, [n].
        accuracies: after tuning, percent, by number of the repeat, each [n]; NaN where it failed.
        predictors: by name, each [n].
    """
    for place, candidate in enumerate(candidates):
        row = {**keys, "candidate": candidate, "flops_millions": flops[place] / 1e6}
        row |= {f"{ACCURACY}{repeat}": values[place] for repeat, values in accuracies.items()}
        yield row | {name: float(values[place]) for name, values in predictors.items()}
