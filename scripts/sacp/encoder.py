"""The graph encoder and its contrastive training (method sections 3.2 and 3.4)."""

import logging
import time
import warnings
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sacp.criteria import Order
from sacp.errors import InputError
from sacp.files import atomic, load_torch
from sacp.graph import LINEAR, Graph
from sacp.seeds import derive
from sacp.space import Steps, kept_counts

with warnings.catch_warnings():
    # torch-geometric 2.8 still scripts functions on import; torch 2.14 warns of that at every start.
    warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", FutureWarning)
    from torch_geometric.nn import GCNConv
    from torch_geometric.nn.conv.gcn_conv import gcn_norm

log = logging.getLogger(__name__)
LOSS_COLUMNS = ("epoch", "loss")
EPSILON = 1e-12  # eq. 6: added to the softmax denominator


@dataclass(frozen=True)
class EncoderSettings:
    """Shape and training of the encoder. `objective`, `anchor` and `edges` are the readings that method names."""

    hidden: int
    layers: int
    edges: str  # directed | both
    objective: str  # literal | contrastive
    anchor: str  # original | configuration
    temperature: float
    epochs: int
    batch_size: int
    lr: float


class Encoder(nn.Module):
    """GCN layers (Kipf & Welling 2017) with ReLU between, mean pooling over nodes, L2-normalised output."""

    def __init__(self, features: int, hidden: int, layers: int) -> None:
        super().__init__()
        self.features = features
        widths = [features] + [hidden] * layers
        self.convs = nn.ModuleList(GCNConv(a, b) for a, b in pairwise(widths))

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """Embed graphs that share one topology, by torch-geometric's message passing: the definition.

        Shapes: x [B, V, d], edge_index int64 [2, E] -> embeddings [B, hidden] of unit length.
        """
        for number, conv in enumerate(self.convs):
            x = conv(x if number == 0 else x.relu(), edge_index)
        return nn.functional.normalize(x.mean(dim=-2), dim=-1)

    def embed(self, group_rows: Tensor, topology: "Topology") -> Tensor:
        """The same embeddings from the features of groups alone, by products with one dense adjacency: the fast way.

        The nodes of a group share their features, so X W is computed once a group; mean and last layer are linear, so
        the mean over nodes comes before the last product.

        Shapes: group_rows [B, G, d] -> [B, hidden] of unit length.
        """
        rows = torch.cat([group_rows, topology.constants.expand(len(group_rows), -1, -1)], dim=1)  # [B, G + K, d]
        return self.embed_products(self.layers[0].lin(rows), topology)

    def embed_products(self, products: Tensor, topology: "Topology") -> Tensor:
        """Embeddings from the first layer's products X W of groups and constants, [B, G + K, hidden] -> [B, hidden]."""
        first, *others = self.layers
        if not others:
            return nn.functional.normalize(topology.mean @ topology.spread_rows(products) + first.bias, dim=-1)
        x = topology.spread @ products + first.bias  # [B, V, hidden]
        for conv in others[:-1]:
            x = topology.adjacency @ conv.lin(x.relu()) + conv.bias
        x = others[-1].lin(topology.mean @ x.relu()) + others[-1].bias  # [B, hidden]
        return nn.functional.normalize(x, dim=-1)

    @property
    def layers(self) -> list[GCNConv]:
        """The GCN layers, first to last."""
        return [cast(GCNConv, conv) for conv in self.convs]


def save(path: str | Path, encoder: Encoder, settings: EncoderSettings, provenance: dict[str, Any]) -> None:
    """Write `encoder.pt`: weights, the arguments that build the encoder, and how it was made."""
    shape = {"features": encoder.features, "hidden": settings.hidden, "layers": settings.layers}
    with atomic(path) as temporary:
        torch.save({"state": encoder.state_dict(), "shape": shape, "provenance": provenance}, temporary)


def load(path: str | Path, graph: Graph) -> Encoder:
    """Read an encoder for `graph`; `InputError` if it was made for a network of other widths."""
    value = load_torch(path, ("state", "shape"))
    if value["shape"]["features"] != graph.max_channels:
        found = value["shape"]["features"]
        raise InputError(f"{path}: encoder takes {found} channels, but the network's graph has {graph.max_channels}")
    encoder = Encoder(**value["shape"])
    encoder.load_state_dict(value["state"])
    return encoder


def edge_index(graph: Graph, edges: str) -> Tensor:
    """Edges as int64 [2, E], from source to target; with `both`, each edge in both directions."""
    index = torch.tensor(graph.edges, dtype=torch.int64).T.contiguous()
    return torch.cat([index, index.flip(0)], dim=1) if edges == "both" else index


class NodeFeatures:
    """Node features of section 3.2: +1 kept, -1 pruned, 0 above C_l; fully connected all ones.

    Every node carries the row of its group; constant rows follow the groups, one for each constant node.
    """

    def __init__(self, graph: Graph, levels: int) -> None:
        self.levels = levels
        self.channels = torch.tensor(graph.channels)
        self.d = graph.max_channels
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

    def group_rows(self, ranks: Tensor, counts: Tensor) -> Tensor:
        """Features of each group. ranks [1 or B, G, d] of the channels, counts [B, G] -> [B, G, d]."""
        signs = torch.where(ranks < counts[..., None], 1.0, -1.0)
        return signs * (torch.arange(self.d) < self.channels[:, None])

    def nodes(self, group_rows: Tensor) -> Tensor:
        """Features of all nodes. [B, G, d] -> [B, V, d]."""
        constants = self.constants.expand(len(group_rows), -1, -1)
        return torch.cat([group_rows, constants], dim=1)[:, self.rows]

    def ranks(self, order: Order) -> Tensor:
        """Rank of every channel in its group's order, int64 [1, G, d]; d above C."""
        ranks = torch.full((1, len(order), self.d), self.d)
        for group, channels in enumerate(order):
            ranks[0, group, torch.from_numpy(channels)] = torch.arange(len(channels))
        return ranks

    def random_ranks(self, batch: int, generator: torch.Generator) -> Tensor:
        """Ranks in a fresh random order for each row and group, int64 [B, G, d]."""
        keys = torch.rand((batch, len(self.channels), self.d), generator=generator)
        keys[:, torch.arange(self.d) >= self.channels[:, None]] = 2.0  # behind all real channels
        order = keys.argsort(dim=-1)
        return torch.empty_like(order).scatter_(-1, order, torch.arange(self.d).expand_as(order))

    def unpruned(self) -> Tensor:
        """Features of the unpruned network's groups, [1, G, d]."""
        return self.group_rows(torch.zeros(1, 1, 1), self.channels[None])

    def original(self) -> Tensor:
        """Features of the unpruned network, [1, V, d]."""
        return self.nodes(self.unpruned())


class Topology:
    """What all configurations of a network share in the encoder's eyes.

    adjacency [V, V]: Kipf's normalisation with self-loops; row v holds the weights of v's sources.
    mean [V]: weight of each node in the mean over all nodes of the next layer.
    spread [V, G + K]: the adjacency, its columns summed over the nodes of each group.
    """

    def __init__(self, graph: Graph, features: NodeFeatures, edges: str) -> None:
        self.adjacency = normalised_adjacency(graph, edges)
        self.constants, self.rows = features.constants, features.rows
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


def _softmax_loss(similarity: Tensor) -> Tensor:
    """Eq. 6-7: mean over rows i of -log softmax_i(row i), row maximum subtracted. [B, B or 2B] -> scalar."""
    exponentials = (similarity - similarity.max(dim=1, keepdim=True).values).exp()
    return -(exponentials.diagonal() / (exponentials.sum(dim=1) + EPSILON)).clamp_min(1e-38).log().mean()


def train_encoder(
    graph: Graph, order: Order, training: Steps, levels: int, settings: EncoderSettings, seed: int
) -> tuple[Encoder, list[dict[str, float]]]:
    """Train an encoder on the training configurations [N, G] and return it with its loss per epoch.

    Positives are the L1 kept sets of a configuration, negatives random kept sets of the same ratios, drawn afresh.

    Raises:
        InputError: the loss is not finite.
    """
    features = NodeFeatures(graph, levels)
    topology = Topology(graph, features, settings.edges)
    with torch.random.fork_rng():
        torch.manual_seed(derive(seed, "encoder weights"))
        encoder = Encoder(features.d, settings.hidden, settings.layers)
    optimizer = torch.optim.Adam(encoder.parameters(), settings.lr)
    l1_ranks = features.ranks(order)
    # ASSUME: the anchor `configuration` keeps the first channels by number, which ignores the weights.
    plain_ranks = features.ranks([np.arange(channels) for channels in graph.channels])
    history: list[dict[str, float]] = []
    started = time.monotonic()
    for epoch in range(settings.epochs):
        generator = torch.Generator().manual_seed(derive(seed, "encoder epoch", epoch))
        losses = []
        for rows in torch.randperm(len(training), generator=generator).split(settings.batch_size):
            counts = features.counts(training[rows.numpy()])
            negative = features.group_rows(features.random_ranks(len(rows), generator), counts)
            positive = features.group_rows(l1_ranks, counts)
            anchor = _anchor(features, plain_ranks, counts, settings.anchor)
            # One pass through the encoder for all three: [3B or 2B + 1, h].
            z = encoder.embed(torch.cat([positive, negative, anchor]), topology)
            z_positive, z_negative, z_anchor = z.split([len(rows), len(rows), len(anchor)])
            z_anchor = z_anchor.expand(len(rows), -1)
            loss = objective_loss(z_anchor, z_positive, z_negative, settings.objective, settings.temperature)
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
    return encoder, history


def _anchor(features: NodeFeatures, ranks: Tensor, counts: Tensor, anchor: str) -> Tensor:
    """Group features of the anchors: the one unpruned network [1, G, d], or one for each configuration [B, G, d]."""
    return features.unpruned() if anchor == "original" else features.group_rows(ranks, counts)


def l1_mask_table(features: NodeFeatures, order: Order) -> Tensor:
    """Features of every group at every step, with L1 kept sets, [G, levels, d]."""
    steps: NDArray[np.uint8] = np.repeat(np.arange(features.levels, dtype=np.uint8)[:, None], len(order), axis=1)
    return features.group_rows(features.ranks(order), features.counts(steps)).transpose(0, 1)
