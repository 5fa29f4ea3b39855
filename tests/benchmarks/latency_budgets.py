"""Whether budgets on latency are met: the third table of docs/latency.md, by `make bench-latency`.

Networks of torchvision are pruned to shares of their time, and what comes back is measured anew, in turns with the
original. Rows are appended to docs/results/latency_budgets.csv; what is there is not measured again. Times of layers
are kept in results/latency_times.json. `--print` writes the table of what is there into the page.
"""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import sacp
import torch
import torchvision
from benchmarks.latency import run
from sacp.errors import InputError
from sacp.timing.runtimes import RUNTIMES
from sacp.tracing.trace import count

NETWORKS = ("resnet18", "mobilenet_v2")
SHAPE = (1, 3, 224, 224)
BUDGETS = (0.75, 0.6, 0.45)
TIMES = Path("results/latency_times.json")
CSV = Path("docs/results/latency_budgets.csv")
KEY = ["network", "runtime", "budget"]
COLUMNS = (*KEY, "outcome", "flops_share", "measured", "measured_lower", "measured_upper", "device", "threads")
BEGIN = "<!-- budgets: made by `make bench-latency` -->"
HEADINGS = ("network", "runtime", "budget", "outcome", "FLOPs left", "measured anew", "quartiles", "off by")


def measure(name: str, runtime: str, budget: float, seconds: float) -> tuple[object, ...]:
    """A row: what `sacp.prune` made of a budget, measured again, as a share of the original's time."""
    torch.manual_seed(0)
    network = torchvision.models.get_model(name, weights=None).eval()
    settings = {"runtime": runtime, "threads": 1}
    try:
        smaller = sacp.prune(network, SHAPE, latency=budget, timings=TIMES, **settings)
    except InputError as error:
        return (name, runtime, budget, f"refused: {error}", None, None, None, None, "", 1)
    (row,) = sacp.latency(
        smaller, SHAPE, original=network, batches=(1,), runtimes=(runtime,), threads=1, seconds=seconds
    )
    share = count(smaller, SHAPE).flops / count(network, SHAPE).flops
    shares = (1 / row.speedup, 1 / row.speedup_upper, 1 / row.speedup_lower)
    return (name, row.runtime, budget, "pruned", share, *shares, row.device, row.threads)


def measure_missing(names: Sequence[str], seconds: float) -> None:
    """Append the rows that are not there yet."""
    for name in names:
        for runtime in RUNTIMES:
            for budget in BUDGETS:
                rows = pd.read_csv(CSV) if CSV.exists() else pd.DataFrame(columns=list(COLUMNS))
                known = rows["runtime"].astype(str).str.startswith(runtime)
                if not (known & (rows["network"] == name) & (rows["budget"] == budget)).any():
                    row = measure(name, runtime, budget, seconds)
                    frame = pd.DataFrame([row], columns=list(COLUMNS))
                    frame.to_csv(CSV, mode="a", header=not CSV.exists(), index=False, float_format="%.4f")
                    print(*row[:7], flush=True)


def table(rows: pd.DataFrame) -> str:
    """What became of each budget, as Markdown."""
    lines: list[Sequence[object]] = [HEADINGS, ["---"] * len(HEADINGS)]
    for row in rows.sort_values(KEY, ascending=[True, True, False], kind="stable").itertuples():
        cells: tuple[object, ...] = (row.network, str(row.runtime).partition(" ")[0], row.budget, row.outcome)
        if row.outcome == "pruned":
            quartiles = f"{row.measured_lower:.3f} to {row.measured_upper:.3f}"
            off = f"{100 * (row.measured / row.budget - 1):+.1f} %"
            cells = (*cells, f"{row.flops_share:.3f}", f"{row.measured:.3f}", quartiles, off)
        lines.append((*cells, *[""] * (len(HEADINGS) - len(cells))))
    return "\n".join(f"| {' | '.join(map(str, cells))} |" for cells in lines)


def main() -> None:
    run(__doc__, NETWORKS, 10, measure_missing, BEGIN, lambda: table(pd.read_csv(CSV)))


if __name__ == "__main__":
    main()
