"""AMC: its constraint, states, least squares and agent by hand; stopped and gone on with, the same bits."""

import copy
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from learning_tasks import saved, task
from networks_zoo import Custom, built
from sacp.baselines import untrained
from sacp.baselines.amc.refit import Refit, refitted
from sacp.baselines.amc.search import Search
from sacp.baselines.amc.select import select
from sacp.baselines.amc.walk import Walk
from sacp.baselines.ddpg import noisy, sigma
from sacp.baselines.learning import settled
from sacp.compute.resume import Sidecar
from sacp.errors import InputError, Stopped
from sacp.network.constraints import Constraints
from sacp.network.cost import cost_of_graph, costs_of_counts
from sacp.network.graph import Graph
from sacp.network.surgery import prune
from sacp.pruning.criteria import kept_channels, l1_order
from sacp.pruning.space import rounded
from sacp.tracing.trace import trace
from torch import nn


def three_layers() -> tuple[nn.Module, Graph]:
    """3 - 4 - 4 - 10 channels on one position: 12 + 16 + 40 = 68 FLOPs."""
    torch.manual_seed(0)
    convs = nn.Conv2d(3, 4, 1, bias=False), nn.ReLU(), nn.Conv2d(4, 4, 1, bias=False), nn.ReLU()
    network = nn.Sequential(*convs, nn.Flatten(), nn.Linear(4, 10, bias=False)).eval()
    return network, trace(network, (1, 3, 1, 1))


def one_group(channels: int) -> tuple[nn.Module, Graph]:
    network = nn.Sequential(nn.Conv2d(1, channels, 1, bias=False), nn.Flatten(), nn.Linear(channels, 2)).eval()
    return network, trace(network, (1, 1, 1, 1))


def test_the_constraint_by_hand():
    network, graph = three_layers()
    assert cost_of_graph(graph).flops == 68
    walk = Walk(network, graph, 34, 0.25)
    assert walk.steps == [0, 1]
    counts = walk.start()
    assert counts.tolist() == [1, 1]
    # 16 a + 10 <= 34 holds for any share a; then 12 + 56 b <= 34, b <= .393, 1 channel.
    assert [walk.take(0, share, counts) for share in (0.0, 0.26, 0.5, 1.0)] == [1, 2, 2, 4]
    assert walk.take(1, 1.0, np.array([4, 1])) == 1
    # A quarter of the first: 3 + 44 b <= 34, b <= .705, 2 channels.
    assert walk.take(1, 1.0, np.array([1, 1])) == 2
    assert walk.take(1, 0.0, np.array([1, 1])) == 1


def test_states_by_hand():
    network, graph = three_layers()
    walk = Walk(network, graph, 34, 0.25)
    # Number, linear, inputs, outputs, stride, kernel, weights from 0 to 1 over the steps; inputs are equal, so are
    # stride and kernel. Nothing saved; the second step's layers, 16 + 40, are ahead; before the first all is kept.
    assert walk.state(0, walk.start(), 1.0) == pytest.approx([0, 0, 0, 0, 0, 0, 0, 0, 56 / 68, 1])
    # The first keeps 1 of 4: saved 9 + 12.
    assert walk.state(1, np.array([1, 1]), 0.25) == pytest.approx([1, 1, 0, 1, 0, 0, 1, 21 / 68, 0, 0.25])


def test_a_share_that_is_too_large_for_the_target_is_refused():
    network, graph = three_layers()
    with pytest.raises(InputError, match=r"amc.least_share: with 0.75 of every group the network has 48 FLOPs"):
        Walk(network, graph, 34, 0.75)


@pytest.mark.parametrize("constraints", [Constraints(), Constraints(("stages.0.1",), 4, 0.3)])
def test_every_walk_meets_the_flops_and_keeps_what_must_be_kept(constraints):
    network, _ = built("resnet20")
    graph = trace(network, (1, 3, 32, 32), constraints)
    target, rng = cost_of_graph(graph).flops // 2, np.random.default_rng(0)
    walk = Walk(network, graph, target, 0.2)
    assert sorted(walk.steps) == list(range(len(graph.groups)))
    for wish in (1.0, 0.7, 0.0):
        counts = walk.start()
        for step, group in enumerate(walk.steps):
            counts[group] = walk.take(step, min(1.0, wish + rng.uniform(0, 0.1)), counts)
        assert costs_of_counts(graph, counts[None])[0][0] <= target
        assert (rounded(counts, graph) == counts).all()
        assert (counts >= walk.least).all()
    assert (counts < graph.channels).any()


def test_noise_stays_between_0_and_1_and_shrinks():
    rng, mean = np.random.default_rng(0), np.array([0.0, 0.3, 1.0], np.float32)
    wide, narrow = (np.stack([noisy(mean, each, rng) for _ in range(4000)]) for each in (0.5, 0.01))
    assert wide.min() >= 0
    assert wide.max() <= 1
    # A normal number cut at its mean lies .798 deviations from it, but for what is beyond the other bound.
    assert narrow.mean(axis=0) == pytest.approx([0.00798, 0.3, 1 - 0.00798], abs=5e-4)
    assert narrow[:, 1].std() == pytest.approx(0.01, rel=0.05)
    assert (wide[:, 1] < 0.3).mean() == pytest.approx(0.2257 / (0.2257 + 0.4192), abs=0.03)  # normal tables
    assert [sigma(100, 100), sigma(101, 100)] == [0.5, 0.475]


def test_the_best_share_of_one_group_is_found():
    network, graph = one_group(100)
    search = Search(Walk(network, graph, cost_of_graph(graph).flops, 0.01), 50, 0)
    counts, best = search.run(lambda counts: 1 - (counts[0] / 100 - 0.3) ** 2, 300, Sidecar())
    assert counts[0] / 100 == pytest.approx(0.3, abs=0.05)
    late = [counts[0] / 100 for counts, _ in search.tried[-20:]]
    assert np.mean(late) == pytest.approx(0.3, abs=0.05)  # by the agent, not by luck
    assert best == max(value for _, value in search.tried)
    assert len(search.tried) == 300


def rewarded(counts: np.ndarray) -> float:
    return float(1 / (1 + np.abs(counts - 7).sum()))


def test_a_search_that_is_stopped_goes_on_to_the_same_bits(tmp_path: Path):
    network, graph = built("vgg11", 0.25)
    walk = Walk(network, graph, cost_of_graph(graph).flops // 2, 0.2)
    whole = Search(walk, 4, 7)
    whole.run(rewarded, 12, Sidecar())
    asked = []

    def stopping(counts):
        asked.append(counts)
        if len(asked) in (3, 7):  # in the warm-up, and after it
            signal.raise_signal(signal.SIGTERM)
        return rewarded(counts)

    path = tmp_path / "state.pt"
    for _ in range(2):
        with pytest.raises(Stopped):
            Search(walk, 4, 7).run(stopping, 12, Sidecar(path, "key"))
    again = Search(walk, 4, 7)
    again.run(stopping, 12, Sidecar(path, "key"))
    assert len(asked) == 12  # no episode twice
    assert again.tried == whole.tried
    for own, other in zip(again.agent.state()["networks"], whole.agent.state()["networks"], strict=True):
        assert all(torch.equal(own[name], other[name]) for name in own)
    assert len({tuple(counts) for counts, _ in whole.tried}) > 6


def test_least_squares_by_hand():
    # Inputs x and y = 2 x: without y, x takes its weight along: w_x + 2 w_y.
    samples = torch.tensor([[1.0, 2], [3, 6]], dtype=torch.float64)
    found = refitted(torch.tensor([[1.0, 1], [0, 2]]), samples.T @ samples, torch.tensor([0]), 1)
    assert found == pytest.approx(torch.tensor([[3.0], [4]], dtype=torch.float64), rel=1e-5)


def test_with_all_channels_left_the_weights_are_what_they_were():
    torch.manual_seed(0)
    network, graph = built("resnet20", 0.5)
    network.eval()
    refit = Refit(network, graph, [torch.randn(4, 3, 32, 32)], 0)
    same = copy.deepcopy(network)
    refit(same, [np.arange(channels) for channels in graph.channels])
    for name, value in network.state_dict().items():
        assert torch.allclose(same.state_dict()[name], value, rtol=1e-5, atol=1e-6), name


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv2d(6, 4, 3, padding=1), nn.Conv2d(6, 4, (3, 2), stride=(2, 1), dilation=(1, 2)), nn.Conv2d(6, 4, 1),
        nn.Conv2d(6, 4, 4, padding="same"), nn.Conv2d(6, 4, 3, padding=2, padding_mode="reflect"),
    ],
)  # fmt: skip
def test_redundant_channels_can_go_without_a_change(conv):
    """Channels 3 to 5 are the first three, doubled: the reader makes up for them."""
    torch.manual_seed(0)
    stem = nn.Conv2d(2, 6, 1, bias=False)
    stem.weight.data[3:] = 2 * stem.weight.data[:3]
    head = nn.Linear(4, 2)
    network = Custom(lambda n, x: n.head(n.conv(n.stem(x).relu()).mean((2, 3))), stem=stem, conv=conv, head=head).eval()
    graph, images = trace(network, (1, 2, 9, 9)), torch.randn(64, 2, 9, 9)
    kept = [np.arange(3), np.arange(4)]
    half = prune(network, graph, kept)
    assert (half(images) - network(images)).abs().max() > 0.01
    Refit(network, graph, [images], 0)(half, kept)
    assert torch.allclose(half(images), network(images), atol=1e-4)


def test_refit_brings_a_pruned_network_nearer_to_the_base():
    torch.manual_seed(0)
    network, graph = built("vgg11", 0.25)
    network.eval()
    images, others = torch.randn(2, 100, 3, 32, 32)
    kept = kept_channels(l1_order(network, graph), np.array(graph.channels) * 3 // 4)
    plain, fitted = prune(network, graph, kept), prune(network, graph, kept)
    refit = Refit(network, graph, images.split(50), 0)
    refit(fitted, kept)
    with torch.no_grad():
        wanted = network(others)
        far, near = ((each(others) - wanted).norm() for each in (plain, fitted))
    assert near < 0.8 * far


OPTIONS = {"episodes": 6, "warmup": 3, "least_share": 0.2, "images": 30, "refit": True}


@pytest.mark.parametrize("options", [{}, {"refit": False}, {"images": 10**6}])
def test_a_task_is_solved_at_the_flops_and_what_was_evaluated_is_said(options):
    own = task(OPTIONS | options)
    before = copy.deepcopy(own.base.state_dict())
    learned = select(own)
    counts = np.array([[len(channels) for channels in settled(learned, own, "amc")]])
    assert costs_of_counts(own.graph, counts)[0][0] == pytest.approx(own.target_flops, rel=0.02)
    assert [row["candidate"] for row in learned.judged] == list(range(6))
    assert all(row["flops"] <= own.target_flops for row in learned.judged)
    images = min((OPTIONS | options)["images"], 64)  # of so many accuracies are shares
    right = [row["validation_accuracy_percent"] * images / 100 for row in learned.judged]
    assert right == pytest.approx(np.rint(right))
    assert all(torch.equal(value, before[name]) for name, value in own.base.state_dict().items())
    assert not own.base.training


def test_a_task_that_is_stopped_is_solved_the_same_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    whole, asked = select(task(OPTIONS)), []
    evaluated = untrained.accuracy_percent

    def stopping(*given):
        asked.append(given)
        if len(asked) == 4:
            signal.raise_signal(signal.SIGTERM)
        return evaluated(*given)

    monkeypatch.setattr(untrained, "accuracy_percent", stopping)
    with pytest.raises(Stopped):
        select(task(OPTIONS, sidecar=saved(tmp_path / "state.pt")))
    again = select(task(OPTIONS, sidecar=saved(tmp_path / "state.pt")))
    assert len(asked) == 6
    assert again.judged == whole.judged
    assert [channels.tolist() for channels in again.kept] == [channels.tolist() for channels in whole.kept]
