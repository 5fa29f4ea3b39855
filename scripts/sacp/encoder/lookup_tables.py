"""Scores from tables: a candidate's embedding, or its distance from the original, is a sum of table rows, exactly.

The last layer and the mean over nodes are linear. With a_u the mean weight of node u in all nodes,

    z = sum over nodes u of a_u relu(h_u) W + b,

where h_u, the output of the layer before, depends only on the groups within (layers - 1) edges upstream of u: its
field. A field of f groups takes levels ** f values. Nodes whose fields contain one another share a table.

A distance is a sum over nodes of |h_v - h_v(original)|, where h_v is the output of the last layer: a table of single
numbers over the field within all layers. Where that field is wide, as after the sum of many residual branches, h_v is
itself a sum of its neighbours' contributions, each over a narrow field: rows of vectors are summed, and the length of
the sum is taken. A node one residual branch later has the same neighbours and a few others: the last sum is updated.
"""

from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sacp.encoder.dense import DenseScorer
from sacp.encoder.model import DISTANCE
from sacp.pruning.space import Steps

Field = tuple[int, ...]  # groups, ascending
Columns = NDArray[np.int32]  # steps by group, [G, B]
Change = dict[Field, dict[int, int]]  # sources that join a sum (1) or leave it (-1), by the field that they share
ROWS_AT_A_TIME = 2048
NARROW = 3  # groups in the field of a node whose distance has a table of its own
AXES = 1e-6  # principal axes of wide nodes' vectors with less than this share of the longest are left out
CHUNK = 1 << 14  # candidates looked up at a time: their indices and sums stay in the cache


def node_fields(dense: DenseScorer, hops: int) -> list[Field]:
    """Groups that reach each node within `hops` edges, itself included; nodes outside the groups add none."""
    reach = _reach(dense.adjacency, hops)
    groups = dense.features.groups.numpy()
    members = dense.features.members.numpy()[:, : len(groups)] > 0  # [V, R]
    return [tuple(sorted(set(groups[members[nodes].any(axis=0)].tolist()))) for nodes in reach]


def _reach(adjacency: Tensor, hops: int) -> NDArray[np.bool_]:
    """Which nodes reach each node within `hops` layers, [V, V]. The adjacency has self-loops."""
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
    if dense.score == DISTANCE:
        narrow, wide = _narrow_and_wide(dense)
        fields = [*_members(narrow), *(field for run in wide for change in run.values() for field in change)]
    else:
        fields = list(shared_fields(node_fields(dense, dense.layers - 1)))
    return sum(dense.levels ** len(field) for field in fields)


class TableScorer:
    """Scores configurations by summing table rows. Same scores as `DenseScorer`, to rounding."""

    chunk = CHUNK

    def __init__(self, dense: DenseScorer) -> None:
        self.levels, self.head = dense.levels, dense.head
        hops = dense.layers - 1
        shared = shared_fields(node_fields(dense, hops))
        self.fields = list(shared)
        self.offsets = _offsets(self.fields, self.levels)
        with torch.no_grad():
            mean = dense.topology.mean  # a_u
            tables = [_field_table(dense, field, nodes, hops, mean[nodes]) for field, nodes in shared.items()]
            # The bias of the last layer rides along with the first table.
            tables[0] = tables[0] + dense.encoder.layers[-1].bias
            z = torch.cat(tables)  # [R, hidden]
            self.hidden = z.shape[1]
            # Another column holds each row's product with the original's embedding: eq. 10's numerator, summed alike.
            self.table = torch.cat([z, (z @ dense.original)[:, None]], dim=1).contiguous()  # [R, hidden + 1]

    @torch.no_grad()
    def score_chunk(self, steps: Steps) -> NDArray[np.float32]:
        """Scores of a chunk of configurations, [B, G] -> float32 [B]."""
        index = _rows_of(_columns(steps), self.fields, self.offsets, self.levels)
        sums = torch.nn.functional.embedding_bag(index, self.table, mode="sum")  # [B, hidden + 1]
        z = sums[:, : self.hidden]
        norm = (z * z).sum(dim=1).sqrt().clamp_min(1e-12)
        scores: NDArray[np.float32] = (
            sums[:, self.hidden] / norm if self.head is None else self.head(z / norm[:, None])[:, 0]
        ).numpy()
        return scores


class DistanceTables:
    """Distance scores of configurations from tables. Same scores as `DenseScorer`, to rounding."""

    chunk = CHUNK >> 2  # with running sums of vectors

    def __init__(self, dense: DenseScorer) -> None:
        self.levels = dense.levels
        narrow, wide = _narrow_and_wide(dense)
        shared = _members(narrow)
        self.fields = list(shared)
        self.offsets = _offsets(self.fields, self.levels)
        with torch.no_grad():
            parts = [_distance_table(dense, field, members) for field, members in shared.items()]
            self.table = torch.cat(parts)[:, None] if parts else torch.zeros(0, 1)  # [R, 1]
            self.wide = [_Running(dense, run) for run in wide]
        self.nodes = len(dense.adjacency)

    @torch.no_grad()
    def score_chunk(self, steps: Steps) -> NDArray[np.float32]:
        """Scores of a chunk of configurations, [B, G] -> float32 [B]."""
        total, columns = torch.zeros(len(steps)), _columns(steps)
        if self.fields:
            index = _rows_of(columns, self.fields, self.offsets, self.levels)
            total += torch.nn.functional.embedding_bag(index, self.table, mode="sum")[:, 0]
        for run in self.wide:
            run.add_distances(columns, total)
        scores: NDArray[np.float32] = (-total / self.nodes).numpy()
        return scores


class _Running:
    """Wide nodes one after the other, each from the sum of the one before: only what differs is looked up.

    Kipf's normalisation of an edge from u to v is b_u b_v, so that h_v - h_v(original) = b_v times the sum over its
    sources of b_u (x_u - x_u(original)): nodes differ in their sources and in a factor. Lengths do not change when all
    vectors are turned: along their principal axes, most coordinates vanish.
    """

    def __init__(self, dense: DenseScorer, changes: dict[int, Change]) -> None:
        self.levels, hops = dense.levels, dense.layers - 1
        factors = dense.adjacency.diagonal().sqrt()  # b, from the self-loops
        self.factors = [float(factors[node]) for node in changes]
        self.fields = [list(change) for change in changes.values()]
        self.offsets = [_offsets(fields, self.levels) for fields in self.fields]
        tables = []
        for change in changes.values():
            for field, signs in change.items():
                sources = list(signs)
                weights = factors[sources] * torch.tensor(list(signs.values()), dtype=factors.dtype)
                table = _field_table(dense, field, sources, hops, weights).double()
                tables.append(table - table[0])  # the first row is the original's
        vectors = torch.cat(tables)  # [R, hidden]
        lengths, axes = torch.linalg.eigh(vectors.T @ vectors)
        turned = (vectors @ axes[:, lengths > lengths[-1] * AXES**2]).float()
        sizes = [sum(self.levels ** len(field) for field in fields) for fields in self.fields]
        self.tables = [table.contiguous() for table in turned.split(sizes)]

    def add_distances(self, columns: Columns, total: Tensor) -> None:
        """Add the sum over the nodes of |h_v - h_v(original)| of configurations [G, B] to `total` [B]."""
        sums = torch.zeros(len(total), self.tables[0].shape[1])
        nodes = zip(self.fields, self.offsets, self.tables, self.factors, strict=True)
        for fields, offsets, table, factor in nodes:
            index = _rows_of(columns, fields, offsets, self.levels)
            sums += torch.nn.functional.embedding_bag(index, table, mode="sum")
            total += factor * torch.linalg.vector_norm(sums, dim=1)


def _narrow_and_wide(dense: DenseScorer) -> tuple[list[Field | None], list[dict[int, Change]]]:
    """Fields of the narrow nodes, None for wide ones, and the wide nodes in runs that share a running sum."""
    fields, of_sources = node_fields(dense, dense.layers), node_fields(dense, dense.layers - 1)
    runs, before = list[dict[int, Change]](), set[int]()
    for node, field in enumerate(fields):
        if len(field) <= NARROW:
            continue
        sources = set(np.flatnonzero(dense.adjacency[node].numpy()).tolist())
        if not runs or len(sources ^ before) >= len(sources):
            runs, before = [*runs, {}], set()
        signs = {source: 1 if source in sources else -1 for source in sorted(sources ^ before)}
        shared = shared_fields([of_sources[source] for source in signs])
        changed = list(signs.items())
        runs[-1][node] = {key: dict(changed[member] for member in members) for key, members in shared.items()}
        before = sources
    wide = {node for run in runs for node in run}
    return [None if node in wide else field for node, field in enumerate(fields)], runs


def _members(fields: list[Field | None]) -> dict[Field, list[int]]:
    """Narrow nodes by the field that they share."""
    numbers = [node for node, field in enumerate(fields) if field is not None]
    shared = shared_fields([field for field in fields if field is not None])
    return {field: [numbers[member] for member in members] for field, members in shared.items()}


def _distance_table(dense: DenseScorer, field: Field, nodes: list[int]) -> Tensor:
    """Sum over nodes of |h_v - h_v(original)| for every step of the field's groups, [levels ** len(field)]."""
    steps = _assignments(dense, field)
    parts = []
    for part in np.array_split(steps, -(-len(steps) // ROWS_AT_A_TIME)):
        reached = _upstream(dense.adjacency, nodes, 1)
        x = _products(dense, part, reached, dense.layers - 1)
        outputs = dense.adjacency[nodes][:, reached] @ x + dense.encoder.layers[-1].bias
        parts.append(torch.linalg.vector_norm(outputs - dense.original_outputs[:, nodes], dim=-1).sum(dim=1))
    return torch.cat(parts)


def _offsets(fields: list[Field], levels: int) -> NDArray[np.int64]:
    """Where each field's rows start."""
    sizes = [levels ** len(field) for field in fields]
    return np.cumsum([0, *sizes[:-1]])


def _columns(steps: Steps) -> Columns:
    """Configurations by group, [B, G] -> [G, B]."""
    return np.ascontiguousarray(steps.T, dtype=np.int32)


def _rows_of(columns: Columns, fields: list[Field], offsets: NDArray[np.int64], levels: int) -> Tensor:
    """Rows that configurations [G, B] take in tables that follow one another, int32 [B, fields]."""
    index = np.empty((columns.shape[1], len(fields)), np.int32)
    for number, (field, offset) in enumerate(zip(fields, offsets, strict=True)):
        row = np.zeros(columns.shape[1], np.int32)
        for group in field:
            row = row * levels + columns[group]
        index[:, number] = row + offset
    return torch.from_numpy(index)


def _assignments(dense: DenseScorer, field: Field) -> Steps:
    """Every step of the field's groups, the others unpruned, [levels ** len(field), G]."""
    assignments = np.array(list(product(range(dense.levels), repeat=len(field))), np.uint8).reshape(-1, len(field))
    steps = np.zeros((len(assignments), len(dense.features.channels)), np.uint8)
    steps[:, list(field)] = assignments
    return steps


def _field_table(dense: DenseScorer, field: Field, nodes: list[int], hops: int, weights: Tensor) -> Tensor:
    """Weighted sum over nodes of relu(h_u) W, for every step of the field's groups, [levels ** len(field), hidden]."""
    steps = _assignments(dense, field)
    parts = np.array_split(steps, -(-len(steps) // ROWS_AT_A_TIME))
    return torch.cat([torch.einsum("u,ruh->rh", weights, _products(dense, part, nodes, hops)) for part in parts])


def _products(dense: DenseScorer, steps: Steps, nodes: list[int], hops: int) -> Tensor:
    """relu(h_u) W of the last layer at some nodes, or X W where there is only one layer. [R, G] -> [R, n, hidden].

    The layers run on the part of the graph that reaches the nodes.
    """
    convs = dense.encoder.layers
    reached = [_upstream(dense.adjacency, nodes, hops - layer) for layer in range(hops + 1)]
    x = dense.first_products(steps, reached[0])  # [R, n_0, hidden]
    for layer in range(hops):
        weights = dense.adjacency[reached[layer + 1]][:, reached[layer]]
        x = weights @ x + convs[layer].bias
        x = convs[layer + 1].lin(x.relu())
    return x[:, np.searchsorted(reached[hops], nodes)]


def _upstream(adjacency: Tensor, nodes: list[int], hops: int) -> list[int]:
    return np.flatnonzero(_reach(adjacency, hops)[nodes].any(axis=0)).tolist()
