"""The graph encoder, a graph convolutional network over the network graph (method section 3.2), and its file."""

import warnings
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from sacp.artefacts.tensors import load_torch, save_torch
from sacp.encoder.features import NodeFeatures
from sacp.errors import InputError, one_line
from sacp.network.graph import Graph, fingerprint

with warnings.catch_warnings():
    # torch-geometric 2.8 still scripts functions on import; torch 2.14 warns of that at every start.
    warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", FutureWarning)
    from torch_geometric.nn import GCNConv
    from torch_geometric.nn.conv.gcn_conv import gcn_norm

REGRESSION = "regression"  # the objective that needs labels
OWN, DISTANCE = "own", "distance"  # values of `negatives` and `score`
CHOICES = {
    "edges": ("directed", "both"), "objective": ("literal", "contrastive", REGRESSION),
    "anchor": ("original", "configuration"), "features": ("mask", "deficit"), "negatives": ("batch", OWN),
    "score": ("cosine", DISTANCE),
}  # fmt: skip


@dataclass(frozen=True)
class EncoderSettings:
    """Shape and training of the encoder. `objective`, `anchor` and `edges` choose how the paper is read.

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

    def __post_init__(self) -> None:
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                raise InputError(f"encoder.{name}: unknown '{getattr(self, name)}'; known: {', '.join(known)}")


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

        Shapes: products X W of all rows [B, R + K, hidden] -> [B, hidden] of unit length.
        """
        first, *others = self.layers
        if not others:
            return nn.functional.normalize(topology.mean @ topology.features.of_nodes(products) + first.bias, dim=-1)
        x = topology.spread @ products + first.bias  # [B, V, hidden]
        for conv in others[:-1]:
            x = topology.adjacency @ conv.lin(x.relu()) + conv.bias
        x = others[-1].lin(topology.mean @ x.relu()) + others[-1].bias  # [B, hidden]
        return nn.functional.normalize(x, dim=-1)

    def node_outputs(self, products: Tensor, topology: "Topology") -> Tensor:
        """Outputs of the last layer at every node, by dense products.

        Shapes: products X W of all rows [B, R + K, hidden] -> [B, V, hidden].
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


def save(path: str | Path, encoder: Encoder, graph: Graph, levels: int, settings: EncoderSettings) -> None:
    """Write `encoder.pt`: weights, and what it was trained for."""
    save_torch(path, {"state": encoder.state_dict(), "made_for": _made_for(graph, levels, settings)})


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
    return {"directed": index, "both": torch.cat([index, index.flip(0)], dim=1)}[edges]


def distance_scores(outputs: Tensor, original: Tensor) -> Tensor:
    """Minus the mean over nodes of |h_v - h_v(original)|: [B, V, h] and [1, V, h] -> [B], at most 0."""
    distances: Tensor = torch.linalg.vector_norm(outputs - original, dim=-1).mean(dim=-1)
    return -distances


class Topology:
    """What all configurations of a network share in the encoder's eyes.

    adjacency [V, V]: Kipf's normalisation with self-loops; row v holds the weights of v's sources.
    mean [V]: weight of each node in the mean over all nodes of the next layer.
    spread [V, R + K]: the adjacency, its columns summed over the nodes that carry each row.
    """

    def __init__(self, graph: Graph, features: NodeFeatures, edges: str) -> None:
        self.adjacency = normalised_adjacency(graph, edges)
        self.features = features
        self.mean = self.adjacency.mean(dim=0)
        self.spread = self.adjacency @ features.members


def normalised_adjacency(graph: Graph, edges: str) -> Tensor:
    """Kipf's symmetric normalisation with self-loops, dense, [V, V]."""
    index, weight = gcn_norm(edge_index(graph, edges), num_nodes=len(graph.nodes), add_self_loops=True)
    dense = torch.zeros(len(graph.nodes), len(graph.nodes))
    dense.index_put_((index[1], index[0]), weight, accumulate=True)
    return dense
