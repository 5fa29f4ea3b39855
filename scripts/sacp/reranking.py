"""Learning from what was tuned: after the first of the m candidates, the others are ranked anew.

Accuracy is modelled as a line in the score, plus a ridge regression on the groups' log masses of what the line leaves
over. The score is the prior: with few labels the ridge can say little. Whether it says anything is judged by
leave-one-out cross-validation, and only then is it used; a narrow pick teaches nothing about the rest.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LinearRegression, RidgeCV
from sklearn.model_selection import LeaveOneOut

Values = NDArray[np.float64]
PENALTIES = np.logspace(-2, 4, 13)  # of the ridge, on standardised features; chosen by leave-one-out
LEAST = 8  # labels, below which nothing is learned


@dataclass(frozen=True)
class Model:
    """Predicts accuracies in percent: intercept + slope * score + weights . log masses."""

    intercept: float
    slope: float
    weights: Values  # [G]

    def predict(self, scores: Values, mass: Values) -> Values:
        """Accuracies of networks with these scores [n] and log masses [n, G]."""
        predictions: Values = self.intercept + self.slope * scores + mass @ self.weights
        return predictions


@dataclass(frozen=True)
class Lesson:
    """What the tuned candidates taught: a model, and its errors in cross-validation against the score's alone."""

    model: Model
    error: float  # root mean squared, percent, of the model
    error_of_score: float  # of a line in the score

    @property
    def is_better(self) -> bool:
        """Whether cross-validation says that the model predicts better than the score alone."""
        return self.error < self.error_of_score


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
        for row, with_mass in enumerate((True, False)):
            model = _fitted(scores[rest], mass[rest], accuracies[rest], with_mass)
            left_out[row, one] = model.predict(scores[[one]], mass[[one]])[0]
    errors = np.sqrt(((left_out - accuracies) ** 2).mean(axis=1))
    return Lesson(_fitted(scores, mass, accuracies, True), float(errors[0]), float(errors[1]))


def _fitted(scores: Values, mass: Values, accuracies: Values, with_mass: bool) -> Model:
    line = LinearRegression(positive=True).fit(scores[:, None], accuracies)
    slope, intercept = float(line.coef_[0]), float(line.intercept_)
    weights = np.zeros(mass.shape[1])
    if with_mass:
        mean, deviation = mass.mean(axis=0), mass.std(axis=0)
        deviation[deviation < 1e-9] = np.inf  # a group that does not vary teaches nothing
        ridge = RidgeCV(PENALTIES).fit((mass - mean) / deviation, accuracies - line.predict(scores[:, None]))
        weights = ridge.coef_ / deviation
        intercept += float(ridge.intercept_ - mean @ weights)
    return Model(intercept, slope, weights)
