"""Learning from what was tuned: after the first of the m candidates, the others are reranked.

Accuracy is modelled as a line in the score, or in what the catalogue makes of one that is far from linear, plus a ridge
regression of the line's residuals on the groups' log masses.
The score is the prior: with few labels the ridge can add little. Leave-one-out cross-validation judges whether it adds
anything; only then is it used.

A narrow selection teaches nothing about networks unlike it. Cross-validation vouches for the ridge only as far from the
tuned networks as the left-out ones were, by leverage, x' (X'X + penalty)^-1 x; farther away only the line is used.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LinearRegression, RidgeCV
from sklearn.model_selection import LeaveOneOut

from sacp.pruning.space import Steps
from sacp.search.files import Candidates
from sacp.training.ranking import ACCURACY

log = logging.getLogger(__name__)

Values = NDArray[np.float64]
PENALTIES = np.logspace(-2, 4, 13)  # of the ridge, on standardised features; chosen by leave-one-out
LEAST = 8  # labels, below which nothing is learned
TINY = 1e-6  # deviation of a group's log masses that counts as none


@dataclass(frozen=True)
class Domain:
    """Where cross-validation vouches for a ridge regression, in its standardised features."""

    inverse: Values  # of X'X + penalty, [G, G]
    farthest: float  # leverage of the network that lay farthest from the others

    @classmethod
    def of(cls, features: Values, penalty: float) -> "Domain":
        """The domain of a ridge that was fitted to standardised features [n, G]."""
        precision = features.T @ features + penalty * np.eye(features.shape[1])
        inverse = np.linalg.inv(precision).astype(np.float64)
        leverage = _leverage(features, inverse)
        # A network has the leverage h / (1 - h) where it is left out, by the Sherman-Morrison formula.
        return cls(inverse, float((leverage / (1 - leverage)).max()))

    def holds(self, features: Values) -> NDArray[np.bool_]:
        """Which networks with these standardised features [n, G] are inside, [n]."""
        inside: NDArray[np.bool_] = _leverage(features, self.inverse) <= self.farthest
        return inside


def _leverage(features: Values, inverse: Values) -> Values:
    leverage: Values = ((features @ inverse) * features).sum(axis=1)
    return leverage


@dataclass(frozen=True)
class Model:
    """Predicts accuracies in percent: a line in the score, and a ridge regression on standardised log masses."""

    line: LinearRegression
    ridge: RidgeCV
    mean: Values  # of the log masses, [G]
    deviation: Values  # [G]; tiny where the tuned networks do not vary: all others lie outside what they teach

    def standardised(self, mass: Values) -> Values:
        """Features of the ridge, [n, G] -> [n, G]."""
        features: Values = (mass - self.mean) / self.deviation
        return features

    def predict(self, scores: Values, mass: Values, domain: Domain | None = None) -> Values:
        """Accuracies of networks with these scores [n] and log masses [n, G]; outside the domain, by the line alone."""
        features = self.standardised(mass)
        predictions: Values = self.line.intercept_ + self.line.coef_[0] * scores
        inside = np.ones(len(scores), bool) if domain is None else domain.holds(features)
        if inside.any():  # scikit-learn refuses an empty array
            predictions[inside] += self.ridge.predict(features[inside])
        return predictions


@dataclass(frozen=True)
class Lesson:
    """What the tuned candidates taught: a model, and its errors in cross-validation against the score's alone."""

    model: Model
    domain: Domain
    error: float  # root mean squared, percent, of the model
    error_of_score: float  # of a line in the score

    @property
    def is_better(self) -> bool:
        """Whether cross-validation says that the model predicts better than the score alone."""
        return self.error < self.error_of_score


def rerank(
    scored: NDArray[np.void], candidates: Candidates, mass_by_step: Values, tuned: Sequence[Mapping[str, Any]],
    linear: Callable[[Values], Values],
) -> NDArray[np.void]:  # fmt: skip
    """Rows of scores: the tuned candidates first, the others reranked if the tuned ones have taught anything.

    Args:
        scored: rows of `scores.parquet`, best first.
        candidates: the configurations that the rows are of.
        mass_by_step: log of the kept share of each group's L1 mass at each step, [G, levels].
        tuned: rows of the tuned candidates.
        linear: scores [n], of which some are NaN -> [n], in which accuracies are nearly a line; rising.
    """
    scores = np.full(candidates.total, np.nan)  # of those that have one
    scores[scored["candidate"]] = scored["score"]
    scores = linear(scores)
    is_tuned = np.isin(scored["candidate"], [row["candidate"] for row in tuned])
    first, rest = scored[is_tuned], scored[~is_tuned]
    lesson = _lesson(scores, candidates, mass_by_step, tuned)
    if lesson is not None and lesson.is_better:
        predicted = np.empty(candidates.total)
        for start, steps in candidates:
            here = np.flatnonzero(~np.isnan(scores[start : start + len(steps)]))
            block = start + here
            predicted[block] = lesson.model.predict(scores[block], _mass(mass_by_step, steps[here]), lesson.domain)
        rest = rest[np.argsort(-predicted[rest["candidate"]], kind="stable")]
        rest["score"] = predicted[rest["candidate"]]
    return np.concatenate([first, rest])


def _lesson(
    scores: Values, candidates: Candidates, mass_by_step: Values, tuned: Sequence[Mapping[str, Any]]
) -> Lesson | None:
    # HDF5 reads rows in ascending order.
    trained = sorted((row for row in tuned if not row["failure"]), key=lambda row: row["candidate"])
    numbers = np.array([row["candidate"] for row in trained], np.int64)
    accuracies = np.array([row[ACCURACY] for row in trained], np.float64)
    lesson = learn(scores[numbers], _mass(mass_by_step, candidates.rows(numbers)), accuracies)
    if lesson is None:
        log.info("%d tuned networks, too few to learn from: ranks stay", len(trained))
    else:
        log.info(
            "left-out networks: error %.2f %% by the score alone, %.2f %% with the masses of %d tuned networks: %s",
            lesson.error_of_score, lesson.error, len(trained), "ranked anew" if lesson.is_better else "ranks stay",
        )  # fmt: skip
    return lesson


def _mass(mass_by_step: Values, steps: Steps) -> Values:
    """Log masses of configurations, [n, G] -> [n, G]."""
    return np.stack([values[steps[:, group]] for group, values in enumerate(mass_by_step)], axis=1)


def learn(scores: Values, mass: Values, accuracies: Values) -> Lesson | None:
    """Fit the model to tuned candidates; None if fewer than `LEAST` were tuned.

    Args:
        scores: by which they were ranked, [n].
        mass: logs of the kept shares of each group's L1 mass, [n, G].
        accuracies: after tuning, percent, [n].
    """
    if len(accuracies) < LEAST:
        return None
    left_out = np.empty((2, len(accuracies)))
    for rest, (one,) in LeaveOneOut().split(accuracies):
        model = _fitted(scores[rest], mass[rest], accuracies[rest])
        left_out[0, one] = model.predict(scores[[one]], mass[[one]])[0]
        left_out[1, one] = model.line.predict(scores[[one], None])[0]
    errors = np.sqrt(((left_out - accuracies) ** 2).mean(axis=1))
    model = _fitted(scores, mass, accuracies)
    domain = Domain.of(model.standardised(mass), float(model.ridge.alpha_))
    return Lesson(model, domain, float(errors[0]), float(errors[1]))


def _fitted(scores: Values, mass: Values, accuracies: Values) -> Model:
    line = LinearRegression(positive=True).fit(scores[:, None], accuracies)
    mean, deviation = mass.mean(axis=0), np.maximum(mass.std(axis=0), TINY)
    ridge = RidgeCV(PENALTIES).fit((mass - mean) / deviation, accuracies - line.predict(scores[:, None]))
    return Model(line, ridge, mean, deviation)
