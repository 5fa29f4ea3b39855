"""Scores by running the encoder on dense batches over the one graph that all candidates share.

A node's features depend on the step of its group alone, so the first layer's product X W is looked up in a table of
[groups x levels] rows, and nothing holds a [candidates, nodes, features] tensor.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sacp.criteria import Order
from sacp.encoder import Encoder, NodeFeatures, Topology
from sacp.errors import InputError
from sacp.graph import Graph
from sacp.space import Steps

CHUNK = 1024  # candidates embedded at a time: [CHUNK, V, hidden] floats are alive at once


class DenseScorer:
    """Embeds and scores configurations with a trained encoder."""

    chunk = CHUNK

    def __init__(self, encoder: Encoder, graph: Graph, order: Order, levels: int, edges: str) -> None:
        if not all(bool(p.isfinite().all()) for p in encoder.parameters()):
            raise InputError("encoder: weights are not finite; train the encoder again")
        self.features = features = NodeFeatures(graph, levels)
        self.encoder, self.levels, self.layers = encoder.eval(), levels, len(encoder.convs)
        self.head = encoder.head  # scores are its predictions; without one, cosines to the original
        self.topology = Topology(graph, features, edges)
        self.adjacency = self.topology.adjacency
        with torch.no_grad():
            self.table = encoder.layers[0].lin(features.table(order))  # X W, [G * levels + K, hidden]
            self.original = encoder.embed_products(self.table[features.unpruned()], self.topology)[0]  # [hidden]

    def first_products(self, steps: Steps, nodes: list[int]) -> Tensor:
        """X W of the first layer at some nodes, [B, G] -> [B, n, hidden]."""
        products: Tensor = self.table[self.features.index(steps)[:, self.features.rows[nodes]]]
        return products

    @torch.no_grad()
    def embed(self, steps: Steps) -> Tensor:
        """Embeddings of configurations, [B, G] -> [B, hidden] of unit length."""
        return self.encoder.embed_products(self.table[self.features.index(steps)], self.topology)

    @torch.no_grad()
    def score_chunk(self, steps: Steps) -> NDArray[np.float32]:
        """Scores of a chunk of configurations, [B, G] -> float32 [B]; more is better."""
        z = self.embed(steps)
        scores: NDArray[np.float32] = (z @ self.original if self.head is None else self.head(z)[:, 0]).numpy()
        return scores
