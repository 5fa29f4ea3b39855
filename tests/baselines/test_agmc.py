"""AGMC: its graph and embedding by hand, its correction of the FLOPs, and what its way of exploring can find."""

import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from learning_tasks import task
from networks_zoo import built
from sacp.baselines.agmc.encoder import Encoder, FilterGraph
from sacp.baselines.agmc.search import Options, Search, action_of_group, scaled
from sacp.baselines.agmc.select import select
from sacp.baselines.learning import settled
from sacp.compute.resume import Sidecar
from sacp.errors import Stopped
from sacp.network.constraints import Constraints
from sacp.network.cost import cost_of_graph, costs_of_counts
from sacp.network.graph import Graph
from sacp.pruning.space import rounded
from sacp.tracing.trace import trace
from torch import nn


def chain(*widths: int) -> Graph:
    """1x1 convolutions on one position, and a linear layer of two outputs."""
    convs = [nn.Conv2d(one, other, 1, bias=False) for one, other in zip((1, *widths), widths, strict=False)]
    network = nn.Sequential(*convs, nn.Flatten(), nn.Linear(widths[-1], 2, bias=False))
    return trace(network, (1, 1, 1, 1))


def test_a_convolution_of_two_filters_has_a_node_for_each():
    found = FilterGraph.of(chain(2))
    # The input, what the convolution gives, what the linear layer gives, and the two filters.
    assert found.size == 5
    assert sorted(map(tuple, found.edges.T.tolist())) == [(0, 3), (0, 4), (1, 2), (3, 1), (4, 1)]
    assert found.groups.tolist() == [-1, -1, -1, 0, 0]


def test_the_embedding_by_hand():
    """Two filters between two nodes, weights of one: D^-1/2 (A + I) D^-1/2 x, the mean over the nodes."""
    graph = FilterGraph(4, np.array([[0, 0, 2, 3], [2, 3, 1, 1]]), np.array([-1, -1, 0, 0]), np.array([0, 0, 0, 0.5]))
    x = torch.rand(4, 3, generator=torch.Generator().manual_seed(0))
    encoder = Encoder(graph, x)
    encoder.convolution.weight.data.fill_(1)
    encoder.convolution.bias.data.zero_()
    matrix = np.array([[1, 0, 1, 1], [0, 1, 1, 1], [1, 1, 1, 0], [1, 1, 0, 1]])
    roots = np.diag(matrix.sum(axis=1) ** -0.5)
    mean = (roots @ matrix @ roots @ x.numpy()).sum(axis=1).mean()
    expected = torch.tanh(encoder.linear(torch.full((1, 30), float(mean))))
    assert torch.allclose(encoder(torch.ones(1, 1)), expected, atol=1e-6)
    # Half of the filters: a path of three nodes.
    matrix = np.array([[1, 0, 1], [0, 1, 1], [1, 1, 1]])
    roots = np.diag(matrix.sum(axis=1) ** -0.5)
    mean = (roots @ matrix @ roots @ x.numpy()[:3]).sum(axis=1).mean()
    expected = torch.tanh(encoder.linear(torch.full((1, 30), float(mean))))
    with torch.no_grad():
        both = encoder(torch.tensor([[0.5], [1.0], [0.5]]))
    assert torch.allclose(both[0], expected[0], atol=1e-6)
    assert torch.equal(both[0], both[2])
    assert (both[0] - both[1]).abs().max() > 1e-4


def test_a_graph_of_a_pruned_network_has_its_filters():
    _, graph = built("resnet20", 0.5)
    seen = FilterGraph.of(graph)
    filters = sum(len(group.layers) * group.channels for group in graph.groups)
    assert seen.size == 1 + len(graph.nodes) + filters
    shares = np.array([3 / channels for channels in graph.channels])
    left = (seen.groups < 0) | (seen.places < shares[np.maximum(seen.groups, 0)] - 1e-6)
    assert left.sum() == 1 + len(graph.nodes) + sum(3 * len(group.layers) for group in graph.groups)


def test_streams_have_one_action_together_as_in_the_code():
    _, graph = built("resnet56")
    assert max(action_of_group(graph, "shared")) + 1 == 28  # the stem with all second convolutions, and each block
    assert sorted(action_of_group(graph, "groups")) == list(range(30))
    streams = [group for group, action in enumerate(action_of_group(graph, "shared")) if action == 0]
    assert [graph.channels[group] for group in streams] == [16, 32, 64]
    assert action_of_group(chain(2, 3), "shared").tolist() == [0, 1]


def test_pruned_shares_are_scaled_to_the_flops_and_keep_their_proportions():
    graph = chain(1000, 1000)
    # With shares a and 3 a: 1000 k1 + 1000000 k1 k2 + 2000 k2, k = 1 - factor (1, 3) / 10; half of it.
    counts = scaled(graph, [0.1, 0.3], cost_of_graph(graph).flops // 2)
    pruned = 1 - counts / 1000
    assert pruned[1] / pruned[0] == pytest.approx(3, rel=0.02)
    assert costs_of_counts(graph, counts[None])[0][0] == pytest.approx(cost_of_graph(graph).flops / 2, rel=0.01)
    even = scaled(graph, [0.0, 0.0], cost_of_graph(graph).flops // 2)
    assert even[0] == even[1] == pytest.approx(707, abs=5)


def test_what_must_be_kept_is():
    network, _ = built("resnet20")
    graph = trace(network, (1, 3, 32, 32), Constraints(("stages.0.1",), 4, 0.3))
    rng, target = np.random.default_rng(0), round(0.6 * cost_of_graph(graph).flops)
    for _ in range(5):
        counts = scaled(graph, rng.uniform(size=len(graph.groups)), target)
        assert (rounded(counts, graph) == counts).all()
        assert costs_of_counts(graph, counts[None])[0][0] == pytest.approx(target, rel=0.02)


@pytest.mark.parametrize("exploration", ["each", "mean"])
def test_only_noise_around_each_action_finds_groups_that_differ(exploration):
    """Worth most: half of the FLOPs, all of it taken from the middle group. Around the mean, all are pruned alike."""
    graph = chain(40, 40, 40)
    search = Search(graph, cost_of_graph(graph).flops // 2, Options("groups", exploration, "constant"), 25, 0)
    search.run(lambda counts: float(1 - abs(counts - np.array([40, 20, 40])).sum() / 120), 110, Sidecar())
    late = np.mean([counts for counts, _ in search.tried[-10:]], axis=0)
    if exploration == "mean":
        assert late.max() - late.min() < 4
    else:
        assert late[[0, 2]].min() - late[1] > 8


@pytest.mark.parametrize("state", ["constant", "pruned"])
def test_a_search_that_is_stopped_goes_on_to_the_same_bits(tmp_path: Path, state):
    _, graph = built("resnet20", 0.25)
    options = Options("shared", "each", state)

    def search() -> Search:
        return Search(graph, cost_of_graph(graph).flops // 2, options, 2, 7)

    def reward(counts):
        return float(1 / (1 + np.abs(counts - 7).sum()))

    whole, asked = search(), []
    whole.run(reward, 6, Sidecar())

    def stopping(counts):
        asked.append(counts)
        if len(asked) in (1, 4):
            signal.raise_signal(signal.SIGTERM)
        return reward(counts)

    for _ in range(2):
        with pytest.raises(Stopped):
            search().run(stopping, 6, Sidecar(tmp_path / "state.pt", "key"))
    again = search()
    again.run(stopping, 6, Sidecar(tmp_path / "state.pt", "key"))
    assert len(asked) == 6
    assert again.tried == whole.tried
    for own, other in zip(again.agent.state()["networks"], whole.agent.state()["networks"], strict=True):
        assert all(torch.equal(own[name], other[name]) for name in own)


@pytest.mark.parametrize(
    "options", [{}, {"actions": "groups", "exploration": "mean", "state": "pruned"}, {"images": 10**6}]
)  # fmt: skip
def test_a_task_is_solved_at_the_flops_and_what_was_evaluated_is_said(options):
    settings = {"episodes": 5, "warmup": 3, "images": 30, "actions": "shared", "exploration": "each"}
    own = task(settings | {"state": "constant"} | options)
    learned = select(own)
    counts = np.array([[len(channels) for channels in settled(learned, own, "agmc")]])
    assert costs_of_counts(own.graph, counts)[0][0] == pytest.approx(own.target_flops, rel=0.02)
    assert len(learned.judged) == 5
    assert all(row["flops"] == pytest.approx(own.target_flops, rel=0.02) for row in learned.judged)
    best = max(learned.judged, key=lambda row: row["validation_accuracy_percent"])
    assert best["flops"] == costs_of_counts(own.graph, counts)[0][0]
