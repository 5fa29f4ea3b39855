"""How much faster pruned networks are."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sacp.report.drawing import grid, method_legend, panels_of, save, style


def latency_figure(paths: Sequence[Path], title: str, kept: Mapping[str, float], times: pd.DataFrame) -> None:
    """Draw the speed-up against the share of FLOPs kept, a panel for each runtime and size of the batch.

    Args:
        paths: files to write; the suffix gives the format.
        title: heading.
        kept: of each method's winner, FLOPs as a share of the base's.
        times: columns `method`, `runtime`, `batch`, `threads`, `device`, `speedup`, `speedup_lower`, `speedup_upper`.
    """
    settings = list(times[["runtime", "batch"]].drop_duplicates().itertuples(index=False))
    figure, panels = panels_of(len(settings), 2, 4.6, 3.8, "times as fast as the base", sharey=True)
    for axes, (runtime, batch) in zip(panels, settings, strict=True):
        rows = times[(times["runtime"] == runtime) & (times["batch"] == batch)].set_index("method")
        for number, (method, share) in enumerate(kept.items()):
            row, (colour, marker, _) = rows.loc[method], style(number)
            ends = [[row["speedup"] - row["speedup_lower"]], [row["speedup_upper"] - row["speedup"]]]
            look: dict[str, Any] = {"marker": marker, "ms": 7, "mec": "black", "mew": 0.7}
            axes.errorbar(100 * share, row["speedup"], ends, color=colour, lw=1, label=method, **look)
        shares = np.linspace(min(kept.values()), 1, 50)
        axes.plot(100 * shares, 1 / shares, color="0.7", lw=1, zorder=0, label="as the FLOPs say")
        axes.axhline(1, color="0.4", lw=1, ls="--")
        axes.set(title=f"{runtime}\n{batch} at once", xlabel="FLOPs kept (% of the base)")
        axes.title.set_fontsize(10)
        grid(axes)
    method_legend(figure, *panels[0].get_legend_handles_labels())
    figure.suptitle(f"{title}, {where(times)}", fontsize=11)
    save(figure, paths)


def where(times: pd.DataFrame) -> str:
    """What times were measured on, of rows with `threads` and `device`."""
    first = times.iloc[0]
    return f"{first['threads']} {'thread' if first['threads'] == 1 else 'threads'}, {first['device']}"
