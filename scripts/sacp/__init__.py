"""Structure-aware automatic channel pruning: graph, space, encoder, scoring, surgery and training."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sacp.api.public import compare, data, export, latency, load, prune, save, train

__all__ = ["compare", "data", "export", "latency", "load", "prune", "save", "train"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """A function of `sacp.api.public`, when it is asked for: the jobs of a run, which use none, hang on none."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from sacp.api import public

    return getattr(public, name)
