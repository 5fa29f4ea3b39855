"""Scores by tables, by dense batches and by torch-geometric are the same scores; blocks and threads change no bit."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from networks_zoo import PAPER_NETWORKS, any_network, norms_of
from sacp.catalogue.scores import SCORES
from sacp.encoder.dense import DenseScorer
from sacp.encoder.features import DeficitFeatures, NodeFeatures
from sacp.encoder.lookup_tables import DistanceTables, TableScorer, entries, shared_fields
from sacp.encoder.model import Encoder, EncoderSettings, edge_index, save
from sacp.encoder.scorer import MOST_ENTRIES, fastest
from sacp.errors import InputError
from sacp.network.cost import Budget, cost_of_graph, costs_of_counts
from sacp.network.graph import Graph
from sacp.pruning.criteria import Order, l1_norms, random_order
from sacp.pruning.space import draw_training, kept_counts, pruning_ratio
from sacp.search import ranked
from sacp.search.log_mass import group_weights
from sacp.search.scorers import Scorer, additive_values, of_score
from torch import nn
from torch_geometric.data import Batch, Data
from torch_geometric.nn import global_mean_pool
from users_code import importable

LEVELS = 10


def problem(name: str, layers: int = 3, hidden: int = 16) -> tuple[Encoder, Graph, Order, np.ndarray]:
    _, graph, _ = any_network(name)
    torch.manual_seed(layers)
    rng = np.random.default_rng(3)
    steps = draw_training(3000, graph, LEVELS, rng)
    return Encoder(graph.max_channels, hidden, layers), graph, random_order(graph, rng), steps


def by_torch_geometric(encoder: Encoder, graph: Graph, order: Order, steps: np.ndarray, edges: str) -> np.ndarray:
    features, index = NodeFeatures(graph, LEVELS), edge_index(graph, edges)
    rows = torch.cat([features.unpruned(), features.index(steps)])
    nodes = features.of_nodes(features.table(order)[rows])
    batch = Batch.from_data_list([Data(x=x, edge_index=index) for x in nodes])
    x = batch.x
    with torch.no_grad():
        for number, conv in enumerate(encoder.convs):
            x = conv(x if number == 0 else x.relu(), batch.edge_index)
        z = torch.nn.functional.normalize(global_mean_pool(x, batch.batch), dim=1)
    return (z[1:] @ z[0]).numpy()


@pytest.mark.parametrize("edges", ["directed", "both"])
@pytest.mark.parametrize("layers", [1, 2, 3, 4])
@pytest.mark.parametrize("name", [*PAPER_NETWORKS, "concatenated", "in_groups", "transformer"])
def test_tables_dense_batches_and_torch_geometric_agree(name: str, layers: int, edges: str) -> None:
    encoder, graph, order, steps = problem(name, layers)
    dense = DenseScorer(encoder, graph, order, LEVELS, edges)
    expected = by_torch_geometric(encoder, graph, order, steps[:40], edges)
    assert dense.score_chunk(steps[:40]) == pytest.approx(expected, rel=1e-5, abs=1e-6)
    if entries(dense) <= 20_000:  # larger ones agree alike, and take a minute
        assert TableScorer(dense).score_chunk(steps[:40]) == pytest.approx(expected, rel=1e-5, abs=1e-6)


def distances_by_torch_geometric(dense: DenseScorer, graph: Graph, steps: np.ndarray, edges: str) -> np.ndarray:
    features, index = dense.features, edge_index(graph, edges)
    rows = torch.cat([features.unpruned(), features.index(steps)])
    nodes = features.of_nodes(dense.rows[rows])
    batch = Batch.from_data_list([Data(x=x, edge_index=index) for x in nodes])
    x = batch.x
    with torch.no_grad():
        for number, conv in enumerate(dense.encoder.convs):
            x = conv(x if number == 0 else x.relu(), batch.edge_index)
    outputs = x.reshape(len(rows), len(graph.nodes), -1)
    return -(outputs[1:] - outputs[0]).norm(dim=-1).mean(dim=1).numpy()


@pytest.mark.parametrize("edges", ["directed", "both"])
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("name", PAPER_NETWORKS)
def test_distances_by_tables_by_dense_batches_and_by_torch_geometric_agree(name: str, layers: int, edges: str) -> None:
    encoder, graph, order, steps = problem(name, layers, hidden=64)
    norms = norms_of(order)
    with torch.no_grad():
        for conv in encoder.convs:  # as after a training: a bias of zero makes all outputs linear in the deficits
            conv.bias.uniform_(-0.2, 0.2)
    features = DeficitFeatures(graph, LEVELS, norms)
    dense = DenseScorer(encoder, graph, order, LEVELS, edges, features, "distance")
    expected = distances_by_torch_geometric(dense, graph, steps[:40], edges)
    assert expected.std() > 0.05
    assert dense.score_chunk(steps[:40]) == pytest.approx(expected, rel=1e-5, abs=1e-5)
    is_small = entries(dense) <= MOST_ENTRIES
    assert is_small or edges == "both"
    scorer = fastest(dense)
    assert isinstance(scorer, DistanceTables if is_small else DenseScorer)
    assert scorer.score_chunk(steps[:40]) == pytest.approx(expected, rel=1e-5, abs=1e-5)


def test_the_original_is_nearest_to_itself() -> None:
    encoder, graph, order, steps = problem("resnet18")
    dense = DenseScorer(
        encoder, graph, order, LEVELS, "both", DeficitFeatures(graph, LEVELS, norms_of(order)), "distance"
    )
    steps[0] = 0
    scores = dense.score_chunk(steps[:200])
    assert scores[0] == 0
    assert (scores[1:] < 0).all()


@pytest.mark.parametrize("score", ["log-mass", "pruning-ratio", "random"])
def test_closed_forms_are_sums_over_the_groups(score: str) -> None:
    network, graph, _ = any_network("resnet20")
    norms, steps = l1_norms(network, graph), problem("resnet20")[3]
    known = SCORES[score]
    looked_up = {"function": known.function, "additive": known.additive, "settings": {}}
    found = of_score(looked_up, network, graph, LEVELS).score_chunk(steps[:50])
    counts = kept_counts(steps[:50], graph, LEVELS)
    for number, row in enumerate(counts):
        expected = {"random": 0.0, "pruning-ratio": -pruning_ratio(steps[number], graph.weights, LEVELS)}
        expected["log-mass"] = sum(
            len(group.layers) * math.sqrt(group.channels) * math.log(sum(sorted(values)[-count:]) / sum(values))
            for group, values, count in zip(graph.groups, norms, row, strict=True)
        )
        assert found[number] == pytest.approx(expected[score], rel=1e-5)


def additive(monkeypatch: pytest.MonkeyPatch, found: object, **settings: float) -> dict[str, object]:
    """A user's score that returns this, or calls it."""
    function = found if callable(found) else lambda network, graph, levels: found
    return {"function": importable(monkeypatch, function), "additive": True, "settings": settings}


@pytest.mark.parametrize("form", [np.array, torch.tensor, np.ndarray.tolist])
def test_a_users_score_is_called_with_its_settings_and_summed_over_the_groups(monkeypatch, form) -> None:
    network, graph, _ = any_network("resnet8")

    def values(network: nn.Module, graph: Graph, levels: int, scale: float) -> object:
        return form(scale * np.arange(len(graph.groups) * levels).reshape(-1, levels))

    score, steps = additive(monkeypatch, values, scale=0.5), problem("resnet8")[3][:50]
    found = additive_values(score, network, graph, LEVELS)
    assert found.unary[1].dtype == np.float64
    assert found.unary[1][2] == 0.5 * (LEVELS + 2)
    expected = np.array(found.unary)[np.arange(len(graph.groups)), steps].sum(axis=1)
    assert of_score(score, network, graph, LEVELS).score_chunk(steps) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("found", "shape"),
    [
        (np.zeros((3, LEVELS)), r"\[3, 10\]"),
        (np.zeros((LEVELS, 2)), r"\[10, 2\]"),
        (np.zeros((2, LEVELS + 1)), r"\[2, 11\]"),
        (np.zeros(2), r"\[2\]"),
        (0.0, r"\[\]"),
        (None, "type object"),
        (np.zeros((2, LEVELS), complex), "type complex128"),
        (np.zeros((2, LEVELS), bool), "type bool"),
        (np.zeros((2, LEVELS), "datetime64[s]"), "type datetime64"),
        ([["0.5"] * LEVELS] * 2, "type str"),
        (np.full((2, LEVELS), 10**400), "type object"),
        (np.full((2, LEVELS), np.nan), r"found nan in it.*"),
        (np.where(np.arange(2 * LEVELS).reshape(2, -1) == 7, -np.inf, 0), r"found -inf in it.*"),
        ([[0.0] * LEVELS, [0.0]], "no array"),
        ("high", "type str"),
        (torch.zeros(2, LEVELS, requires_grad=True), "no array"),
    ],
)
def test_a_users_score_of_a_wrong_shape_or_not_finite_is_refused_by_its_name(monkeypatch, found, shape: str) -> None:
    network, graph, _ = any_network("flat")
    assert len(graph.groups) == 2
    score = additive(monkeypatch, found)
    for call in (additive_values, of_score):
        with pytest.raises(
            InputError, match=rf"score 'users_module:function': .*{shape}.*\[groups, levels\] = \[2, 10\]"
        ) as e:
            call(score, network, graph, LEVELS)
        assert "\n" not in str(e.value)


STEPS = np.arange(LEVELS)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ([1e308 - STEPS] * 2, r"its sums over the groups reach inf, expected at most 3\.4e\+38; scale it"),
        ([-1e307 * STEPS, -STEPS], r"reach 9e\+307, expected at most 3\.4e\+38; scale it"),
        ([2e38 - STEPS * 1e37] * 2, r"reach 4e\+38, expected at most 3\.4e\+38; scale it"),
        (
            [1e10 - 1e-3 * STEPS] * 2,
            r"no step changes its sum .*, about 2e\+10, by more than 0\.009, which float32 cannot",
        ),
        ([1e10 - 1e-3 * STEPS, 0 * STEPS], r"about 1e\+10, by more than 0\.009, .* subtract from each group what all"),
        ([-1e10 + 1e-3 * STEPS, 1e-3 * STEPS], r"about 1e\+10, by more than 0\.009"),
        ([1e-50 * STEPS] * 2, r"about 0, by more than 9e-50, which float32 cannot tell; scale it"),
        (np.array([2**40 - STEPS] * 2), r"about 2\.2e\+12, by more than 9, which"),
    ],
)
def test_a_users_score_whose_sums_float32_cannot_hold_or_tell_apart_is_refused(monkeypatch, found, words: str) -> None:
    network, graph, _ = any_network("flat")
    with pytest.raises(InputError, match=rf"^score 'users_module:function': .*{words}") as caught:
        additive_values(additive(monkeypatch, found), network, graph, LEVELS)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "found",
    [
        [0 * STEPS] * 2,
        [0 * STEPS + 1e30] * 2,  # float64 tells no candidates apart either
        [1e30 * STEPS] * 2,
        [-1e-3 * STEPS] * 2,
        [1e10 - 1e-3 * STEPS, -1e10 + 0.0 * STEPS],  # their sum is small
        [1e-40 * STEPS, STEPS],  # another group decides
        np.array([STEPS] * 2, np.float16),
        np.array([STEPS] * 2, np.uint8),
    ],
    ids=lambda found: str(found[0][:3]),
)
def test_a_users_score_that_float32_can_tell_apart_is_taken_as_it_is(monkeypatch, found) -> None:
    network, graph, _ = any_network("flat")
    values = additive_values(additive(monkeypatch, found), network, graph, LEVELS)
    assert not values.pairs
    assert values.unary[0].dtype == np.float64
    assert np.array_equal(values.unary, np.asarray(found, np.float64))


@pytest.mark.parametrize("form", [np.array, np.ndarray.tolist])
def test_a_users_score_may_have_tables_of_pairs(monkeypatch, form) -> None:
    network, graph, _ = any_network("resnet8")
    rng, steps = np.random.default_rng(0), problem("resnet8")[3][:50]
    own, pair = rng.normal(size=(len(graph.groups), LEVELS)), rng.normal(size=(LEVELS, LEVELS))
    score = additive(monkeypatch, (form(own), {(0, 2): form(pair)}))
    expected = own[np.arange(len(own)), steps].sum(axis=1) + pair[steps[:, 0], steps[:, 2]]
    assert of_score(score, network, graph, LEVELS).score_chunk(steps) == pytest.approx(expected, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize(
    ("pair", "table", "words"),
    [
        ((1, 0), np.zeros((10, 10)), r"found a table of \(1, 0\), expected of \(i, j\), two groups 0 <= i < j < 2"),
        ((0, 2), np.zeros((10, 10)), r"found a table of \(0, 2\), expected"),
        ((0, 0), np.zeros((10, 10)), r"found a table of \(0, 0\), expected"),
        ("01", np.zeros((10, 10)), r"found a table of '01', expected"),
        ((0, 1), np.zeros((9, 10)), r"table of \(0, 1\): found an array of shape \[9, 10\], expected .* \[10, 10\]"),
        ((0, 1), np.full((10, 10), np.inf), r"table of \(0, 1\): found inf in it"),
        ((0, 1), np.full((10, 10), 1e39), r"its sums over the groups reach 1e\+39"),
        ((0, 1), 1e10 - 1e-3 * np.eye(10), "which float32 cannot tell"),
    ],
)
def test_tables_of_pairs_that_are_none_are_refused(monkeypatch, pair, table, words) -> None:
    network, graph, _ = any_network("flat")
    score = additive(monkeypatch, (np.zeros((2, LEVELS)), {pair: table}))
    with pytest.raises(InputError, match=f"^score .users_module:function.: .*{words}") as caught:
        additive_values(score, network, graph, LEVELS)
    assert "\n" not in str(caught.value)


def test_the_scorer_of_an_encoders_file_is_that_of_the_encoder(tmp_path) -> None:
    network, graph, _ = any_network("resnet20")
    settings = EncoderSettings(
        16, 2, "directed", "contrastive", "original", 0.1, 1, 32, 1e-3, features="deficit", negatives="own",
        score="distance",
    )  # fmt: skip
    torch.manual_seed(0)
    encoder, steps = Encoder.build(graph.max_channels, settings), problem("resnet20")[3][:50]
    save(tmp_path / "encoder.pt", encoder, graph, LEVELS, settings)
    score = {"function": SCORES["encoder"].function, "additive": SCORES["encoder"].additive, "settings": vars(settings)}
    scorer = of_score(score, network, graph, LEVELS, tmp_path / "encoder.pt")
    expected = fastest(DenseScorer.of(encoder, graph, l1_norms(network, graph), LEVELS, settings))
    assert isinstance(scorer, DistanceTables)
    assert np.array_equal(scorer.score_chunk(steps), expected.score_chunk(steps))


@pytest.mark.parametrize(("channels", "positions"), [(0, 0), (0.5, 0.25), (1, -0.5)])
@pytest.mark.parametrize("name", ["resnet20", "vgg11", "depthwise"])
def test_log_masses_are_weighted_by_channels_and_positions(name: str, channels: float, positions: float) -> None:
    network, graph, shape = any_network(name)
    sizes = {}

    def keep_size(layer: str):
        def hook(module, given, output) -> None:
            biased = module.groups > 1 and module.bias is not None  # then the bias counts as one more weight
            weights = module.weight[0].numel()
            sizes[layer] = output.shape[2] * output.shape[3] * weights / (weights + biased)

        return hook

    for layer, module in network.named_modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(keep_size(layer))
    network.eval()(torch.zeros(shape))
    expected = [
        sum(len(network.get_submodule(layer).weight) ** channels * sizes[layer] ** positions for layer in group.layers)
        for group in graph.groups
    ]
    assert group_weights(graph, channels, positions) == pytest.approx(expected)


def test_tables_are_used_where_they_fit_and_dense_batches_where_not() -> None:
    encoder, graph, order, _ = problem("resnet56")
    assert isinstance(fastest(DenseScorer(encoder, graph, order, LEVELS, "directed")), TableScorer)
    dense = fastest(DenseScorer(encoder, graph, order, LEVELS, "both"))
    assert isinstance(dense, DenseScorer)
    assert entries(dense) > MOST_ENTRIES


def test_a_field_shares_the_smallest_table_that_holds_it() -> None:
    assert shared_fields([(0,), (0, 1), (1,), (1, 2, 3), (), (2,)]) == {(0, 1): [0, 1, 2, 4], (1, 2, 3): [3, 5]}


@pytest.fixture(scope="module")
def scored() -> tuple[Scorer, Graph, np.ndarray, ranked.Scored]:
    encoder, graph, order, steps = problem("resnet18")
    steps[2000:] = steps[:1000]  # equal configurations, equal scores: ties
    scorer = fastest(DenseScorer(encoder, graph, order, LEVELS, "directed"))
    return scorer, graph, steps, ranked.best(iter([(0, steps)]), len(steps), scorer, graph, LEVELS)


def blocks(steps: np.ndarray, size: int):
    return ((start, steps[start : start + size]) for start in range(0, len(steps), size))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("chunk", [1, 1000, 10**9])
@pytest.mark.parametrize("keep", [None, 700])
def test_the_result_is_the_same_to_the_bit_for_all_chunks_blocks_and_threads(scored, monkeypatch, chunk, threads, keep):
    scorer, graph, steps, whole = scored
    monkeypatch.setattr(scorer, "chunk", chunk)
    best = ranked.best(blocks(steps, 901), len(steps), scorer, graph, LEVELS, keep, threads=threads)
    assert best.tobytes() == whole[:keep].tobytes()


def test_best_come_first_and_ties_go_to_the_lower_candidate(scored) -> None:
    _, _, _, best = scored
    assert (np.diff(best["score"]) <= 0).all()
    tied = np.flatnonzero(np.diff(best["score"]) == 0)
    assert len(tied) >= 900
    assert (best["candidate"][tied] < best["candidate"][tied + 1]).all()


def test_costs_are_those_of_the_candidates(scored) -> None:
    _, graph, steps, best = scored
    flops, parameters = costs_of_counts(graph, kept_counts(steps[best["candidate"]], graph, LEVELS))
    assert np.array_equal(best["flops"], flops)
    assert np.array_equal(best["parameters"], parameters)
    exact = [float(Fraction(int(t @ np.array(graph.weights)), LEVELS * sum(graph.weights))) for t in steps.astype(int)]
    assert np.array_equal(best["pruning_ratio"], np.array(exact)[best["candidate"]])


def test_candidates_outside_the_budget_are_not_ranked(scored) -> None:
    scorer, graph, steps, whole = scored
    budget = Budget.of({"flops": 0.25, "parameters": 4e6}, cost_of_graph(graph))
    best = ranked.best(blocks(steps, 1000), len(steps), scorer, graph, LEVELS, 5, budget)
    inside = (whole["flops"] <= cost_of_graph(graph).flops // 4) & (whole["parameters"] <= 4_000_000)
    assert 5 < inside.sum() < len(steps)
    assert np.array_equal(best["candidate"], whole["candidate"][inside][:5])


def test_a_budget_that_no_candidate_meets_names_the_smallest_found(scored) -> None:
    scorer, graph, steps, whole = scored
    smallest = whole["flops"].min()
    with pytest.raises(InputError, match=rf"within 1000 FLOPs; the smallest found takes {smallest} FLOPs"):
        ranked.best(blocks(steps, 1000), len(steps), scorer, graph, LEVELS, None, Budget(flops=1000))


@pytest.mark.parametrize(
    "head",
    [torch.nn.Linear(16, 1), torch.nn.Sequential(torch.nn.Linear(16, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1))],
)
def test_predictions_of_a_head_are_the_same_by_tables_and_by_torch_geometric(head: nn.Module) -> None:
    encoder, graph, order, steps = problem("resnet18")
    encoder.head = head
    dense = DenseScorer(encoder, graph, order, LEVELS, "directed")
    features = NodeFeatures(graph, LEVELS)
    x = features.table(order)[features.index(steps[:40])][:, features.rows]
    with torch.no_grad():
        expected = head(encoder(x, edge_index(graph, "directed")))[:, 0].numpy()
    assert dense.score_chunk(steps[:40]) == pytest.approx(expected, rel=1e-5, abs=1e-6)
    assert TableScorer(dense).score_chunk(steps[:40]) == pytest.approx(expected, rel=1e-5, abs=1e-6)
