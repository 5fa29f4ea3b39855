"""Scores from tables: a candidate's embedding is a sum of table rows, exactly.

The last layer and the mean over nodes are linear. With a_u the mean weight of node u in all nodes,

    z = sum over nodes u of a_u relu(h_u) W + b,

where h_u, the output of the layer before, depends on the groups within (layers - 1) edges upstream of u alone: its
field. A field of f groups takes levels ** f values. Nodes whose fields lie in one another share a table.
"""

from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sacp.dense import DenseScorer
from sacp.space import Steps

Field = tuple[int, ...]  # groups, ascending
ROWS_AT_A_TIME = 2048
CHUNK = 1 << 14  # candidates looked up at a time: their indices and sums stay in the cache


def node_fields(dense: DenseScorer, hops: int) -> list[Field]:
    """Groups that reach each node within `hops` edges, itself included; nodes outside the groups add none."""
    reach = _reach(dense.adjacency, hops)
    rows, groups = dense.features.rows.numpy(), len(dense.features.channels)
    return [tuple(sorted({int(row) for row in rows[nodes] if row < groups})) for nodes in reach]


def _reach(adjacency: Tensor, hops: int) -> NDArray[np.bool_]:
    """Which nodes each node hears of in `hops` layers, [V, V]. The adjacency has self-loops."""
    step = adjacency.numpy() != 0
    reach = np.eye(len(step), dtype=bool)
    for _ in range(hops):
        reach = reach @ step
    return reach


def shared_fields(fields: list[Field]) -> dict[Field, list[int]]:
    """Nodes by the table that they share: each goes to the smallest field that holds its own."""
    largest = [f for f in set(fields) if not any(set(f) < set(other) for other in fields)]
    nodes: dict[Field, list[int]] = {field: [] for field in sorted(largest)}
    for node, field in enumerate(fields):
        hosts = [host for host in nodes if set(field) <= set(host)]
        nodes[min(hosts, key=lambda host: (len(host), host))].append(node)
    return {field: members for field, members in nodes.items() if members}


def entries(dense: DenseScorer) -> int:
    """Rows that the tables of this encoder on this graph would have."""
    fields = shared_fields(node_fields(dense, dense.layers - 1))
    return sum(dense.levels ** len(field) for field in fields)


class TableScorer:
    """Scores configurations by summing table rows. Same scores as `DenseScorer`, to rounding."""

    chunk = CHUNK

    def __init__(self, dense: DenseScorer) -> None:
        self.levels, self.head = dense.levels, dense.head
        hops = dense.layers - 1
        shared = shared_fields(node_fields(dense, hops))
        self.fields = list(shared)
        sizes = [self.levels ** len(field) for field in self.fields]
        self.offsets = np.cumsum([0, *sizes[:-1]])
        with torch.no_grad():
            tables = [_field_table(dense, field, nodes, hops) for field, nodes in shared.items()]
            # The bias of the last layer rides along with the first table.
            tables[0] = tables[0] + dense.encoder.layers[-1].bias
            z = torch.cat(tables)  # [R, hidden]
            self.hidden = z.shape[1]
            # Another column holds each row's product with the original's embedding: eq. 10's numerator, summed alike.
            self.table = torch.cat([z, (z @ dense.original)[:, None]], dim=1).contiguous()  # [R, hidden + 1]

    @torch.no_grad()
    def score_chunk(self, steps: Steps) -> NDArray[np.float32]:
        """Scores of a chunk of configurations, [B, G] -> float32 [B]."""
        columns = np.ascontiguousarray(steps.T, dtype=np.int32)  # [G, B]
        index = np.empty((len(steps), len(self.fields)), np.int32)
        for number, (field, offset) in enumerate(zip(self.fields, self.offsets, strict=True)):
            row = np.zeros(len(steps), np.int32)
            for group in field:
                row = row * self.levels + columns[group]
            index[:, number] = row + offset
        sums = torch.nn.functional.embedding_bag(torch.from_numpy(index), self.table, mode="sum")  # [B, hidden + 1]
        z = sums[:, : self.hidden]
        norm = (z * z).sum(dim=1).sqrt().clamp_min(1e-12)
        scores: NDArray[np.float32] = (
            sums[:, self.hidden] / norm if self.head is None else self.head(z / norm[:, None])[:, 0]
        ).numpy()
        return scores


def _field_table(dense: DenseScorer, field: Field, nodes: list[int], hops: int) -> Tensor:
    """Part of z that `nodes` contribute, for every step of the field's groups, [levels ** len(field), hidden]."""
    levels = range(dense.levels)
    assignments = np.array(list(product(levels, repeat=len(field))), np.uint8).reshape(-1, len(field))
    steps = np.zeros((len(assignments), len(dense.features.channels)), np.uint8)
    steps[:, list(field)] = assignments
    parts = [
        _contribution(dense, part, nodes, hops) for part in np.array_split(steps, -(-len(steps) // ROWS_AT_A_TIME))
    ]
    return torch.cat(parts)


def _contribution(dense: DenseScorer, steps: Steps, nodes: list[int], hops: int) -> Tensor:
    """Run the layers on the part of the graph that `nodes` hear of. [R, G] -> [R, hidden]."""
    mean_weight = dense.topology.mean[nodes]  # a_u
    convs = dense.encoder.layers
    reached = [_upstream(dense.adjacency, nodes, hops - layer) for layer in range(hops + 1)]
    x = dense.first_products(steps, reached[0])  # [R, n_0, hidden]
    for layer in range(hops):
        weights = dense.adjacency[reached[layer + 1]][:, reached[layer]]
        x = weights @ x + convs[layer].bias
        x = convs[layer + 1].lin(x.relu())
    # x is relu(h_u) W of the last layer, or X W where there is only one.
    return torch.einsum("u,ruh->rh", mean_weight, x)


def _upstream(adjacency: Tensor, nodes: list[int], hops: int) -> list[int]:
    return np.flatnonzero(_reach(adjacency, hops)[nodes].any(axis=0)).tolist()
