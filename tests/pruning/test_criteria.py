from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from networks_zoo import CUSTOM_SHAPE, PAPER_NETWORKS, Custom, any_network, groups_of
from sacp.errors import InputError
from sacp.pruning import criteria
from sacp.pruning.criteria import kept_channels, l1_norms, l1_order, random_order
from sacp.pruning.space import kept_counts
from sacp.tracing.trace import trace
from torch import nn


def stream(first: list[float], second: list[float]) -> nn.Module:
    """Two 1x1 convolutions of one input channel each, added; weights as given."""
    layers = {"stem": nn.Conv2d(3, 1, 1), "fc": nn.Linear(len(first), 2)}
    for name, weights in (("first", first), ("second", second)):
        layers[name] = nn.Conv2d(1, len(weights), 1)
        layers[name].weight.data = torch.tensor(weights).reshape(-1, 1, 1, 1)

    def forward(n, x):
        x = n.stem(x)
        return n.fc((n.first(x) + n.second(x)).mean((2, 3)))

    return Custom(forward, **layers)


def order_of_stream(first: list[float], second: list[float]) -> list[int]:
    network = stream(first, second)
    graph = trace(network, CUSTOM_SHAPE)
    assert graph.groups[-1].layers == ("first", "second")
    return l1_order(network, graph)[-1].tolist()


def test_l1_norm_sums_the_absolute_weights_of_each_filter():
    network = nn.Sequential(nn.Conv2d(3, 2, (1, 2)), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2))
    # Channel 0: 1 + 2 + 3 + 4 + 5 + 6; channel 1: six times 4.
    network[0].weight.data = torch.tensor([[[[1.0, -2]], [[3, -4]], [[5, -6]]], [[[4.0, 4]], [[-4, -4]], [[4, 4]]]])
    network[0].bias.data = torch.tensor([1000.0, 0.0])
    graph = trace(network, CUSTOM_SHAPE)
    assert l1_norms(network, graph)[0].tolist() == [21, 24]
    assert l1_order(network, graph)[0].tolist() == [1, 0]


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(("channels", "inputs"), [(1, 40_000), (2, 150_000), (3, 150_000), (7, 40_000), (301, 2000)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_norms_of_large_layers_have_the_bits_of_a_sum_at_once(channels, inputs, dtype, threads):
    torch.manual_seed(0)
    weight = torch.randn(channels, inputs).to(dtype)
    before, used = weight.clone(), torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        assert torch.equal(criteria._l1_of_rows(weight), weight.double().abs().sum(dim=1))
    finally:
        torch.set_num_threads(used)
    assert torch.equal(weight, before)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ([0.5, -2.0, 1.0], [0.0, 0.0, 0.0], [1, 2, 0]),
        ([1.0, 2.0, 4.0], [5.0, -1.0, -1.0], [0, 2, 1]),  # sums 6, 3, 5: neither layer's own order
        ([1.0, -1.0, 1.0, -1.0], [2.0, 2.0, -2.0, 2.0], [0, 1, 2, 3]),  # ties
        ([1.0, 3.0, 2.0, 3.0], [2.0, 0.0, 3.0, 0.0], [2, 0, 1, 3]),  # sums 3, 3, 5, 3
    ],
)
def test_l1_order_falls_by_the_groups_summed_norm_then_rises_by_number(first, second, expected):
    assert order_of_stream(first, second) == expected


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused_by_their_layer(value):
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 5, 1), nn.Flatten(), nn.Linear(5 * 64, 2))
    graph = trace(network, CUSTOM_SHAPE)
    network[1].weight.data[[1, 3]] = value
    with pytest.raises(InputError, match="network: 2 of 5 filters of layer '1' hold NaN or infinite weights; "):
        l1_order(network, graph)


def test_many_equal_norms_stay_in_the_order_of_their_numbers():
    weights = [float(number % 3) for number in range(300)]  # longer than the short arrays that any sort leaves stable
    by_hand = [*range(2, 300, 3), *range(1, 300, 3), *range(0, 300, 3)]
    assert order_of_stream(weights, weights) == by_hand


@pytest.mark.parametrize("name", ["resnet18", "depthwise", "squeeze_excite"])
def test_group_norms_are_the_sum_of_its_layers_norms(name):
    network, graph, _ = any_network(name)
    state = network.state_dict()
    for group, norms in zip(graph.groups, l1_norms(network, graph), strict=True):
        by_layer = [np.abs(state[f"{layer}.weight"].double().numpy()).sum((1, 2, 3)) for layer in group.layers]
        np.testing.assert_allclose(norms, sum(by_layer), rtol=1e-12)


@pytest.mark.parametrize("name", PAPER_NETWORKS)
def test_orders_are_permutations_of_each_groups_channels(name):
    network, graph, _ = any_network(name)
    for order in (l1_order(network, graph), random_order(graph, np.random.default_rng(0))):
        assert [sorted(channels.tolist()) for channels in order] == [list(range(c)) for c in graph.channels]


def test_l1_order_has_falling_norms():
    network, graph, _ = any_network("vgg16")
    for norms, order in zip(l1_norms(network, graph), l1_order(network, graph), strict=True):
        assert (np.diff(norms[order]) <= 0).all()
        assert norms[order[0]] > norms[order[-1]]


def test_random_order_is_the_generators_and_uniform():
    graph = trace(stream([1.0, 2.0, 3.0], [1.0, 2.0, 3.0]), CUSTOM_SHAPE)
    rng = np.random.default_rng(5)
    drawn = Counter(tuple(random_order(graph, rng)[-1].tolist()) for _ in range(600))
    assert len(drawn) == 6
    assert all(60 < times < 140 for times in drawn.values())  # 100 expected, standard deviation 9
    seeded = [[o.tolist() for o in random_order(graph, np.random.default_rng(seed))] for seed in (1, 1)]
    assert seeded[0] == seeded[1]


@given(
    weights=st.lists(st.integers(-3, 3), min_size=1, max_size=40),  # few values, so many ties
    levels=st.sampled_from([2, 5, 10, 20]),
    data=st.data(),
)
@settings(max_examples=60, deadline=None)
def test_kept_sets_are_nested_over_the_ratios(weights, levels, data):
    order = np.argsort(-np.abs(weights), kind="stable")
    if data.draw(st.booleans(), label="random order"):
        order = np.random.default_rng(len(weights)).permutation(len(weights))
    counts = kept_counts(np.arange(levels)[:, None], groups_of([len(weights)]), levels)[:, 0]
    kept = [kept_channels([order], np.array([count]))[0] for count in counts]
    assert kept[0].tolist() == list(range(len(weights)))
    assert all(len(k) == count and (np.diff(k) > 0).all() for k, count in zip(kept, counts, strict=True))
    assert all(set(fewer) <= set(more) for more, fewer in pairwise(kept))


@given(steps=st.lists(st.integers(0, 8), min_size=12, max_size=12), group=st.integers(0, 11))
@settings(max_examples=30, deadline=None)
def test_one_more_step_removes_channels_of_that_group_only(steps, group):
    network, graph, _ = RESNET18
    order = l1_order(network, graph)
    more = np.array(steps)
    more[group] += 1
    before, after = (kept_channels(order, kept_counts(s, graph, 10)) for s in (np.array(steps), more))
    assert set(after[group]) < set(before[group])
    assert all(np.array_equal(a, b) for g, (a, b) in enumerate(zip(before, after, strict=True)) if g != group)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_kept_channels_are_the_head_of_the_order_in_ascending_order(count):
    kept = kept_channels([np.array([2, 0, 1])], np.array([count]))
    assert kept[0].tolist() == {1: [2], 2: [0, 2], 3: [0, 1, 2]}[count]


RESNET18 = any_network("resnet18")
