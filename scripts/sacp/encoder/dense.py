"""Scores by running the encoder on dense batches over the one graph that all candidates share.

A node's features depend on the step of its group alone, so the first layer's product X W is looked up in a table of
[groups x levels] rows, and nothing holds a [candidates, nodes, features] tensor.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sacp.encoder.features import NodeFeatures, node_features
from sacp.encoder.model import DISTANCE, Encoder, EncoderSettings, Topology, distance_scores
from sacp.errors import InputError
from sacp.network.graph import Graph
from sacp.pruning.criteria import Norms, Order, highest_first
from sacp.pruning.space import Steps

CHUNK = 1024  # candidates embedded at a time: [CHUNK, V, hidden] floats are alive at once


class DenseScorer:
    """Embeds and scores configurations with a trained encoder."""

    chunk = CHUNK

    def __init__(
        self, encoder: Encoder, graph: Graph, order: Order, levels: int, edges: str,
        features: NodeFeatures | None = None, score: str = "cosine",
    ) -> None:  # fmt: skip
        """Scores are predictions of the encoder's head, `cosine`s to the original, or minus the `distance` from it.

        Node features are the paper's masks where none are given.

        Raises:
            InputError: a weight is not finite.
        """
        if not all(bool(p.isfinite().all()) for p in encoder.parameters()):
            raise InputError("encoder: weights are not finite; train the encoder again")
        self.features = features = features or NodeFeatures(graph, levels)
        self.encoder, self.levels, self.layers = encoder.eval(), levels, len(encoder.convs)
        self.head, self.score = encoder.head, score
        self.topology = Topology(graph, features, edges)
        self.adjacency = self.topology.adjacency
        with torch.no_grad():
            self.rows = features.table(order)  # [R * levels + K, d]
            self.table = encoder.layers[0].lin(self.rows)  # X W, [R * levels + K, hidden]
            unpruned = self.table[features.unpruned()]
            self.original = encoder.embed_products(unpruned, self.topology)[0]  # [hidden]
            self.original_outputs = encoder.node_outputs(unpruned, self.topology)  # [1, V, hidden]

    @classmethod
    def of(cls, encoder: Encoder, graph: Graph, norms: Norms, levels: int, settings: EncoderSettings) -> "DenseScorer":
        """The scorer that an encoder's settings ask for; `norms` are the channels' L1 norms, per group [C_g]."""
        features = node_features(graph, levels, settings.features, norms)
        return cls(encoder, graph, highest_first(norms), levels, settings.edges, features, settings.score)

    def first_products(self, steps: Steps, nodes: list[int]) -> Tensor:
        """X W of the first layer at some nodes, [B, G] -> [B, n, hidden]."""
        if self.features.rows is None:
            return self.features.of_nodes(self.table[self.features.index(steps)], nodes)
        products: Tensor = self.table[self.features.index(steps)[:, self.features.rows[nodes]]]
        return products

    @torch.no_grad()
    def embed(self, steps: Steps) -> Tensor:
        """Embeddings of configurations, [B, G] -> [B, hidden] of unit length."""
        return self.encoder.embed_products(self.table[self.features.index(steps)], self.topology)

    @torch.no_grad()
    def score_chunk(self, steps: Steps) -> NDArray[np.float32]:
        """Scores of a chunk of configurations, [B, G] -> float32 [B]; more is better."""
        if self.score == DISTANCE:
            outputs = self.encoder.node_outputs(self.table[self.features.index(steps)], self.topology)
            distances: NDArray[np.float32] = distance_scores(outputs, self.original_outputs).numpy()
            return distances
        z = self.embed(steps)
        scores: NDArray[np.float32] = (z @ self.original if self.head is None else self.head(z)[:, 0]).numpy()
        return scores
