"""Neural spectral capacity: published and sampled numbers, the score of a network against those of pruned ones."""

from itertools import product

import numpy as np
import pytest
import sacp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from networks_zoo import Custom, any_network, built
from sacp.errors import InputError
from sacp.network.cost import Budget, cost_of_graph, costs_of_counts
from sacp.network.graph import Graph
from sacp.network.surgery import prune
from sacp.pruning.criteria import kept_channels, l1_order
from sacp.pruning.space import Space, kept_counts
from sacp.search.spectral_capacity import INITIALISATIONS, capacity, values
from sacp.solver import bounded
from sacp.solver.tables import Score, Tables
from sacp.tracing.trace import trace
from scipy.integrate import quad
from torch import nn

LEVELS = 8


def test_published_capacities() -> None:
    assert capacity([2000, 4000], [2000, 1000]).round().tolist() == [1161, 909]


@settings(max_examples=100, deadline=None)
@given(m=st.integers(1, 5000), n=st.integers(1, 5000), initialisation=st.sampled_from(INITIALISATIONS))
def test_the_closed_form_is_the_integral_over_the_law_of_marchenko_and_pastur(m, n, initialisation) -> None:
    smaller, larger = min(m, n), max(m, n)
    ratio, gain = smaller / larger, larger * (2 / (m + n) if initialisation == "xavier" else 2 / n)

    def integrand(angle: float) -> float:
        """The logarithm times the law's density at x = 1 + ratio + 2 ratio^.5 cos(angle), from one end to the other."""
        x = 1 + ratio + 2 * ratio**0.5 * np.cos(angle)
        return np.log1p(gain * x) * 2 * np.sin(angle) ** 2 / (np.pi * x)

    mean = quad(integrand, 0, np.pi, limit=200)[0]
    assert capacity(m, n, initialisation) == pytest.approx(smaller * mean, rel=1e-7)


@pytest.mark.parametrize("initialisation", INITIALISATIONS)
@pytest.mark.parametrize(("m", "n"), [(16, 144), (64, 27), (40, 40), (10, 200)])
def test_sampled_matrices_have_the_capacity(m: int, n: int, initialisation: str) -> None:
    deviation = (2 / (m + n if initialisation == "xavier" else n)) ** 0.5
    drawn = np.random.default_rng(0).normal(size=(300, m, n)) * deviation
    found = np.linalg.slogdet(np.eye(m) + drawn @ drawn.transpose(0, 2, 1))[1]
    assert found.mean() == pytest.approx(capacity(m, n, initialisation), rel=0.01)


@pytest.mark.parametrize("initialisation", INITIALISATIONS)
def test_capacities_rise_and_are_concave_in_both_widths(initialisation: str) -> None:
    widths = np.arange(1, 600)
    for table in (capacity(widths[:, None], [1, 9, 64, 300], initialisation),
                  capacity(np.array([1, 9, 64, 300])[:, None], widths, initialisation).T):  # fmt: skip
        assert (np.diff(table, axis=0) > 0).all()
        assert (np.diff(table, 2, axis=0) < 1e-9).all()


def of_modules(network: nn.Module, initialisation: str) -> float:
    """The sum over all convolutions and linear layers of a network, by the shapes of their weights."""
    total = 0.0
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            weight, groups = module.weight.detach(), getattr(module, "groups", 1)
            weight = weight.transpose(0, 1) if isinstance(module, nn.ConvTranspose2d) else weight
            total += groups * float(capacity(len(weight) // groups, weight[0].numel(), initialisation))
    return total


def tables(network: nn.Module, graph: Graph, levels: int, initialisation: str = "xavier") -> Score:
    unary, pairs = values(network, graph, levels, initialisation)
    return Tables(0, tuple(unary), pairs)


@pytest.mark.parametrize("initialisation", INITIALISATIONS)
@pytest.mark.parametrize(
    "name", ["vgg11", "resnet8", "flat", "depthwise", "squeeze_excite", "in_groups", "linear_gate", "resampled"]
)
def test_the_score_is_that_of_the_pruned_network_by_its_weights(name: str, initialisation: str) -> None:
    network, graph, _ = any_network(name)
    score, rng = tables(network, graph, LEVELS, initialisation), np.random.default_rng(0)
    whole = np.zeros((1, len(graph.groups)), np.uint8)
    for _ in range(4):
        steps = rng.integers(0, LEVELS, whole.shape, np.uint8)
        kept = kept_channels(l1_order(network, graph), kept_counts(steps[0], graph, LEVELS))
        lost = of_modules(prune(network, graph, kept), initialisation) - of_modules(network, initialisation)
        assert score.of(steps)[0] - score.of(whole)[0] == pytest.approx(lost, rel=1e-9)


def beside() -> nn.Module:
    """A convolution that reads two convolutions side by side, whose channels are 16, 8 and 24."""
    return Custom(
        lambda n, x: n.classifier(n.both(torch.cat([n.left(x), n.right(x)], 1)).mean((2, 3))),
        left=nn.Conv2d(3, 16, 3, padding=1),
        right=nn.Conv2d(3, 8, 3, padding=1),
        both=nn.Conv2d(24, 24, 3, padding=1),
        classifier=nn.Linear(24, 10),
    )


def test_behind_a_concatenation_the_score_is_right_for_equal_shares_and_nowhere_too_high() -> None:
    network = beside()
    graph = trace(network, (1, 3, 8, 8))
    order, whole = l1_order(network, graph), np.zeros((1, 3), np.uint8)
    score, ways = tables(network, graph, LEVELS), {group.name: place for place, group in enumerate(graph.groups)}
    for left, right, both in product(range(0, LEVELS, 2), repeat=3):
        steps = whole.copy()
        steps[0, [ways["left"], ways["right"], ways["both"]]] = left, right, both
        pruned = prune(network, graph, kept_channels(order, kept_counts(steps[0], graph, LEVELS)))
        lost = of_modules(pruned, "xavier") - of_modules(network, "xavier")
        found = score.of(steps)[0] - score.of(whole)[0]
        if left == right:
            assert found == pytest.approx(lost)
        else:
            assert found < lost


@pytest.mark.parametrize("name", ["flat", "squeeze_excite", "concatenated", "in_groups"])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_the_exact_optimum_is_that_of_all_configurations(name: str, share: float) -> None:
    network, graph, _ = any_network(name)
    levels = 5
    score, budget = tables(network, graph, levels), Budget(int(share * cost_of_graph(graph).flops))
    every = np.array(list(product(range(levels), repeat=len(graph.groups))), np.uint8)
    every = every[budget.holds(*costs_of_counts(graph, kept_counts(every, graph, levels)))]
    found = bounded.best(score, graph, Space.of(graph, levels, 0), budget)
    assert found.solved
    assert found.value == pytest.approx(score.of(every).max())


@pytest.mark.parametrize("share", [0.2, 0.5])
def test_resnet56_is_solved(share: float) -> None:
    network, graph = built("resnet56")
    budget = Budget(int(share * cost_of_graph(graph).flops))
    found = bounded.best(tables(network, graph, 10), graph, Space.of(graph, 10, 0), budget)
    assert found.value <= found.bound <= found.value * (1 + 1e-4)


def test_a_network_is_pruned_by_it() -> None:
    network, graph, shape = any_network("resnet8")
    smaller = sacp.prune(network, shape, flops=0.5, score="nsc", levels=LEVELS)
    score, budget = tables(network, graph, LEVELS), Budget(cost_of_graph(graph).flops // 2)
    found = bounded.best(score, graph, Space.of(graph, LEVELS, 0), budget)
    whole = score.of(np.zeros((1, len(graph.groups)), np.uint8))[0]
    assert found.value - whole == pytest.approx(of_modules(smaller, "xavier") - of_modules(network, "xavier"))


def test_an_unknown_initialisation_is_refused() -> None:
    network, graph, _ = any_network("flat")
    with pytest.raises(InputError, match=r"^initialisation: found 'he', expected xavier or kaiming$"):
        values(network, graph, 10, "he")
