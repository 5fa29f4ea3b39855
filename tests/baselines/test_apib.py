"""APIB: its kernels and its Lasso by hand and against scikit-learn's own, and what one penalty leaves of a network."""

import copy
import math

import numpy as np
import pytest
import torch
from learning_tasks import task
from networks_zoo import Custom, built
from sacp.baselines.apib.kernels import Products, centred, kernels, products
from sacp.baselines.apib.lasso import Lasso
from sacp.baselines.apib.select import kept_by_penalty, select
from sacp.baselines.inner import is_inner
from sacp.baselines.learning import settled
from sacp.errors import InputError
from sacp.network.constraints import Constraints
from sacp.network.cost import cost_of_graph, costs_of_counts
from sacp.network.graph import Graph
from sacp.pruning.space import rounded
from sacp.tracing.trace import trace
from sklearn import linear_model
from torch import Tensor, nn

C = (1 - 1 / math.e) / 2  # of the centred kernel of two images whose one value differs by 1
SHAPE = (1, 3, 8, 8)


def by_definition(values: Tensor) -> np.ndarray:
    """The centred kernel of d values of each image, [b, d] -> [b^2]."""
    b, d = values.shape
    rows = values.double().numpy()
    kernel = np.array([[math.exp(-((x - y) ** 2).sum() / d) for y in rows] for x in rows])
    centring = np.eye(b) - 1 / b
    return (centring @ kernel @ centring).ravel()


def two_layers(*weights: list[list[float]]) -> tuple[nn.Module, Graph]:
    """A 1x1 convolution and a linear layer behind it, of these weights."""
    first, second = (torch.tensor(rows) for rows in weights)
    conv, linear = (
        nn.Conv2d(first.shape[1], len(first), 1, bias=False),
        nn.Linear(second.shape[1], len(second), bias=False),
    )
    conv.weight.data, linear.weight.data = first[:, :, None, None], second
    network = nn.Sequential(conv, nn.AdaptiveAvgPool2d(1), nn.Flatten(), linear)
    return network, trace(network, (1, first.shape[1], 2, 2))


@pytest.mark.parametrize(("penalty", "beta"), [(0.02, 0.7998), (0.05, 0.4995), (0.0999, 0.0)])
@pytest.mark.parametrize("positive", [False, True])
def test_two_images_by_hand(penalty, beta, positive):
    """One channel is the output, 0 and 1, the other says nothing: beta = max(0, 1 - penalty / c^2)."""
    network, graph = two_layers([[1.0], [0.0]], [[1.0, 0.0]])
    images = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1).expand(2, 1, 2, 2)
    found = products(network, graph, [0], images, 0)[0]
    assert found.gram == pytest.approx(np.array([[C**2, 0], [0, 0]]))
    assert found.target == pytest.approx([C**2, 0])
    coefficients = Lasso(found, positive).coefficients(penalty)
    assert coefficients == pytest.approx([max(0, 1 - penalty / C**2), 0], abs=1e-6)
    assert coefficients[0] == pytest.approx(beta, abs=1e-4)


def test_kernels_are_those_of_the_definition_however_they_are_cut(monkeypatch):
    values = torch.randn(3, 5, 7, generator=torch.Generator().manual_seed(0))
    expected = np.stack([by_definition(own) for own in values])
    assert centred(kernels(values)).flatten(1).numpy() == pytest.approx(expected)
    monkeypatch.setattr("sacp.baselines.apib.kernels.PART", 10)  # one channel and two values at a time
    assert centred(kernels(values)).flatten(1).numpy() == pytest.approx(expected)


def observed(network: nn.Module, layer: str, images: Tensor) -> tuple[Tensor, Tensor]:
    """What a layer reads and gives, of a network in training."""
    seen = []
    whole = copy.deepcopy(network).train()
    whole.get_submodule(layer).register_forward_hook(lambda _, inputs, output: seen.append((inputs[0], output)))
    whole(images)
    return seen[0][0].detach(), seen[0][1].detach()


@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("penalty", [1e-3, 1e-4])
def test_the_gram_form_is_the_lasso_of_the_authors_code(penalty, positive):
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 4, 3), nn.BatchNorm2d(4), nn.ReLU(),
        nn.Flatten(), nn.Linear(4 * 16, 5),
    )  # fmt: skip
    graph, images = trace(network, SHAPE), torch.randn(20, *SHAPE[1:])
    found = products(network, graph, [0, 1], images, 0)
    for group, (layer, channels) in enumerate((("3", 6), ("7", 4))):
        inputs, outputs = observed(network, layer, images)
        columns = np.stack([by_definition(own.flatten(1)) for own in inputs.view(20, channels, -1).unbind(1)], axis=1)
        oracle = linear_model.Lasso(penalty, positive=positive, tol=1e-10, max_iter=10_000)
        oracle.fit(columns, by_definition(outputs.flatten(1)))
        assert oracle.intercept_ == pytest.approx(0, abs=1e-12)  # kernels are centred
        assert np.count_nonzero(oracle.coef_)
        assert Lasso(found[group], positive).coefficients(penalty) == pytest.approx(oracle.coef_, abs=1e-5)


def test_a_constant_channel_has_no_coefficient_and_equal_ones_share_theirs():
    images = torch.randn(30, 2, 2, 2, generator=torch.Generator().manual_seed(0))
    once, graph = two_layers([[1.0, 0], [0, 1]], [[1.0, 0.5]])
    twice, wider = two_layers([[1.0, 0], [1, 0], [0, 1], [0, 0]], [[0.5, 0.5, 0.5, 0]])
    alone, shared = products(once, graph, [0], images, 0)[0], products(twice, wider, [0], images, 0)[0]
    for penalty in (1e-2, 1e-4, 1e-8):
        own, found = Lasso(alone, False).coefficients(penalty), Lasso(shared, False).coefficients(penalty)
        assert found[3] == 0
        assert [found[0] + found[1], found[2]] == pytest.approx(own, abs=1e-5)


def test_the_width_of_the_kernels_is_fixed_so_that_scale_matters():
    images = torch.randn(10, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    found = [
        Lasso(products(*two_layers([[1.0], [0.0]], [[scale, 0.0]]), [0], images, 0)[0], False) for scale in (1.0, 3.0)
    ]
    one, other = (lasso.coefficients(1e-3)[0] for lasso in found)
    assert abs(one - other) > 0.01


def test_products_of_several_readers_are_summed():
    torch.manual_seed(0)
    layers = {
        "stem": nn.Conv2d(3, 4, 1),
        "left": nn.Conv2d(4, 2, 1),
        "right": nn.Conv2d(4, 3, 3),
        "head": nn.Linear(5, 2),
    }
    images = torch.randn(6, *SHAPE[1:])

    def parts(rule):
        network = Custom(rule, **layers)
        graph = trace(network, SHAPE)
        group = next(number for number, each in enumerate(graph.groups) if each.name == "stem")
        return products(network, graph, [group], images, 0)[group]

    def pooled(x):
        return x.mean((2, 3))

    both = parts(lambda n, x: n.head(torch.cat([pooled(n.left(n.stem(x))), pooled(n.right(n.stem(x)))], 1)))
    stem = layers["stem"](images).detach()
    expected_gram, expected_target = np.zeros((4, 4)), np.zeros(4)
    columns = np.stack([by_definition(own.flatten(1)) for own in stem.unbind(1)])
    for reader in ("left", "right"):
        expected_gram += columns @ columns.T / 36
        expected_target += columns @ by_definition(layers[reader](stem).detach().flatten(1)) / 36
    assert both.gram == pytest.approx(expected_gram)
    assert both.target == pytest.approx(expected_target)


def test_channels_are_ordered_by_what_is_left_then_by_what_is_nearest():
    # Uncorrelated: beta = (target - penalty) / gram, by hand .5, 0, 1, 0; sizes 2, 1, 1, 1.
    found = Lasso(Products(np.diag([4.0, 1, 1, 1]), np.array([3.0, 0.25, 2, 0.5])), False)
    assert found.coefficients(1.0) == pytest.approx([0.5, 0, 1, 0])
    order, left = found.ordered(1.0)
    assert left == 2
    assert set(order[:2]) == {0, 2}  # both .5 * 2 and 1 * 1
    assert order[2:].tolist() == [3, 1]
    assert found.ordered(5.0)[1] == 0
    assert found.ordered(5.0)[0].tolist() == [0, 2, 3, 1]


def some_images() -> Tensor:
    return torch.randn(32, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def flops(graph: Graph, kept: list) -> int:
    return int(costs_of_counts(graph, np.array([[len(channels) for channels in kept]]))[0][0])


@pytest.mark.parametrize("sums", [False, True])
def test_one_penalty_meets_the_flops_and_leaves_sums_whole_unless_they_are_asked_for(sums):
    torch.manual_seed(0)
    network, graph = built("resnet20", 0.5)
    before = copy.deepcopy(network.state_dict())
    target = round(0.6 * cost_of_graph(graph).flops)
    kept, tried = kept_by_penalty(network, graph, some_images(), target, False, sums, 0)
    assert 1 <= len(tried) <= 40
    assert all(row["penalty"] > 0 and row["flops"] > 0 for row in tried)
    assert flops(graph, kept) == pytest.approx(target, rel=0.01)
    inner, streams = (np.flatnonzero(is_inner(graph) == each) for each in (True, False))
    assert (len(inner), len(streams)) == (9, 3)
    whole = [len(kept[number]) == graph.channels[number] for number in streams]
    assert all(whole) != sums
    assert any(len(kept[number]) < graph.channels[number] for number in inner)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_what_must_be_left_alone_is():
    torch.manual_seed(0)
    network, _ = built("resnet20")
    graph = trace(network, (1, 3, 32, 32), Constraints(("stages.0.1",), 4, 0.3))
    target = round(0.7 * cost_of_graph(graph).flops)
    kept, _ = kept_by_penalty(network, graph, some_images(), target, False, False, 0)
    counts = np.array([len(channels) for channels in kept])
    assert (rounded(counts, graph) == counts).all()
    assert flops(graph, kept) == pytest.approx(target, rel=0.02)


def test_a_target_that_inner_channels_cannot_meet_gives_the_smallest_network_and_says_so(caplog):
    own = task({"images": 50, "positive": False, "sums": False}, share=0.02)
    learned = select(own)
    inner = is_inner(own.graph)
    assert [len(channels) == 1 for channels in learned.kept] == inner.tolist()
    assert learned.nearest
    settled(learned, own, "apib")
    gap = flops(own.graph, learned.kept) / own.target_flops - 1
    assert f"{100 * gap:+.1f} % off" in caplog.text


@pytest.mark.parametrize("options", [{"sums": True}, {"sums": True, "positive": True}, {"images": 10**6}])
def test_a_task_is_solved_without_any_training_and_the_same_way_each_time(options):
    own = task({"images": 50, "positive": False, "sums": False} | options, share=0.8)
    first, second = select(own), select(own)
    assert not first.nearest
    assert list(first.judged) == []
    assert first.network is None
    assert [channels.tolist() for channels in first.kept] == [channels.tolist() for channels in second.kept]
    assert flops(own.graph, settled(first, own, "apib")) == pytest.approx(own.target_flops, rel=0.02)


def test_a_network_of_sums_alone_is_refused_unless_sums_are_pruned():
    network = Custom(
        lambda n, x: n.head((n.one(x) + n.two(x)).mean((2, 3))),
        one=nn.Conv2d(3, 4, 1), two=nn.Conv2d(3, 4, 1), head=nn.Linear(4, 2),
    )  # fmt: skip
    graph, images = trace(network, SHAPE), torch.randn(4, *SHAPE[1:])
    target = round(0.75 * cost_of_graph(graph).flops)
    with pytest.raises(InputError, match=r"apib: all channels of the network are summed; expected apib\.sums: true"):
        kept_by_penalty(network, graph, images, target, False, False, 0)
    assert len(kept_by_penalty(network, graph, images, target, False, True, 0)[0][0]) == 3


def test_values_that_are_no_numbers_are_refused_by_layer():
    network, graph = two_layers([[float("nan")], [1.0]], [[1.0, 1.0]])
    with pytest.raises(InputError, match="apib: layer '3' reads or gives NaN or infinite values"):
        products(network, graph, [0], torch.ones(2, 1, 2, 2), 0)


def test_a_layer_that_does_not_keep_images_apart_is_refused_by_name():
    network = Custom(
        lambda n, x: n.head(n.two(n.one(x).flatten(2).transpose(1, 2).flatten(0, 1))).view(x.size(0), -1, 2).mean(1),
        one=nn.Conv2d(3, 4, 1), two=nn.Linear(4, 3), head=nn.Linear(3, 2),
    )  # fmt: skip
    with pytest.raises(InputError, match="apib: layer 'two' gives 128 rows for 2 images; only layers that keep images"):
        products(network, trace(network, SHAPE), [0], torch.randn(2, *SHAPE[1:]), 0)
