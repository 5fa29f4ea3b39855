"""How much faster pruned networks are."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from sacp.report.drawing import grid, save, style


def latency_figure(paths: Sequence[Path], title: str, kept: Mapping[str, float], times: pd.DataFrame) -> None:
    """Draw the speed-up against the share of FLOPs kept, a panel for each runtime and size of the batch.

    Args:
        paths: files to write; the suffix gives the format.
        title: heading.
        kept: of each method's winner, FLOPs as a share of the base's.
        times: columns `method`, `runtime`, `batch`, `threads`, `device`, `speedup`, `speedup_lower`, `speedup_upper`.
    """
    settings = list(times[["runtime", "batch"]].drop_duplicates().itertuples(index=False))
    figure, panels = plt.subplots(
        1, len(settings), figsize=(1.5 + 4 * len(settings), 4.2), layout="constrained", squeeze=False, sharey=True
    )
    for axes, (runtime, batch) in zip(panels[0], settings, strict=True):
        rows = times[(times["runtime"] == runtime) & (times["batch"] == batch)].set_index("method")
        for number, (method, share) in enumerate(kept.items()):
            row, (colour, marker, _) = rows.loc[method], style(number)
            ends = [[row["speedup"] - row["speedup_lower"]], [row["speedup_upper"] - row["speedup"]]]
            axes.errorbar(100 * share, row["speedup"], ends, color=colour, marker=marker, ms=7, lw=1, label=method)
        shares = np.linspace(min(kept.values()), 1, 50)
        axes.plot(100 * shares, 1 / shares, color="0.7", lw=1, zorder=0, label="as the FLOPs say")
        axes.axhline(1, color="0.4", lw=1, ls="--")
        axes.set(title=f"{runtime}\n{batch} at once", xlabel="FLOPs kept (% of the base)")
        grid(axes)
    first = times.iloc[0]
    panels[0][0].set_ylabel("times as fast as the base")
    panels[0][-1].legend(fontsize=8, loc="center left", bbox_to_anchor=(1.02, 0.5))
    figure.suptitle(f"{title}, {first['threads']} threads, {first['device']}", fontsize=11)
    save(figure, paths)
