"""The graph encoder and its training, contrastive (method sections 3.2 and 3.4) or by regression (4.4, SACP-1).

What the paper does not have: node features that carry the lost L1 mass (`deficit`), each anchor against its own
negative alone (`own`), and scores by the distance of node outputs from the original's (`distance`).
"""

import logging
import time
import warnings
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sacp.criteria import Norms, Order, highest_first
from sacp.errors import InputError, one_line
from sacp.files import atomic, load_torch
from sacp.graph import LINEAR, Graph, fingerprint
from sacp.seeds import derive
from sacp.space import Steps, kept_counts

with warnings.catch_warnings():
    # torch-geometric 2.8 still scripts functions on import; torch 2.14 warns of that at every start.
    warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", FutureWarning)
    from torch_geometric.nn import GCNConv
    from torch_geometric.nn.conv.gcn_conv import gcn_norm

log = logging.getLogger(__name__)
LOSS_COLUMNS = ("epoch", "loss")
REGRESSION = "regression"  # the objective that needs labels
DEFICIT, OWN, DISTANCE = "deficit", "own", "distance"  # values of `features`, `negatives` and `score`
EPSILON = 1e-12  # eq. 6: added to the softmax denominator


@dataclass(frozen=True)
class EncoderSettings:
    """Shape and training of the encoder. `objective`, `anchor` and `edges` are the readings that method names.

    `features`, `negatives` and `score` are the paper's by default.
    """

    hidden: int
    layers: int
    edges: str  # directed | both
    objective: str  # literal | contrastive | regression
    anchor: str  # original | configuration
    temperature: float
    epochs: int
    batch_size: int
    lr: float
    head: int = 0  # hidden units of the head that a regression has; 0: it is linear
    features: str = "mask"  # mask | deficit
    negatives: str = "batch"  # batch | own
    score: str = "cosine"  # cosine | distance


class Encoder(nn.Module):
    """GCN layers (Kipf & Welling 2017) with ReLU between, mean pooling over nodes, L2-normalised output.

    A regression has a `head` too, from the embedding to a prediction, [B, hidden] -> [B, 1].
    """

    def __init__(self, features: int, hidden: int, layers: int, head: nn.Module | None = None) -> None:
        super().__init__()
        widths = [features] + [hidden] * layers
        self.convs = nn.ModuleList(GCNConv(a, b) for a, b in pairwise(widths))
        self.head = head

    @classmethod
    def build(cls, features: int, settings: EncoderSettings) -> "Encoder":
        """A fresh encoder for node features of this width."""
        head: nn.Module | None = None
        if settings.objective == REGRESSION and settings.head:
            last = nn.Linear(settings.head, 1)
            head = nn.Sequential(nn.Linear(settings.hidden, settings.head), nn.ReLU(), last)
        elif settings.objective == REGRESSION:
            head = nn.Linear(settings.hidden, 1)
        return cls(features, settings.hidden, settings.layers, head)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """Embed graphs that share one topology, by torch-geometric's message passing: the definition.

        Shapes: x [B, V, d], edge_index int64 [2, E] -> embeddings [B, hidden] of unit length.
        """
        for number, conv in enumerate(self.convs):
            x = conv(x if number == 0 else x.relu(), edge_index)
        return nn.functional.normalize(x.mean(dim=-2), dim=-1)

    def embed_products(self, products: Tensor, topology: "Topology") -> Tensor:
        """The same embeddings by products with one dense adjacency: the fast way.

        The nodes of a group share their features, so X W is taken once a group; mean and last layer are linear, so
        the mean over nodes comes before the last product.

        Shapes: products X W of groups and constants [B, G + K, hidden] -> [B, hidden] of unit length.
        """
        first, *others = self.layers
        if not others:
            return nn.functional.normalize(topology.mean @ topology.spread_rows(products) + first.bias, dim=-1)
        x = topology.spread @ products + first.bias  # [B, V, hidden]
        for conv in others[:-1]:
            x = topology.adjacency @ conv.lin(x.relu()) + conv.bias
        x = others[-1].lin(topology.mean @ x.relu()) + others[-1].bias  # [B, hidden]
        return nn.functional.normalize(x, dim=-1)

    def node_outputs(self, products: Tensor, topology: "Topology") -> Tensor:
        """Outputs of the last layer at every node, by dense products.

        Shapes: products X W of groups and constants [B, G + K, hidden] -> [B, V, hidden].
        """
        first, *others = self.layers
        x = topology.spread @ products + first.bias
        for conv in others:
            x = topology.adjacency @ conv.lin(x.relu()) + conv.bias
        outputs: Tensor = x
        return outputs

    @property
    def layers(self) -> list[GCNConv]:
        """The GCN layers, first to last."""
        return [cast(GCNConv, conv) for conv in self.convs]


def save(
    path: str | Path, encoder: Encoder, graph: Graph, levels: int, settings: EncoderSettings, provenance: dict[str, Any]
) -> None:
    """Write `encoder.pt`: weights, what it was trained for, and how it was made."""
    value = {"state": encoder.state_dict(), "made_for": _made_for(graph, levels, settings), "provenance": provenance}
    with atomic(path) as temporary:
        torch.save(value, temporary)


def load(path: str | Path, graph: Graph, levels: int, settings: EncoderSettings) -> Encoder:
    """Read an encoder; `InputError` if it was made for another network or by other settings, or is not finite."""
    value = load_torch(path, ("state", "made_for"))
    found, expected = value["made_for"], _made_for(graph, levels, settings)
    for key, wanted in expected.items():
        if found.get(key) != wanted:
            what = "network" if key == "graph" else f"config: {key} was {found.get(key)}, is {wanted} now"
            raise InputError(f"{path}: trained for another {what}; train it again")
    encoder = Encoder.build(graph.max_channels, settings)
    try:
        encoder.load_state_dict(value["state"])
    except RuntimeError as error:
        raise InputError(f"{path}: weights do not fit the encoder: {one_line(error)}") from None
    if not all(bool(parameter.isfinite().all()) for parameter in encoder.parameters()):
        raise InputError(f"{path}: weights are not finite; train the encoder again")
    return encoder


def _made_for(graph: Graph, levels: int, settings: EncoderSettings) -> dict[str, Any]:
    return {"graph": fingerprint(graph), "space.levels": levels} | {
        f"encoder.{name}": value for name, value in asdict(settings).items()
    }


def edge_index(graph: Graph, edges: str) -> Tensor:
    """Edges as int64 [2, E], from source to target; with `both`, each edge in both directions."""
    index = torch.tensor(graph.edges, dtype=torch.int64).T.contiguous()
    return torch.cat([index, index.flip(0)], dim=1) if edges == "both" else index


def distance_scores(outputs: Tensor, original: Tensor) -> Tensor:
    """Minus the mean over nodes of |h_v - h_v(original)|: [B, V, h] and [1, V, h] -> [B], at most 0."""
    distances: Tensor = torch.linalg.vector_norm(outputs - original, dim=-1).mean(dim=-1)
    return -distances


class NodeFeatures:
    """Node features of section 3.2: +1 kept, -1 pruned, 0 above C_l; fully connected all ones.

    Every node carries the row of its group; constant rows follow the groups, one for each constant node. `rows` [V]
    is the number of each node's row, from 0 to G + K - 1.
    """

    def __init__(self, graph: Graph, levels: int) -> None:
        self.levels = levels
        self.channels = torch.tensor(graph.channels)
        self.d = graph.max_channels
        self.is_channel = torch.arange(self.d) < self.channels[:, None]  # [G, d]
        constants = [node for node in graph.nodes if node.group is None]
        numbers = iter(range(len(graph.groups), len(graph.groups) + len(constants)))
        self.rows = torch.tensor([next(numbers) if node.group is None else node.group for node in graph.nodes])
        self.constants = torch.stack(
            [
                # Nodes outside the groups are never pruned: ones over their channels.
                (torch.arange(self.d) < (self.d if node.kind == LINEAR else node.channels)).float()
                for node in constants
            ]
        )  # [K, d]

    def counts(self, steps: Steps) -> Tensor:
        """Kept channels, [B, G] -> int64 [B, G]."""
        return torch.from_numpy(kept_counts(steps, self.channels.numpy(), self.levels))

    def table(self, order: Order) -> Tensor:
        """Rows of all groups at all steps, with kept sets from the top of `order`, then the constants.

        Shape: [G * levels + K, d]; group g at step t has the number g * levels + t.
        """
        steps: NDArray[np.uint8] = np.repeat(np.arange(self.levels, dtype=np.uint8)[:, None], len(order), axis=1)
        ranks = torch.full((len(order), self.d), self.d)
        for group, channels in enumerate(order):
            ranks[group, torch.from_numpy(channels)] = torch.arange(len(channels))
        values = self._values(ranks < self.counts(steps)[..., None])  # [levels, G, d]
        return torch.cat([values.transpose(0, 1).flatten(0, 1), self.constants])

    def index(self, steps: Steps) -> Tensor:
        """Numbers of the table's rows that configurations take, [B, G] -> int64 [B, G + K]."""
        first = torch.arange(len(self.channels)) * self.levels
        constants = len(first) * self.levels + torch.arange(len(self.constants))
        return torch.cat([torch.from_numpy(steps).long() + first, constants.expand(len(steps), -1)], dim=1)

    def unpruned(self) -> Tensor:
        """Numbers of the table's rows that the unpruned network takes, whatever the order, [1, G + K]."""
        return self.index(np.zeros((1, len(self.channels)), np.uint8))

    def random_rows(self, counts: Tensor, generator: torch.Generator) -> Tensor:
        """Rows of the groups with kept sets drawn afresh, counts [B, G] -> [B, G, d]."""
        keys = torch.randint(2**48, (*counts.shape, self.d), generator=generator)
        keys.mul_(self.d).add_(torch.arange(self.d))  # no two channels of a group share a key
        keys[:, ~self.is_channel] = torch.iinfo(torch.int64).max  # behind all real channels
        # numpy sorts values alone, ten times as fast as torch, which sorts positions along.
        last_kept = torch.from_numpy(np.sort(keys.numpy(), axis=-1)).gather(-1, counts[..., None] - 1)
        return self._values(keys <= last_kept)

    def _values(self, kept: Tensor) -> Tensor:
        """+1 kept, -1 pruned, 0 above C_l. [..., G, d] -> float32."""
        return kept.float().mul_(2).sub_(1).mul_(self.is_channel)


class DeficitFeatures(NodeFeatures):
    """Node features that say how much is lost, not which channels: -ln(kept share of the group's L1 mass) below C_l.

    The original's are zeros but for the fully connected layers' ones. Channel numbers mean nothing to a permutation of
    channels, and neither does this feature.
    """

    def __init__(self, graph: Graph, levels: int, norms: Norms) -> None:
        super().__init__(graph, levels)
        self.mass = torch.zeros(len(norms), self.d, dtype=torch.float64)  # each channel's share of its group's
        for group, values in enumerate(norms):
            self.mass[group, : len(values)] = torch.from_numpy(values / values.sum())
        linear = [node.kind == LINEAR for node in graph.nodes if node.group is None]
        self.constants *= torch.tensor(linear, dtype=torch.bool)[:, None]

    def _values(self, kept: Tensor) -> Tensor:
        """Deficit of each group's kept set at its channels, 0 above C_l. [..., G, d] -> float32."""
        share = (kept * self.mass).sum(dim=-1, keepdim=True).clamp(max=1)
        return (-share.log()).float() * self.is_channel


def node_features(graph: Graph, levels: int, settings: EncoderSettings, norms: Norms) -> NodeFeatures:
    """The node features that an encoder was made for; `norms` are the channels' L1 norms, per group [C_g]."""
    is_deficit = settings.features == DEFICIT
    return DeficitFeatures(graph, levels, norms) if is_deficit else NodeFeatures(graph, levels)


class Topology:
    """What all configurations of a network share in the encoder's eyes.

    adjacency [V, V]: Kipf's normalisation with self-loops; row v holds the weights of v's sources.
    mean [V]: weight of each node in the mean over all nodes of the next layer.
    spread [V, G + K]: the adjacency, its columns summed over the nodes of each group.
    """

    def __init__(self, graph: Graph, features: NodeFeatures, edges: str) -> None:
        self.adjacency = normalised_adjacency(graph, edges)
        self.rows = features.rows
        self.mean = self.adjacency.mean(dim=0)
        row_count = len(graph.groups) + len(features.constants)
        self.spread = self.adjacency @ nn.functional.one_hot(features.rows, row_count).float()

    def spread_rows(self, rows: Tensor) -> Tensor:
        """Rows of groups and constants at every node, [B, G + K, h] -> [B, V, h]."""
        return rows[:, self.rows]


def normalised_adjacency(graph: Graph, edges: str) -> Tensor:
    """Kipf's symmetric normalisation with self-loops, dense, [V, V]."""
    index, weight = gcn_norm(edge_index(graph, edges), num_nodes=len(graph.nodes), add_self_loops=True)
    dense = torch.zeros(len(graph.nodes), len(graph.nodes))
    dense.index_put_((index[1], index[0]), weight, accumulate=True)
    return dense


def objective_loss(anchor: Tensor, positive: Tensor, negative: Tensor, objective: str, temperature: float) -> Tensor:
    """Contrastive loss of a batch, eq. 5-8.

    `literal` is eq. 6-8 word for word: each anchor is attracted to its own positive and, since eq. 6 never uses the
    label, to its own negative. `contrastive` puts the negatives into the denominator of the positives' softmax.

    Shapes: anchor, positive, negative [B, h] of unit length -> scalar.
    """
    to_positive = anchor @ positive.T / temperature  # [B, B], eq. 5
    to_negative = anchor @ negative.T / temperature
    if objective == "contrastive":
        return _softmax_loss(torch.cat([to_positive, to_negative], dim=1))
    return _softmax_loss(to_positive) + _softmax_loss(to_negative)


def pair_loss(positive: Tensor, negative: Tensor, temperature: float) -> Tensor:
    """Softmax loss of each anchor over its own positive and its own negative alone, not the batch's.

    Shapes: scores [B] and [B] -> scalar, the mean of softplus((negative - positive) / temperature).
    """
    return nn.functional.softplus((negative - positive) / temperature).mean()


def _softmax_loss(similarity: Tensor) -> Tensor:
    """Eq. 6-7: mean over rows i of -log softmax_i(row i), row maximum subtracted. [B, B or 2B] -> scalar."""
    exponentials = (similarity - similarity.max(dim=1, keepdim=True).values).exp()
    return -(exponentials.diagonal() / (exponentials.sum(dim=1) + EPSILON)).clamp_min(1e-38).log().mean()


@dataclass(frozen=True)
class Labels:
    """What a regression learns: rows int64 [n] of the training configurations and their accuracies [n], percent."""

    rows: NDArray[np.int64]
    accuracies: NDArray[np.float64]


class _Lesson:
    """What one batch of configurations teaches."""

    def __init__(self, encoder: Encoder, graph: Graph, norms: Norms, levels: int, settings: EncoderSettings) -> None:
        self.encoder, self.settings = encoder, settings
        self.features = node_features(graph, levels, settings, norms)
        self.topology = Topology(graph, self.features, settings.edges)
        self.first = encoder.layers[0].lin
        self.l1_table = self.features.table(highest_first(norms))
        # ASSUME: the anchor `configuration` keeps the first channels by number, which ignores the weights.
        self.plain_table = self.features.table([np.arange(channels) for channels in graph.channels])

    def contrast(self, steps: Steps, generator: torch.Generator) -> Tensor:
        """Contrastive loss of configurations [B, G]."""
        features, number = self.features, len(steps)
        index, products = features.index(steps), self.first(self.l1_table)  # [B, G + K], [R, h]
        constants = products[len(products) - len(features.constants) :].expand(number, -1, -1)
        random = self.first(features.random_rows(features.counts(steps), generator))  # [B, G, h]
        positive, negative = products[index], torch.cat([random, constants], dim=1)
        is_original = self.settings.anchor == "original"
        anchor = products[features.unpruned()] if is_original else self.first(self.plain_table)[index]
        # One pass through the encoder for all three: [3B or 2B + 1, h].
        together, sizes = torch.cat([positive, negative, anchor]), [number, number, len(anchor)]
        temperature = self.settings.temperature
        if self.settings.score == DISTANCE:
            outputs = self.encoder.node_outputs(together, self.topology)
            of_positive, of_negative, of_anchor = outputs.split(sizes)
            better, worse = distance_scores(of_positive, of_anchor), distance_scores(of_negative, of_anchor)
            return pair_loss(better, worse, temperature)
        z_positive, z_negative, z_anchor = self.encoder.embed_products(together, self.topology).split(sizes)
        z_anchor = z_anchor.expand(number, -1)
        if self.settings.negatives == OWN:
            return pair_loss((z_anchor * z_positive).sum(dim=1), (z_anchor * z_negative).sum(dim=1), temperature)
        return objective_loss(z_anchor, z_positive, z_negative, self.settings.objective, temperature)

    def regress(self, steps: Steps, targets: Tensor) -> Tensor:
        """Mean squared error of the predictions for configurations [B, G] with targets [B]."""
        assert self.encoder.head is not None
        products = self.first(self.l1_table)[self.features.index(steps)]
        predictions = self.encoder.head(self.encoder.embed_products(products, self.topology))[:, 0]
        return nn.functional.mse_loss(predictions, targets)


def train_encoder(
    graph: Graph, norms: Norms, training: Steps, levels: int, settings: EncoderSettings, seed: int,
    labels: Labels | None = None,
) -> tuple[Encoder, list[dict[str, float]]]:  # fmt: skip
    """Train an encoder on the training configurations [N, G] and return it with its loss per epoch.

    Positives are the L1 kept sets of a configuration, negatives random kept sets of the same ratios, drawn afresh. A
    regression learns the accuracies of the labelled ones alone; its head predicts percent. `norms` are the channels'
    L1 norms, per group [C_g].

    Raises:
        InputError: the loss is not finite, or there are fewer than two labels.
    """
    with torch.random.fork_rng():
        torch.manual_seed(derive(seed, "encoder weights"))
        encoder = Encoder.build(graph.max_channels, settings)
    optimizer = torch.optim.Adam(encoder.parameters(), settings.lr)
    lesson = _Lesson(encoder, graph, norms, levels, settings)
    mean, deviation = 0.0, 1.0
    if labels is not None:
        if len(labels.rows) < 2:
            raise InputError(
                f"encoder: {len(labels.rows)} labels; a regression needs two or more networks that trained"
            )
        training = training[labels.rows]
        mean, deviation = float(labels.accuracies.mean()), float(labels.accuracies.std()) or 1.0
        targets = torch.from_numpy((labels.accuracies - mean) / deviation).float()
    history: list[dict[str, float]] = []
    started = time.monotonic()
    for epoch in range(settings.epochs):
        generator = torch.Generator().manual_seed(derive(seed, "encoder epoch", epoch))
        losses = []
        for rows in torch.randperm(len(training), generator=generator).split(settings.batch_size):
            steps = training[rows.numpy()]
            loss = lesson.contrast(steps, generator) if labels is None else lesson.regress(steps, targets[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
        mean_loss = float(torch.stack(losses).mean())
        if not np.isfinite(mean_loss):
            raise InputError(f"encoder: the loss is {mean_loss} in epoch {epoch + 1}; lower encoder.lr {settings.lr}")
        history.append({"epoch": epoch + 1, "loss": mean_loss})
        done, seconds = epoch + 1, time.monotonic() - started
        left = seconds / done * (settings.epochs - done)
        log.info("encoder: epoch %d/%d, loss %.4f, %.0f s left", done, settings.epochs, mean_loss, left)
    if encoder.head is not None:
        _rescale(encoder.head, mean, deviation)
    return encoder, history


@torch.no_grad()
def _rescale(head: nn.Module, mean: float, deviation: float) -> None:
    """Let a head that learned standardised targets predict percent."""
    last = head[-1] if isinstance(head, nn.Sequential) else head
    last.get_parameter("weight").mul_(deviation)
    last.get_parameter("bias").mul_(deviation).add_(mean)
