"""The Lasso of a group in Gram form: min over beta of beta' G beta / 2 - beta' t + penalty |beta|_1."""

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import lasso_path

from sacp.baselines.apib.kernels import Products

LEAST_PRODUCT = 1e-12  # eigenvalues of the products, as a share of the largest, that are no more than rounding
STEPS = 10_000  # passes over the channels, at most
GAP = 1e-8  # of the dual, as a share of |L|^2: the end of the passes


class Lasso:
    """Coefficients of a group's channels at any penalty."""

    def __init__(self, products: Products, positive: bool) -> None:
        """Take the products, and whether no coefficient may be negative.

        scikit-learn wants observations: a root of the products serves, of as many as there are channels.
        """
        self.products, self.positive = products, positive
        values, vectors = np.linalg.eigh(products.gram)
        is_left = values > LEAST_PRODUCT * max(values[-1], np.finfo(float).tiny)
        roots = np.sqrt(values[is_left])
        scale = np.sqrt(len(values))  # its loss is a mean over observations
        self._observed = np.zeros((len(values), len(values)))
        self._observed[: len(roots)] = scale * roots[:, None] * vectors.T[is_left]
        self._wanted = np.zeros(len(values))
        self._wanted[: len(roots)] = scale * (vectors.T[is_left] @ products.target) / roots

    @property
    def least_penalty(self) -> float:
        """The smallest penalty with which no channel is left."""
        target = self.products.target
        return float(np.max(target if self.positive else np.abs(target), initial=0))

    def coefficients(self, penalty: float) -> NDArray[np.float64]:
        """Coefficients of the channels, most of them zero if the penalty is high, [C]."""
        if penalty >= self.least_penalty:
            return np.zeros(len(self._wanted))
        settings: dict[str, Any] = {"max_iter": STEPS, "tol": GAP, "positive": self.positive, "precompute": True}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # channels that are alike share; any share will do
            _, found, _ = lasso_path(self._observed, self._wanted, alphas=[penalty], **settings)
        return np.asarray(found[:, 0])

    def ordered(self, penalty: float) -> tuple[NDArray[np.int64], int]:
        """Channels at a penalty, best first, [C], and how many of them, the first, it leaves.

        Those that are left come by |beta| times the size of their kernel. The others come by how near they are to a
        coefficient: a channel gets one where its product with what is not yet explained reaches the penalty.
        """
        beta = self.coefficients(penalty)
        unexplained = self.products.target - self.products.gram @ beta
        nearness = unexplained if self.positive else np.abs(unexplained)
        order = np.lexsort((-nearness, -np.abs(beta) * self.products.sizes))
        return order, int(np.count_nonzero(beta))
