"""Millions of configurations -> scores: cosine between a candidate's embedding and the original's (eq. 10).

All candidates share one graph, and a node's features depend on the step of its group alone. So the first layer's
product X W is looked up in a table of [groups x levels] rows, and nothing holds a [candidates, nodes, features] tensor.
"""

import logging
import time
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch_geometric.nn import GCNConv
from torch_geometric.nn.conv.gcn_conv import gcn_norm

from sacp.criteria import Order
from sacp.encoder import Encoder, NodeFeatures, edge_index, l1_mask_table
from sacp.errors import InputError
from sacp.graph import Graph
from sacp.space import Steps

log = logging.getLogger(__name__)
CHUNK = 1024  # candidates embedded at a time: [CHUNK, V, hidden] floats are alive at once


def normalised_adjacency(graph: Graph, edges: str) -> Tensor:
    """Kipf's symmetric normalisation with self-loops, dense: row v holds the weights of v's sources, [V, V]."""
    index, weight = gcn_norm(edge_index(graph, edges), num_nodes=len(graph.nodes), add_self_loops=True)
    dense = torch.zeros(len(graph.nodes), len(graph.nodes))
    dense.index_put_((index[1], index[0]), weight, accumulate=True)
    return dense


class Scorer:
    """Embeds and scores configurations with a trained encoder."""

    def __init__(self, encoder: Encoder, graph: Graph, order: Order, levels: int, edges: str) -> None:
        if not all(bool(p.isfinite().all()) for p in encoder.parameters()):
            raise InputError("encoder: weights are not finite; train the encoder again")
        features = NodeFeatures(graph, levels)
        self.encoder, self.levels = encoder.eval(), levels
        self.adjacency = normalised_adjacency(graph, edges)
        masks = l1_mask_table(features, order)  # [G, levels, d]
        constants = features.constants
        with torch.no_grad():
            rows = torch.cat([masks.flatten(0, 1), constants])
            self.table = cast(GCNConv, encoder.convs[0]).lin(rows)  # [G * levels + K, hidden]
            self.original = encoder(features.original(), edge_index(graph, edges))[0]  # [hidden]
        is_group = features.rows < len(graph.groups)
        self.group = torch.where(is_group, features.rows, 0)  # of each node
        self.offset = torch.where(is_group, features.rows * levels, features.rows + len(graph.groups) * (levels - 1))
        self.step_factor = is_group.long()

    @torch.no_grad()
    def embed(self, steps: Steps) -> Tensor:
        """Embeddings of configurations, [B, G] -> [B, hidden] of unit length."""
        index = self.offset + torch.from_numpy(steps).long()[:, self.group] * self.step_factor  # [B, V]
        first, *others = (cast(GCNConv, conv) for conv in self.encoder.convs)
        x = self.adjacency @ self.table[index] + first.bias  # [B, V, hidden]
        for conv in others:
            x = self.adjacency @ conv.lin(x.relu()) + conv.bias
        return torch.nn.functional.normalize(x.mean(dim=1), dim=-1)

    def score(self, steps: Steps) -> NDArray[np.float32]:
        """Scores of configurations, [M, G] -> float32 [M]; more is better."""
        scores = np.empty(len(steps), np.float32)
        started = reported = time.monotonic()
        for start in range(0, len(steps), CHUNK):
            z = self.embed(steps[start : start + CHUNK])
            scores[start : start + len(z)] = (z @ self.original).numpy()
            done, now = start + len(z), time.monotonic()
            if now - reported > 10:
                rate, reported = done / (now - started), now
                left = (len(steps) - done) / rate
                log.info("scored %d/%d candidates, %.0f/s, %.0f s left", done, len(steps), rate, left)
        return scores


def ranking(scores: NDArray[np.float32]) -> NDArray[np.int64]:
    """Candidate numbers from the best score to the worst; ties go to the lower number."""
    return np.argsort(-scores, kind="stable")
