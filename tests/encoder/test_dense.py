from functools import cache

import numpy as np
import pytest
import torch
from networks_zoo import CUSTOM_NETWORKS, any_network, built
from sacp.encoder.dense import DenseScorer
from sacp.encoder.features import NodeFeatures
from sacp.encoder.model import Encoder, edge_index, normalised_adjacency
from sacp.errors import InputError
from sacp.network.graph import CONV, Graph, Node, Run
from sacp.pruning.criteria import Order, l1_order
from sacp.pruning.space import draw_training
from torch import Tensor
from torch_geometric.data import Batch, Data
from torch_geometric.nn import global_mean_pool

LEVELS = 10


@cache
def problem(name: str, width: float = 1.0) -> tuple[Graph, Order, np.ndarray]:
    """A graph, its L1 order, and configurations of which the first is the unpruned one."""
    network, graph = built(name, width)
    steps = draw_training(40, graph, LEVELS, np.random.default_rng(8))
    steps[0] = 0
    return graph, l1_order(network, graph), steps


def encoder_for(graph: Graph, layers: int = 2, hidden: int = 16) -> Encoder:
    """An encoder with random weights and biases."""
    encoder, generator = Encoder(graph.max_channels, hidden, layers), torch.Generator().manual_seed(9)
    for parameter in encoder.parameters():
        torch.nn.init.normal_(parameter, std=0.3, generator=generator)
    return encoder


def scorer_for(name: str, width: float = 0.25, edges: str = "directed") -> DenseScorer:
    graph, order, _ = problem(name, width)
    return DenseScorer(encoder_for(graph), graph, order, LEVELS, edges)


@torch.no_grad()
def pyg_embedding(encoder: Encoder, graph: Graph, order: Order, steps: np.ndarray, edges: str) -> Tensor:
    """Embeddings of a torch_geometric batch with one graph for each configuration."""
    features = NodeFeatures(graph, LEVELS)
    nodes = features.of_nodes(features.table(order)[features.index(steps)])
    batch = Batch.from_data_list([Data(x=x, edge_index=edge_index(graph, edges)) for x in nodes])
    hidden = batch.x
    for number, conv in enumerate(encoder.convs):
        hidden = conv(hidden.relu() if number else hidden, batch.edge_index)
    return torch.nn.functional.normalize(global_mean_pool(hidden, batch.batch), dim=1)


@pytest.mark.parametrize("layers", [1, 2, 3, 4])
@pytest.mark.parametrize("edges", ["directed", "both"])
@pytest.mark.parametrize("name", ["vgg16", "resnet18", "resnet56"])
def test_dense_embeddings_equal_those_of_torch_geometric(name, edges, layers):
    graph, order, steps = problem(name)
    encoder = encoder_for(graph, layers)
    expected = pyg_embedding(encoder, graph, order, steps[:6], edges)
    scorer = DenseScorer(encoder, graph, order, LEVELS, edges)
    assert torch.allclose(scorer.embed(steps[:6]), expected, atol=1e-5)
    assert torch.allclose(torch.from_numpy(scorer.score_chunk(steps[:6])), expected @ expected[0], atol=1e-5)
    assert expected.std(dim=0).max() > 1e-3  # the configurations differ, so must their embeddings


@pytest.mark.parametrize("name", CUSTOM_NETWORKS)
def test_networks_with_other_operations_are_embedded_alike(name):
    network, graph, _ = any_network(name)
    order, encoder = l1_order(network, graph), encoder_for(graph)
    steps = draw_training(20, graph, LEVELS, np.random.default_rng(1))
    embeddings = DenseScorer(encoder, graph, order, LEVELS, "directed").embed(steps)
    assert torch.allclose(embeddings, pyg_embedding(encoder, graph, order, steps, "directed"), atol=1e-5)


@pytest.mark.parametrize("edges", ["directed", "both"])
@pytest.mark.parametrize("name", ["vgg16", "resnet20"])
def test_the_unpruned_configuration_scores_one_and_the_others_less(name, edges):
    scores = scorer_for(name, edges=edges).score_chunk(problem(name, 0.25)[2])
    assert scores[0] == pytest.approx(1, abs=1e-6)
    assert (scores[1:] < scores[0]).all()
    assert scores.dtype == np.float32


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(value):
    graph, order, _ = problem("resnet20", 0.25)
    encoder = encoder_for(graph)
    with torch.no_grad():
        encoder.convs[1].bias[3] = value
    with pytest.raises(InputError, match="encoder: weights are not finite"):
        DenseScorer(encoder, graph, order, LEVELS, "directed")


@pytest.mark.parametrize(
    ("edges", "expected"),
    [
        # In-degrees with the self-loop are 1, 2, 2; entry (v, s) is 1 / sqrt(degree_v degree_s).
        ("directed", [[1, 0, 0], [2**-0.5, 1 / 2, 0], [0, 1 / 2, 1 / 2]]),
        # Degrees 2, 3, 2.
        ("both", [[1 / 2, 6**-0.5, 0], [6**-0.5, 1 / 3, 6**-0.5], [0, 6**-0.5, 1 / 2]]),
    ],
)
def test_adjacency_of_a_chain_of_three_nodes(edges, expected):
    node = Node("n", CONV, (Run(None, 0, 1),), (Run(0, 0, 1),), 0, 0, 0, 0)
    chain = Graph((node, node, node), ((0, 1), (1, 2)), ())
    assert torch.allclose(normalised_adjacency(chain, edges), torch.tensor(expected))
