"""An encoder's score: the cosine to the original's embedding (eq. 10), a distance, or a regression's prediction."""

import logging
from pathlib import Path
from typing import Any

from torch import nn

from sacp.encoder.dense import DenseScorer
from sacp.encoder.lookup_tables import DistanceTables, TableScorer, entries
from sacp.encoder.model import DISTANCE, EncoderSettings, load
from sacp.network.graph import Graph
from sacp.pruning.criteria import l1_norms

log = logging.getLogger(__name__)
MOST_ENTRIES = 1 << 18  # table rows; at 64 hidden units, 68 MB


def of_file(
    encoder: str | Path, network: nn.Module, graph: Graph, levels: int, **settings: Any
) -> DenseScorer | DistanceTables | TableScorer:
    """The scorer of a trained encoder, for the base `network`; `settings` are those it was trained by."""
    return fastest(dense_of_file(encoder, network, graph, levels, **settings))


def dense_of_file(encoder: str | Path, network: nn.Module, graph: Graph, levels: int, **settings: Any) -> DenseScorer:
    """The same, in dense batches."""
    known = EncoderSettings(**settings)
    return DenseScorer.of(load(encoder, graph, levels, known), graph, l1_norms(network, graph), levels, known)


def fastest(dense: DenseScorer) -> DenseScorer | DistanceTables | TableScorer:
    """Tables where they are small enough, dense batches where not; the log says which."""
    rows = entries(dense)
    if rows > MOST_ENTRIES:
        log.info("scoring in dense batches: tables would have %.3g rows, more than %d", rows, MOST_ENTRIES)
        return dense
    log.info("scoring by tables of %d rows", rows)
    return DistanceTables(dense) if dense.score == DISTANCE else TableScorer(dense)
