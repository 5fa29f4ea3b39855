"""Structure-aware automatic channel pruning: graph, space, encoder, scoring, surgery and training."""

from collections.abc import Callable
from pathlib import Path
from typing import Any


def load(folder: str | Path, network: Callable[..., Any] | None = None) -> Any:
    """Load a pruned network from a winner's folder as a ready `torch.nn.Module`; see `sacp.pruning.files.load`."""
    from sacp.pruning import files  # imported here: the package itself costs no torch import

    return files.load(folder, network)


def prune(network: Any, input_shape: Any, **settings: Any) -> Any:
    """Prune a network in memory to a budget, `flops=` or `parameters=`; see `sacp.search.shrink.shrink`."""
    from sacp.search import shrink

    return shrink.shrink(network, input_shape, **settings)
