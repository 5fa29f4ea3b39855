"""FPGM, HRank, ThiNet, Network Slimming and sensitivities on cases worked out by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from networks_zoo import any_network, built
from sacp.baselines import fpgm, hrank, sensitivity, slimming, thinet
from sacp.baselines.match_flops import threshold_counts
from sacp.baselines.task import Task
from sacp.catalogue.criteria import CRITERIA
from sacp.errors import InputError
from sacp.images.splits import ImageSet, Splits
from sacp.network.cost import costs_of_counts
from sacp.network.graph import Graph
from sacp.network.surgery import prune
from sacp.pruning.space import Space
from sacp.tracing.trace import trace
from torch import nn

IMAGE_SHAPE = (1, 1, 4, 4)


def one_layer(weights: list[float], *behind: nn.Module) -> tuple[nn.Module, Graph]:
    """A 1x1 convolution of one input channel with these weights, and what stands behind it."""
    conv = nn.Conv2d(1, len(weights), 1, bias=False)
    conv.weight.data = torch.tensor(weights).reshape(-1, 1, 1, 1)
    network = nn.Sequential(conv, *behind, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(len(weights), 2)).eval()
    return network, trace(network, IMAGE_SHAPE)


def test_fpgm_sums_the_distances_to_all_other_filters():
    network, graph = one_layer([0.0, 1.0, 5.0])
    # 0: 1 + 5; 1: 1 + 4; 5: 5 + 4.
    assert fpgm.scores(network, graph)[0].tolist() == [6, 5, 9]
    assert fpgm.orders(network, graph, [], 0)[0].tolist() == [2, 0, 1]


def test_fpgm_joins_the_filters_of_a_groups_layers():
    class Sum(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second, self.fc = nn.Conv2d(1, 3, 1), nn.Conv2d(1, 3, 1), nn.Linear(3, 2)
            self.first.weight.data = torch.tensor([0.0, 3, 0]).reshape(3, 1, 1, 1)
            self.second.weight.data = torch.tensor([0.0, 4, 1]).reshape(3, 1, 1, 1)

        def forward(self, x):
            return self.fc((self.first(x) + self.second(x)).mean((2, 3)))

    network = Sum()
    graph = trace(network, IMAGE_SHAPE)
    # The points (0, 0), (3, 4), (0, 1): distances 5, 1 and the root of 18.
    assert fpgm.scores(network, graph)[0] == pytest.approx([6, 5 + 18**0.5, 1 + 18**0.5])


def test_hrank_is_the_mean_rank_of_the_maps_behind_relu():
    network, graph = one_layer([1.0, 0.0, -1.0, 2.0], nn.ReLU())
    images = torch.stack([torch.eye(4), torch.ones(4, 4)])[:, None]  # ranks 4 and 1
    assert hrank.scores(network, graph, [images])[0].tolist() == [2.5, 0, 0, 2.5]
    assert hrank.scores(network, graph, list(images.split(1)))[0].tolist() == [2.5, 0, 0, 2.5]


def test_hrank_looks_behind_the_batch_norm():
    norm = nn.BatchNorm2d(2)
    norm.bias.data = torch.tensor([0.0, -10.0])  # the second map falls below zero everywhere
    network, graph = one_layer([1.0, 1.0], norm, nn.ReLU())
    assert hrank.scores(network, graph, [torch.eye(4)[None, None]])[0].tolist() == [4, 0]


def test_hrank_of_a_residual_block_looks_behind_the_sum():
    """Before the sum, channel 1 has the higher rank; after it, channel 0."""

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.conv, self.fc = nn.Conv2d(1, 2, 1, bias=False), nn.Conv2d(2, 2, 1), nn.Linear(2, 2)
            self.stem.weight.data = torch.ones(2, 1, 1, 1)
            self.conv.weight.data = torch.tensor([[-0.5, 0], [0, -1]]).reshape(2, 2, 1, 1)
            self.conv.bias.data = torch.tensor([0.0, 1])

        def forward(self, x):
            x = torch.relu(self.stem(x))  # x = I in both channels: rank 4
            # ReLU(-x / 2) = 0 has rank 0, but x - x / 2 = I / 2 has 4; 1 - x has 4, but x + 1 - x = 1 has 1.
            x = torch.relu(self.conv(x) + x)
            return self.fc(x.mean((2, 3)))

    network = Block().eval()
    graph = trace(network, IMAGE_SHAPE)
    assert graph.groups[0].layers == ("stem", "conv")
    assert hrank.scores(network, graph, [torch.eye(4)[None, None]])[0].tolist() == [4 + 4, 4 + 1]
    assert hrank.orders(network, graph, [torch.eye(4)[None, None]], 0)[0].tolist() == [0, 1]


def test_hrank_counts_the_maps_behind_a_projected_shortcuts_sum_for_both_convolutions():
    class Projected(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.shortcut, self.fc = nn.Conv2d(1, 2, 1), nn.Conv2d(1, 2, 1, bias=False), nn.Linear(2, 2)
            self.conv.weight.data = torch.tensor([1.0, -1]).reshape(2, 1, 1, 1)
            self.conv.bias.data = torch.tensor([0.0, 1])
            self.shortcut.weight.data = torch.ones(2, 1, 1, 1)

        def forward(self, x):
            return self.fc(torch.relu(self.conv(x) + self.shortcut(x)).mean((2, 3)))

    network = Projected().eval()
    # Sums 2 I and 1 have the ranks 4 and 1, each for two convolutions.
    found = hrank.scores(network, trace(network, IMAGE_SHAPE), [torch.eye(4)[None, None]])
    assert found[0].tolist() == [8, 2]


def test_hrank_takes_the_maps_of_a_network_without_relu_as_they_are():
    network, graph = one_layer([-1.0, 0.0], nn.Identity())
    assert hrank.scores(network, graph, [torch.eye(4)[None, None]])[0].tolist() == [4, 0]


def test_thinet_removes_the_channel_that_leaves_the_smallest_sum():
    # Contributions a = (1, 0), b = (-1, 0), c = (.5, .5). First c, of the least square; with it b leaves .5, a 2.5.
    parts = np.array([[1, -1, 0.5], [0, 0, 0.5]])
    assert thinet.removal_order(parts.T @ parts).tolist() == [2, 1, 0]


@given(st.integers(0, 2**31), st.integers(1, 8), st.integers(1, 6))
@settings(deadline=None, max_examples=50)
def test_thinet_takes_the_least_error_at_every_step(seed, channels, samples):
    parts = np.random.default_rng(seed).normal(size=(samples, channels))
    order = thinet.removal_order(parts.T @ parts).tolist()
    for position, chosen in enumerate(order):
        removed = parts[:, order[:position]].sum(axis=1)
        errors = [np.square(removed + parts[:, channel]).sum() for channel in order[position:]]
        assert np.square(removed + parts[:, chosen]).sum() == pytest.approx(min(errors), abs=1e-9)


@pytest.mark.parametrize("settings", [{}, {"stride": 2, "padding": 1}, {"padding": 2, "dilation": 2}])
def test_thinets_contributions_sum_up_to_the_layers_output(settings):
    conv = nn.Conv2d(3, 5, 3, bias=False, **settings)
    network = nn.Sequential(nn.Conv2d(1, 3, 1), conv, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 2))
    graph = trace(network, (1, 1, 9, 9))
    node = next(node for node in graph.nodes if node.name == "1")
    x = torch.randn(4, 3, 9, 9, generator=torch.Generator().manual_seed(0))
    parts = thinet._contributions(conv, x, node, torch.Generator().manual_seed(1))
    assert parts.shape == (4 * thinet.POSITIONS, 3)
    draws, out = torch.Generator().manual_seed(1), conv(x).flatten(2)  # [4, 5, places]
    outputs = torch.randint(5, (len(parts),), generator=draws)
    places = torch.randint(out.shape[2], (len(parts),), generator=draws)
    expected = out[torch.arange(4).repeat_interleave(thinet.POSITIONS), outputs, places]
    assert torch.allclose(parts.sum(dim=1), expected, atol=1e-5)


def test_thinets_contributions_to_a_linear_layer_sum_to_its_outputs():
    network = nn.Sequential(nn.Conv2d(1, 3, 1), nn.Flatten(), nn.Linear(3 * 16, 5, bias=False))
    graph = trace(network, IMAGE_SHAPE)
    x = torch.randn(2, 48, generator=torch.Generator().manual_seed(0))
    parts = thinet._contributions(network[2], x, graph.nodes[-1], torch.Generator().manual_seed(1))
    outputs = torch.randint(5, (len(parts),), generator=torch.Generator().manual_seed(1))
    expected = network[2](x)[torch.arange(2).repeat_interleave(thinet.POSITIONS), outputs]
    assert parts.shape == (2 * thinet.POSITIONS, 48)
    assert torch.allclose(parts.sum(dim=1), expected, atol=1e-5)


def test_thinet_keeps_the_channel_that_alone_reaches_the_output():
    network, graph = one_layer([1.0, 1.0, 1.0])
    network[-1].weight.data = torch.tensor([[0.0, 3.0, 1.0], [0.0, 3.0, 1.0]])
    found = thinet.orders(network, graph, [torch.rand(5, 1, 4, 4)], 0)
    assert found.order[0].tolist() == [1, 2, 0]
    # Channel 1 alone makes up for what 2 gave, a third of its own; nothing is missing where all are kept.
    assert found.scales([np.array([1])])[0] == pytest.approx([4 / 3])
    assert found.scales([np.arange(3)])[0].tolist() == [1, 1, 1]


def test_thinets_factors_are_those_of_the_least_squares():
    # Kept (1, 0, 1) and (0, 2, 0), removed (1, 1, 0), all (2, 3, 1): 1.5 (1, 0, 1) + 1.5 (0, 2, 0) is nearest.
    parts = np.array([[1.0, 0, 1], [0, 2, 1], [1, 0, 0]])
    assert thinet.rescaling(parts.T @ parts, np.array([0, 1])) == pytest.approx([1.5, 1.5])


@given(st.integers(0, 2**31), st.integers(2, 7))
@settings(deadline=None, max_examples=50)
def test_thinets_factors_are_numpys_on_any_contributions(seed, channels):
    rng = np.random.default_rng(seed)
    parts, kept = rng.normal(size=(40, channels)), np.sort(rng.permutation(channels)[: rng.integers(1, channels + 1)])
    expected = np.linalg.lstsq(parts[:, kept], parts.sum(axis=1), rcond=None)[0]
    assert thinet.rescaling(parts.T @ parts, kept) == pytest.approx(expected)


def test_thinets_factors_of_equal_and_of_dead_channels():
    a = np.array([1.0, 2.0, -1.0])
    parts = np.stack([a, a, a, 0 * a], axis=1)
    gram = parts.T @ parts
    assert thinet.rescaling(gram, np.array([0, 3])) == pytest.approx([3, 1])  # one for three; the dead one stays
    assert thinet.rescaling(gram, np.array([0, 1])) == pytest.approx([1.5, 1.5])  # of all pairs with the sum 3
    assert thinet.rescaling(gram, np.array([3])) == pytest.approx([1])


def test_thinets_factors_bring_the_next_layers_outputs_nearer_to_those_of_the_whole():
    torch.manual_seed(5)
    layers = [nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Conv2d(6, 4, 3, bias=False), nn.Flatten(), nn.Linear(16, 2)]
    network = nn.Sequential(*layers).eval()
    graph, images = trace(network, (1, 1, 6, 6)), torch.randn(30, 1, 6, 6)
    kept = [np.array([0, 2, 5]), np.arange(4)]
    found = thinet.orders(network, graph, [images], 3)
    scales = found.scales(kept)
    # The positions that were sampled: the first draws of the generator, as the convolution is the first consumer.
    node = next(node for node in graph.nodes if node.name == "2")
    parts = thinet._contributions(network[2], network[:2](images), node, torch.Generator().manual_seed(3)).detach()
    parts = parts.double().numpy()
    expected = np.linalg.lstsq(parts[:, kept[0]], parts.sum(axis=1), rcond=None)[0]
    assert scales[0] == pytest.approx(expected, rel=1e-4)
    assert scales[1].tolist() == [1] * 4

    def error(smaller: nn.Module) -> float:
        """Squared error of the smaller network's next layer at the sampled outputs."""
        draws, out = torch.Generator().manual_seed(3), smaller[:3](images).flatten(2)  # [30, 4, places]
        outputs = torch.randint(4, (len(parts),), generator=draws)
        places = torch.randint(out.shape[2], (len(parts),), generator=draws)
        chosen = out[torch.arange(30).repeat_interleave(thinet.POSITIONS), outputs, places]
        return float(np.square(chosen.detach().numpy() - parts.sum(axis=1)).sum())

    rescaled, plain = error(prune(network, graph, kept, scales)), error(prune(network, graph, kept))
    assert rescaled < 0.9 * plain
    assert rescaled == pytest.approx(np.square(parts[:, kept[0]] @ expected - parts.sum(axis=1)).sum(), rel=1e-3)


def test_thinet_looks_at_a_convolution_from_a_stream_to_itself_and_at_no_depthwise_one():
    class Stream(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.deep = nn.Conv2d(1, 2, 1, bias=False), nn.Conv2d(2, 2, 1, groups=2, bias=False)
            self.conv, self.fc = nn.Conv2d(2, 2, 1, bias=False), nn.Linear(2, 2, bias=False)
            self.stem.weight.data, self.deep.weight.data = torch.ones(2, 1, 1, 1), torch.ones(2, 1, 1, 1)
            self.conv.weight.data = torch.tensor([[1.0, 3], [1, 3]]).reshape(2, 2, 1, 1)
            self.fc.weight.data = torch.zeros(2, 2)

        def forward(self, x):
            x = self.deep(self.stem(x))
            return self.fc((x + self.conv(x)).mean((2, 3)))

    network = Stream().eval()
    graph = trace(network, IMAGE_SHAPE)
    assert graph.groups[0].layers == ("stem", "deep", "conv")
    found = thinet.orders(network, graph, [torch.ones(2, *IMAGE_SHAPE[1:])], 0)
    assert found.order[0].tolist() == [1, 0]
    assert found.scales([np.array([1])])[0] == pytest.approx([4 / 3])


def test_sensitivity_keeps_the_channels_that_move_the_logits_most():
    network, graph = one_layer([5.0, 1.0, 2.0, -3.0])
    # Channel c moves the difference of the two logits by the pixels' mean times 5 * .1, 1 * 2, 2 * 0 and -3 * .5.
    network[-1].weight.data = torch.tensor([[0.1, 2, 7, 0.5], [0.0, 0, 7, 0]])  # 7 in both logits: no softmax sees it
    images = torch.rand(6, *IMAGE_SHAPE[1:]) + 0.5
    assert sensitivity.orders(network, graph, [images], 0)[0].tolist() == [1, 3, 0, 2]
    assert sensitivity.orders(network, graph, list(images.split(2)), 7)[0].tolist() == [1, 3, 0, 2]


def test_sensitivity_follows_channels_that_are_relabelled():
    network, graph, shape = any_network("flat")
    network, images = network.double().eval(), torch.rand(5, *shape[1:], dtype=torch.float64)
    before, numbers = sensitivity.orders(network, graph, [images], 0), torch.randperm(graph.channels[0])
    assert graph.groups[0].layers == ("conv1",)
    state = network.state_dict()
    for name in ("conv1.weight", "conv1.bias", "bn1.weight", "bn1.bias", "bn1.running_mean", "bn1.running_var"):
        if name in state:
            state[name].copy_(state[name][numbers])
    state["conv2.weight"].copy_(state["conv2.weight"][:, numbers])
    after = sensitivity.orders(network, graph, [images], 0)
    assert numbers[after[0]].tolist() == before[0].tolist()  # channel k is now what numbers[k] was
    assert [order.tolist() for order in after[1:]] == [order.tolist() for order in before[1:]]


@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize("name", ["resnet20", "vgg11"])
def test_every_criterion_orders_all_channels_and_the_same_seed_gives_the_same(name, criterion):
    network, graph = built(name, 0.25)
    generator = torch.Generator().manual_seed(0)
    part = ImageSet(torch.randint(0, 256, (30, 3, 32, 32), generator=generator, dtype=torch.uint8), torch.arange(30))
    splits = Splits(part, part, part, torch.full((3,), 0.5), torch.full((3,), 0.2), "")
    known, space = CRITERIA[criterion], Space.of(graph, 10, 0)
    looked_up = {"function": known.function, "images": known.images}
    first, second = (Task(network.eval(), graph, 1, 3, space, looked_up, splits) for _ in range(2))
    for order, again, channels in zip(first.order, second.order, graph.channels, strict=True):
        assert sorted(order.tolist()) == list(range(channels))
        assert order.tolist() == again.tolist()
    kept = [np.sort(order[: (len(order) + 1) // 2]) for order in first.order]
    scales, same = first.scales(kept), second.scales(kept)
    for factors, others, channels in zip(scales or [], same or [], kept if scales else [], strict=True):
        assert factors.shape == channels.shape
        assert np.isfinite(factors).all()
        assert factors.tolist() == others.tolist()
    assert scales is None or any((factors != 1).any() for factors in scales)


def test_slimming_takes_the_mean_size_of_the_scales_and_one_threshold_for_all_groups():
    layers = [nn.Conv2d(1, 4, 1), nn.BatchNorm2d(4), nn.Conv2d(4, 3, 1), nn.BatchNorm2d(3)]
    network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2))
    network[1].weight.data = torch.tensor([0.9, -0.5, 0.1, 0.3])
    network[3].weight.data = torch.tensor([0.05, 0.4, -0.2])
    graph = trace(network, IMAGE_SHAPE)
    scores = slimming.scales(network, graph)
    assert scores[0] == pytest.approx([0.9, 0.5, 0.1, 0.3])
    assert scores[1] == pytest.approx([0.05, 0.4, 0.2])
    # Above .25: channels 0, 1 and 3 of the first group, 1 of the second.
    target = int(costs_of_counts(graph, np.array([[3, 1]]))[0][0])
    kept = slimming.select(Task(network, graph, target, 0, Space.of(graph, 10, 0), sparse=network))
    assert [channels.tolist() for channels in kept] == [[0, 1, 3], [1]]


def test_slimming_keeps_one_channel_of_a_group_whose_scales_are_all_small():
    _, graph = built("vgg11", 0.125)
    scores = [np.full(channels, 1.0) for channels in graph.channels]
    scores[0] = np.linspace(0, 1e-3, graph.channels[0])
    counts = threshold_counts(graph, scores, int(costs_of_counts(graph, np.array([[1, *graph.channels[1:]]]))[0][0]))
    assert counts.tolist() == [1, *graph.channels[1:]]


def test_slimming_refuses_a_network_without_batch_norms():
    network, graph = one_layer([1.0, 2.0])
    with pytest.raises(InputError, match="slimming: no batch norm behind '0'"):
        slimming.scales(network, graph)


def test_hrank_refuses_layers_without_maps_by_name():
    network = nn.Sequential(nn.Flatten(2), nn.Conv1d(1, 4, 3), nn.Flatten(), nn.Linear(4 * 14, 2))
    with pytest.raises(InputError, match="hrank: layer '1' gives no feature maps, whose rank could be taken"):
        hrank.scores(network, trace(network, IMAGE_SHAPE), [torch.rand(2, 1, 4, 4)])


def test_hrank_takes_ranks_of_networks_in_bfloat16():
    network, graph, shape = any_network("flat")
    images = torch.rand(2, *shape[1:])
    found = hrank.scores(network.bfloat16(), graph, [images.bfloat16()])
    assert all((ranks > 0).all() for ranks in found)
