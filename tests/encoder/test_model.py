import math
from collections import Counter
from functools import cache

import numpy as np
import pytest
import torch
from networks_zoo import CUSTOM_NETWORKS, PAPER_NETWORKS, any_network, norms_of
from sacp.encoder.dense import DenseScorer
from sacp.encoder.features import DeficitFeatures, NodeFeatures
from sacp.encoder.model import Encoder, EncoderSettings, edge_index, load, save
from sacp.encoder.training import Labels, objective_loss, pair_loss, train_encoder
from sacp.errors import InputError
from sacp.network.graph import Graph
from sacp.pruning.criteria import Order, kept_channels, random_order
from sacp.pruning.space import draw_training, kept_counts
from sacp.seeds import derive
from sacp.tracing.trace import trace
from scipy import stats
from torch import Tensor
from torch_geometric.data import Batch, Data
from torch_geometric.nn import global_mean_pool

LEVELS = 10


def settings(**changes) -> EncoderSettings:
    defaults = {
        "hidden": 8, "layers": 2, "edges": "directed", "objective": "contrastive", "anchor": "original",
        "temperature": 0.1, "epochs": 2, "batch_size": 16, "lr": 0.001,
    }  # fmt: skip
    return EncoderSettings(**(defaults | changes))


@cache
def problem(name: str = "resnet8") -> tuple[Graph, Order, np.ndarray]:
    """A graph, an order of its channels and 64 training configurations."""
    _, graph, _ = any_network(name)
    rng = np.random.default_rng(5)
    return graph, random_order(graph, rng), draw_training(64, graph, LEVELS, rng)


def train(seed: int = 0, name: str = "resnet8", **changes) -> tuple[Encoder, list[dict[str, float]]]:
    graph, order, training = problem(name)
    return train_encoder(graph, norms_of(order), training, LEVELS, settings(**changes), seed)


def deficits(graph: Graph, norms: list[np.ndarray], step: np.ndarray) -> list[list[float]]:
    """Node by node: -ln of the mass that the L1 kept set holds, below C; fully connected all ones."""
    counts = kept_counts(step, graph, LEVELS)
    rows = []
    for node in graph.nodes:
        row = [1.0 if node.kind == "linear" else 0.0] * graph.max_channels
        for group in node.groups:
            values = sorted(norms[group], reverse=True)
            lost = -math.log(sum(values[: counts[group]]) / sum(values))
            row[: node.channels] = [lost] * node.channels
        rows.append(row)
    return rows


@pytest.mark.parametrize("name", ["resnet8", "vgg16", "squeeze_excite"])
def test_deficit_features_are_those_worked_out_node_by_node(name: str) -> None:
    graph, order, steps = problem(name)
    norms = norms_of(order)
    features = DeficitFeatures(graph, LEVELS, norms)
    rows = features.table(order)
    found = features.of_nodes(rows[features.index(steps[:5])])
    assert torch.allclose(found, torch.tensor([deficits(graph, norms, step) for step in steps[:5]]), atol=1e-6)
    original = features.of_nodes(rows[features.unpruned()])[0]
    is_linear = torch.tensor([node.kind == "linear" for node in graph.nodes])
    assert torch.allclose(original, is_linear[:, None].float().expand(-1, graph.max_channels), atol=1e-6)


def test_random_kept_sets_lose_more_mass_than_the_largest_channels() -> None:
    graph, order, steps = problem("resnet8")
    features = DeficitFeatures(graph, LEVELS, norms_of(order))
    generator = torch.Generator().manual_seed(1)
    random = features.random_rows(features.counts(steps), generator)[..., 0]
    least = features.table(order)[features.index(steps)][:, : len(graph.groups), 0]
    assert (random >= least - 1e-6).all()
    assert random.mean() > 1.2 * least.mean()


def test_pair_loss_is_the_softmax_over_an_anchors_own_pair() -> None:
    positive, negative = torch.tensor([0.9, 0.1]), torch.tensor([0.2, 0.4])
    expected = [
        -math.log(math.exp(p / 0.5) / (math.exp(p / 0.5) + math.exp(n / 0.5))) for p, n in ((0.9, 0.2), (0.1, 0.4))
    ]
    assert float(pair_loss(positive, negative, 0.5)) == pytest.approx(sum(expected) / 2)


@pytest.mark.parametrize("score", ["cosine", "distance"])
def test_training_against_own_negatives_tells_them_from_positives(score: str) -> None:
    changes = {"negatives": "own", "features": "deficit", "score": score, "temperature": 1.0, "lr": 0.01}
    _, history = train(epochs=8, **changes)
    assert history[-1]["loss"] < history[0]["loss"]
    if score == "distance":
        assert history[-1]["loss"] < math.log(2)  # of a score that cannot tell them apart


def plain_features(graph: Graph, order: Order, step: np.ndarray) -> list[list[float]]:
    """Section 3.2 node by node, channel by channel."""
    kept = kept_channels(order, kept_counts(step, graph, LEVELS))
    rows = []
    for node in graph.nodes:
        row = []
        for run in node.outputs:
            numbers = range(run.start, run.start + run.count)
            row += [1.0 if run.group is None or number in kept[run.group] else -1.0 for number in numbers]
        is_whole = node.kind == "linear" and not node.groups
        rows.append([1.0] * graph.max_channels if is_whole else row + [0.0] * (graph.max_channels - len(row)))
    return rows


def features_of(graph: Graph, order: Order, steps: np.ndarray) -> Tensor:
    features = NodeFeatures(graph, LEVELS)
    return features.of_nodes(features.table(order)[features.index(steps)])


@pytest.mark.parametrize("name", [*PAPER_NETWORKS, *CUSTOM_NETWORKS])
def test_node_features_are_those_of_section_3_2(name):
    graph, order, training = problem(name)
    expected = torch.tensor([plain_features(graph, order, step) for step in training[:5]])
    assert torch.equal(features_of(graph, order, training[:5]), expected)


@pytest.mark.parametrize("name", ["resnet8", "depthwise"])
def test_unpruned_rows_are_those_of_a_configuration_without_pruning(name):
    graph, order, _ = problem(name)
    features = NodeFeatures(graph, LEVELS)
    expected = torch.tensor([plain_features(graph, order, np.zeros(len(graph.groups), np.uint8))])
    assert torch.equal(features.table(order)[features.unpruned()][:, features.rows], expected)


def test_pooling_of_the_image_keeps_all_of_its_channels():
    network = torch.nn.Sequential(torch.nn.AvgPool2d(2), torch.nn.Conv2d(3, 6, 1), torch.nn.Conv2d(6, 4, 1))
    graph = trace(network, (1, 3, 8, 8))
    row = features_of(graph, [np.arange(6)], np.array([[5]], np.uint8))[0]
    assert row.tolist() == [[1, 1, 1, 0, 0, 0], [1, 1, 1, -1, -1, -1], [1, 1, 1, 1, 0, 0]]


def randomised(encoder: Encoder) -> Encoder:
    """Biases that are not zero, as they are before training."""
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    return encoder


def pyg_embedding(encoder: Encoder, x: Tensor, edges: Tensor) -> Tensor:
    """The encoder's layers on a torch_geometric batch of separate graphs."""
    batch = Batch.from_data_list([Data(x=nodes, edge_index=edges) for nodes in x])
    hidden = batch.x
    for number, conv in enumerate(encoder.convs):
        hidden = conv(hidden.relu() if number else hidden, batch.edge_index)
    return torch.nn.functional.normalize(global_mean_pool(hidden, batch.batch), dim=1)


@pytest.mark.parametrize("edges", ["directed", "both"])
@pytest.mark.parametrize("name", ["vgg16", "resnet18", "resnet20", "squeeze_excite", "concatenated", "in_groups"])
def test_encoder_equals_torch_geometric_on_a_batch_of_graphs(name, edges):
    graph, order, training = problem(name)
    index = edge_index(graph, edges)
    encoder = randomised(Encoder(graph.max_channels, 16, 3))
    x = features_of(graph, order, training[:6])
    with torch.no_grad():
        z = encoder(x, index)
        assert torch.allclose(z, pyg_embedding(encoder, x, index), atol=1e-5)
    assert torch.allclose(z.norm(dim=1), torch.ones(6))
    assert z.std(dim=0).max() > 1e-3  # the graphs differ, so must their embeddings


def test_edges_of_both_ways_are_each_edge_and_its_reverse():
    graph = problem()[0]
    pairs = edge_index(graph, "both").T.tolist()
    assert edge_index(graph, "directed").T.tolist() == [list(edge) for edge in graph.edges]
    assert sorted(pairs) == sorted([[a, b] for a, b in graph.edges] + [[b, a] for a, b in graph.edges])


def plain_loss(anchor: Tensor, positive: Tensor, negative: Tensor, objective: str, temperature: float) -> float:
    """Eq. 5-8, one number at a time."""

    def pair_loss(i: int, contrasts: list[Tensor]) -> float:
        similarity = [float(anchor[i] @ contrast) / temperature for contrast in contrasts]
        exponentials = [math.exp(value - max(similarity)) for value in similarity]
        return -math.log(exponentials[i] / (sum(exponentials) + 1e-12))

    size = len(anchor)
    if objective == "contrastive":
        return sum(pair_loss(i, [*positive, *negative]) for i in range(size)) / size
    return sum(pair_loss(i, [*contrasts]) for contrasts in (positive, negative) for i in range(size)) / size


def unit(rows: int, width: int, seed: int) -> Tensor:
    drawn = torch.randn((rows, width), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.nn.functional.normalize(drawn, dim=1)


@pytest.mark.parametrize("temperature", [0.05, 0.5, 2.0])
@pytest.mark.parametrize("size", [1, 2, 7])
@pytest.mark.parametrize("objective", ["literal", "contrastive"])
def test_loss_equals_a_plain_transcription(objective, size, temperature):
    z = [unit(size, 5, seed) for seed in (1, 2, 3)]
    expected = plain_loss(*z, objective, temperature)
    assert float(objective_loss(*z, objective, temperature)) == pytest.approx(expected, rel=1e-9, abs=1e-11)


@pytest.mark.parametrize(("objective", "attracts"), [("literal", True), ("contrastive", False)])
def test_literal_objective_attracts_the_own_negative_and_contrastive_repels_it(objective, attracts):
    anchor, positive, negative = (unit(2, 4, seed) for seed in (1, 2, 3))
    negative.requires_grad_()
    objective_loss(anchor, positive, negative, objective, 0.5).backward()
    # A step against the gradient changes the similarity of each anchor to its own negative by this much.
    change = -(anchor * negative.grad).sum(dim=1)
    assert ((change > 0) if attracts else (change < 0)).all()


def test_with_one_anchor_for_all_the_literal_loss_is_smallest_where_all_similarities_are_equal():
    """It never compares a positive with a negative; the contrastive loss does."""
    anchor = unit(1, 6, 0).expand(5, 6)
    apart = (anchor.clone(), -anchor)  # positives at the anchor, negatives opposite
    drawn = [(unit(5, 6, seed), unit(5, 6, seed + 1)) for seed in range(1, 40, 2)]
    least = float(objective_loss(anchor, anchor.clone(), anchor.clone(), "literal", 0.1))
    assert least == pytest.approx(2 * math.log(5), abs=1e-6)
    assert float(objective_loss(anchor, *apart, "literal", 0.1)) == pytest.approx(least, abs=1e-6)
    assert all(float(objective_loss(anchor, *each, "literal", 0.1)) > least for each in drawn)
    together = float(objective_loss(anchor, anchor.clone(), anchor.clone(), "contrastive", 0.1))
    assert float(objective_loss(anchor, *apart, "contrastive", 0.1)) < together - 0.5


def test_loss_stays_finite_at_a_tiny_temperature():
    anchor, positive = torch.eye(2, 3), -torch.eye(2, 3)
    loss = objective_loss(anchor, positive, anchor.clone(), "contrastive", 0.001)
    assert 50 < float(loss) < 100  # -log of the smallest normal float, not infinity


@pytest.mark.parametrize("objective", ["literal", "contrastive"])
@pytest.mark.parametrize("anchor", ["original", "configuration"])
def test_training_is_a_function_of_the_seed(objective, anchor):
    (first, losses), (again, same), (other, others) = (
        train(seed, objective=objective, anchor=anchor) for seed in (3, 3, 4)
    )
    assert losses == same
    assert losses != others
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("anchor", ["original", "configuration"])
def test_loss_falls(anchor):
    _, history = train(epochs=10, lr=0.01, anchor=anchor, edges="both")
    assert [row["epoch"] for row in history] == list(range(1, 11))
    assert history[-1]["loss"] < 0.95 * history[0]["loss"]


def test_training_leaves_the_global_generators_alone():
    torch.manual_seed(1)
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()
    train()
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(np.random.get_state()[1], numpy_before)


def test_a_loss_that_is_not_finite_names_the_learning_rate():
    with pytest.raises(InputError, match=r"encoder: the loss is nan in epoch \d; lower encoder.lr 1e\+37"):
        train(lr=1e37, epochs=5)


def test_random_rows_keep_as_many_channels_at_random_and_afresh():
    graph, _, training = problem()
    features, generator = NodeFeatures(graph, LEVELS), torch.Generator().manual_seed(2)
    counts = features.counts(training)
    first, later = (features.random_rows(counts, generator) for _ in range(2))
    assert torch.equal((first == 1).sum(dim=-1), counts)
    for group, channels in enumerate(graph.channels):
        assert (first[:, group, :channels].abs() == 1).all()
        assert (first[:, group, channels:] == 0).all()
    assert not torch.equal(first, later)


def test_random_rows_keep_every_set_equally_often():
    graph = trace(torch.nn.Sequential(torch.nn.Conv2d(3, 5, 1), torch.nn.Conv2d(5, 8, 1)), (1, 3, 4, 4))
    counts = torch.tensor([[2]]).expand(20_000, 1)
    rows = NodeFeatures(graph, LEVELS).random_rows(counts, torch.Generator().manual_seed(4))
    observed = list(Counter(tuple(row.tolist()) for row in rows[:, 0]).values())
    assert len(observed) == math.comb(5, 2)
    assert stats.chisquare(observed).pvalue > 0.001


@pytest.fixture
def saved(tmp_path):
    made, _ = train()
    save(tmp_path / "encoder.pt", made, problem()[0], LEVELS, settings())
    return tmp_path / "encoder.pt", made


def test_a_saved_encoder_embeds_alike(saved):
    graph, order, training = problem()
    loaded, index = load(saved[0], graph, LEVELS, settings()), edge_index(graph, "directed")
    x = features_of(graph, order, training)
    assert torch.equal(loaded(x, index), saved[1](x, index))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"graph": any_network("resnet8", 0.5)[1]}, "another network; train it again"),
        ({"levels": 5}, "another config: space.levels was 10, is 5 now"),
        ({"settings": settings(lr=0.5)}, "another config: encoder.lr was 0.001, is 0.5 now"),
        ({"settings": settings(hidden=9)}, "another config: encoder.hidden was 8, is 9 now"),
    ],
)
def test_an_encoder_of_another_network_or_config_is_refused(saved, changes, expected):
    arguments = {"graph": problem()[0], "levels": LEVELS, "settings": settings()} | changes
    with pytest.raises(InputError, match=rf"encoder\.pt: trained for {expected}"):
        load(saved[0], **arguments)


@pytest.mark.parametrize("damage", ["truncated", "one byte", "not finite", "other weights"])
def test_a_damaged_encoder_is_refused(saved, damage):
    path, made = saved
    content = bytearray(path.read_bytes())
    if damage == "truncated":
        path.write_bytes(content[:-100])
    elif damage == "one byte":
        weight = made.convs[0].lin.weight.detach().numpy().tobytes()
        content[content.index(weight[:64]) + 7] ^= 1
        path.write_bytes(content)
    else:
        value = torch.load(path, weights_only=True)
        name = next(iter(value["state"]))
        value["state"][name] = torch.full((8,), torch.nan) if damage == "not finite" else torch.zeros(3)
        torch.save(value, path)
    with pytest.raises(InputError, match=r"encoder\.pt: ") as caught:
        load(path, problem()[0], LEVELS, settings())
    assert "\n" not in str(caught.value)


def losses_by_message_passing(name: str, seed: int, changed: EncoderSettings) -> list[float]:
    """The training loop as the method describes it: whole graphs, one torch_geometric batch for each role."""
    graph, order, training = problem(name)
    features, index = NodeFeatures(graph, LEVELS), edge_index(graph, changed.edges)
    torch.manual_seed(derive(seed, "encoder weights"))
    encoder = Encoder(graph.max_channels, changed.hidden, changed.layers)
    optimizer = torch.optim.Adam(encoder.parameters(), changed.lr)
    by_number = [np.arange(channels) for channels in graph.channels]
    losses = []
    for epoch in range(changed.epochs):
        generator = torch.Generator().manual_seed(derive(seed, "encoder epoch", epoch))
        steps = training[torch.randperm(len(training), generator=generator).numpy()]
        random = features.random_rows(features.counts(steps), generator)
        constants = features.constants.expand(len(steps), -1, -1)
        anchor_order, anchor_steps = (order, 0 * steps) if changed.anchor == "original" else (by_number, steps)
        positive = torch.tensor([plain_features(graph, order, step) for step in steps])
        anchor = torch.tensor([plain_features(graph, anchor_order, step) for step in anchor_steps])
        negative = features.of_nodes(torch.cat([random, constants], dim=1))
        z = [pyg_embedding(encoder, x, index) for x in (anchor, positive, negative)]
        loss = objective_loss(*z, changed.objective, changed.temperature)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize(
    ("layers", "changes"),
    [(1, {}), (2, {"anchor": "configuration"}), (3, {}), (3, {"objective": "literal", "edges": "both"})],
)
def test_training_by_dense_products_follows_message_passing(layers, changes):
    """The loss curve of 50 steps is the same to 1e-4."""
    changes |= {"layers": layers, "epochs": 50, "batch_size": 64, "lr": 0.01}
    _, dense = train(7, "resnet20", **changes)
    losses = [row["loss"] for row in dense]
    assert losses == pytest.approx(losses_by_message_passing("resnet20", 7, settings(**changes)), rel=1e-4)
    assert losses[-1] < losses[0] - 0.01


def labelled(accuracy, **changes) -> tuple[Encoder, list[dict[str, float]], np.ndarray]:
    """An encoder trained by regression on 60 of the 64 configurations, and all their accuracies."""
    graph, order, training = problem()
    accuracies = accuracy(training.astype(float))
    rows = np.arange(60)
    labels = Labels(rows, accuracies[rows])
    more = {"objective": "regression", "epochs": 150, "lr": 0.01} | changes
    trained, history = train_encoder(graph, norms_of(order), training, LEVELS, settings(**more), 0, labels)
    return trained, history, accuracies


@pytest.mark.parametrize("head", [0, 16])
def test_a_regression_learns_accuracies_and_predicts_in_percent(head):
    graph, order, training = problem()
    trained, history, accuracies = labelled(lambda steps: 90 - steps.mean(axis=1), head=head)
    predicted = DenseScorer(trained, graph, order, LEVELS, "directed").score_chunk(training)
    assert history[-1]["loss"] < 0.1 * history[0]["loss"]
    assert stats.spearmanr(predicted[:60], accuracies[:60]).statistic > 0.9
    assert predicted.mean() == pytest.approx(accuracies.mean(), abs=0.5)


def test_a_regression_on_equal_accuracies_predicts_them():
    graph, order, training = problem()
    trained, _, _ = labelled(lambda steps: np.full(len(steps), 77.0))
    predicted = DenseScorer(trained, graph, order, LEVELS, "directed").score_chunk(training[:5])
    assert predicted == pytest.approx([77.0] * 5, abs=0.5)


def test_a_regression_needs_two_labels():
    graph, order, training = problem()
    labels = Labels(np.array([3]), np.array([80.0]))
    with pytest.raises(InputError, match="encoder: 1 labels; a regression needs two"):
        train_encoder(graph, norms_of(order), training, LEVELS, settings(objective="regression"), 0, labels)


def test_a_regressions_head_is_kept_in_its_file(tmp_path):
    graph, order, training = problem()
    trained, _, _ = labelled(lambda steps: 90 - steps.mean(axis=1), head=4, epochs=2)
    made = settings(objective="regression", epochs=2, lr=0.01, head=4)
    save(tmp_path / "encoder.pt", trained, graph, LEVELS, made)
    again = load(tmp_path / "encoder.pt", graph, LEVELS, made)
    scores = [DenseScorer(one, graph, order, LEVELS, "directed").score_chunk(training[:9]) for one in (trained, again)]
    assert np.array_equal(*scores)
