"""Scores that are sums over the groups of a weight times a function of the kept share m of the L1 mass.

    S(r) = sum over groups g of  w_g f(m_g),   w_g = L_g^b C_g^a P_g^p I_g^q

with L_g layers of C_g channels that compute P_g positions, and the measured sensitivity I_g of `pruning.sensitivity`.
`f` is ln m (`log`), or 1 - 1/m (`inverse`), which falls without bound as a group is emptied. `log-mass` is `log` with
b = 1, a = 1/2 and q = 0; `sensitivity` is `inverse` with b = 1/2, a = 3/4 and q = 1.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from sacp.errors import InputError
from sacp.network.graph import Graph
from sacp.pruning.criteria import Norms
from sacp.search import log_mass

LOG, INVERSE = FORMS = ("log", "inverse")
Values = NDArray[np.float64]


def values(
    network: nn.Module, graph: Graph, levels: int, sensitivity: Values, form: str = INVERSE, channels: float = 0.75,
    layers: float = 0.5, positions: float = 0, exponent: float = 1,
) -> Values:  # fmt: skip
    """What each group adds to the score at each step, [G, levels].

    Args:
        network: the base.
        graph: its graph.
        levels: granularity of the ratios.
        sensitivity: of each group, [G].
        form: `log` or `inverse`.
        channels: exponent of the channels.
        layers: exponent of the number of layers.
        positions: exponent of the positions.
        exponent: of the sensitivity.
    """
    norms = log_mass.masses(network, graph)
    return values_of(norms, graph, levels, sensitivity, form, channels, layers, positions, exponent)


def values_of(
    norms: Norms, graph: Graph, levels: int, sensitivity: Values, form: str = INVERSE, channels: float = 0.75,
    layers: float = 0.5, positions: float = 0, exponent: float = 1,
) -> Values:  # fmt: skip
    """As `values`, from masses that are known already.

    Raises:
        InputError: the form is unknown, or the sensitivities are none of this network.
    """
    if form not in FORMS:
        raise InputError(f"form: found {form!r}, expected {' or '.join(FORMS)}")
    if np.shape(sensitivity) != (len(graph.groups),) or not (np.isfinite(sensitivity) & (sensitivity >= 0)).all():
        what = " ".join(repr(np.asarray(sensitivity).tolist()).split())[:100]
        raise InputError(f"sensitivity: found {what}, expected a number from 0 for each of {len(graph.groups)} groups")
    numbers = np.array([len(group.layers) for group in graph.groups], float)
    weights = log_mass.group_weights(graph, channels, positions) * numbers ** (layers - 1)
    # Scaled to a mean of 1: only ratios of weights matter, and sums stay in the range of float32.
    relative = sensitivity / (sensitivity.mean() or 1)
    logs = log_mass.log_mass_by_step(norms, graph, levels)
    shares: Values = logs if form == LOG else 1 - np.exp(-logs)
    found: Values = (weights * relative**exponent)[:, None] * shares
    return found


def linear(scores: Values, settings: Mapping[str, Any]) -> Values:
    """What accuracies are nearly a line in, [n] -> [n]: S itself of the form `log`, -ln(-S) of `inverse`.

    S of `inverse` is never above 0, but for rounding, and without bound below: in S itself, the emptiest networks alone
    would decide a line. The unpruned network has S = 0; it counts as the best of the others. NaN stays NaN.
    """
    if settings["form"] != INVERSE:
        return scores
    below = scores[scores < 0]
    least = -below.max() if len(below) else 1.0
    found: Values = -np.log(np.where(scores >= 0, least, -scores))
    return found
