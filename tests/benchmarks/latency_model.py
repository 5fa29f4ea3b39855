"""How well modelled times fit measured ones: the second table of docs/latency.md, by `make bench-latency`.

Networks of torchvision are pruned to drawn configurations and to one ratio everywhere, and measured in turns with the
original. Rows are appended to docs/results/latency_model.csv as they are measured; what is there is not measured again.
Times of layers are kept in results/latency_times.json. `--print` writes the table of what is there into the page.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import sacp
import torch
import torchvision
from benchmarks.latency import run
from sacp.network.constraints import Constraints
from sacp.network.surgery import prune
from sacp.pruning.criteria import kept_channels, l1_order
from sacp.pruning.space import counts_by_step
from sacp.timing.model import times_of
from sacp.timing.runtimes import RUNTIMES, Setting
from sacp.tracing.trace import traced

NETWORKS = ("resnet18", "mobilenet_v2")
SHAPE = (1, 3, 224, 224)
LEVELS = 10
MULTIPLES = (1, 16)
UNIFORM, DRAWN = (3, 5, 7), 5  # steps of one ratio everywhere; drawn configurations
TIMES = Path("results/latency_times.json")
CSV = Path("docs/results/latency_model.csv")
KEY = ["network", "multiples", "runtime"]
COLUMNS = (*KEY, "steps", "modelled", "measured", "measured_lower", "measured_upper", "device", "threads")
BEGIN = "<!-- model: made by `make bench-latency` -->"
HEADINGS = (
    "network", "widths are multiples of", "runtime", "networks", "measured shares", "modelled : measured, median",
    "least", "most",
)  # fmt: skip


def configurations(groups: int) -> np.ndarray:
    """Steps of all that is measured, [n, G]."""
    drawn = np.random.default_rng(0).integers(0, LEVELS, (DRAWN, groups))
    return np.vstack([np.full((len(UNIFORM), groups), np.array(UNIFORM)[:, None]), drawn])


def measure(name: str, multiple: int, runtime: str, seconds: float) -> pd.DataFrame:
    """Rows of one network under one setting."""
    torch.manual_seed(0)
    network = torchvision.models.get_model(name, weights=None).eval()
    original, setting = traced(network, SHAPE, Constraints(round_to=multiple)), Setting(runtime, 1, 1)
    graph, order = original.graph, l1_order(network, original.graph)
    counts, steps = counts_by_step(graph, LEVELS), configurations(len(graph.groups))
    times = times_of(network, original, SHAPE, counts, setting, TIMES)
    modelled = times.times(steps) / times.times(np.zeros_like(steps[:1]))
    rows = []
    for number, share in zip(steps, modelled, strict=True):
        kept = kept_channels(order, counts[np.arange(len(number)), number])
        (row,) = sacp.latency(
            prune(network, graph, kept), SHAPE, original=network, batches=(1,), runtimes=(runtime,), threads=1,
            seconds=seconds,
        )  # fmt: skip
        shares = (share, 1 / row.speedup, 1 / row.speedup_upper, 1 / row.speedup_lower)
        rows.append((name, multiple, row.runtime, " ".join(map(str, number)), *shares, row.device, row.threads))
        print(f"{name}, {multiple}, {runtime}: modelled {share:.3f}, measured {1 / row.speedup:.3f}", flush=True)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def measure_missing(names: Sequence[str], seconds: float) -> None:
    for name in names:
        for multiple in MULTIPLES:
            for runtime in RUNTIMES:
                rows = pd.read_csv(CSV) if CSV.exists() else pd.DataFrame(columns=list(COLUMNS))
                known = rows["runtime"].astype(str).str.startswith(f"{runtime} ")
                if not (known & (rows["network"] == name) & (rows["multiples"] == multiple)).any():
                    found = measure(name, multiple, runtime, seconds)
                    found.to_csv(CSV, mode="a", header=not CSV.exists(), index=False, float_format="%.4f")


def table(rows: pd.DataFrame) -> str:
    """By network and setting, how far modelled shares lie from measured ones, as Markdown."""
    lines: list[Sequence[object]] = [HEADINGS, ["---"] * len(HEADINGS)]
    for (name, multiple, runtime), some in rows.groupby(KEY, sort=True):
        ratio, measured = some["modelled"] / some["measured"], some["measured"]
        shares = f"{measured.min():.2f} to {measured.max():.2f}"
        cells = (f"{number:.2f}" for number in (ratio.median(), ratio.min(), ratio.max()))
        lines.append((name, multiple, str(runtime).partition(" ")[0], len(some), shares, *cells))
    names = ("device", "threads", "runtime")
    device, threads, runtimes = (", ".join(sorted(map(str, rows[name].unique()))) for name in names)
    text = "\n".join(f"| {' | '.join(map(str, cells))} |" for cells in lines)
    return f"Device: {device}; threads: {threads}; {runtimes}; batches of 1 image of 224 pixels a side.\n\n{text}"


def main() -> None:
    run(__doc__, NETWORKS, 4, measure_missing, BEGIN, lambda: table(pd.read_csv(CSV)))


if __name__ == "__main__":
    main()
