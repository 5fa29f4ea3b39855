"""How much faster pruned networks are: the table of docs/latency.md, by `make bench-latency`.

Each network of torchvision is pruned to half of its FLOPs, freely and with widths that are multiples, and measured in
turns with the original. Weights are random, as they are built: they decide which widths are chosen, but not what a
network of these widths takes. Rows are appended to docs/results/latency.csv as they are measured; a row that is there
is not measured again. `--print` writes the table of what is there into the page.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, fields
from functools import partial
from pathlib import Path

import pandas as pd
import sacp
import torch
import torchvision
from sacp.errors import InputError
from sacp.timing.measure import Row
from sacp.timing.runtimes import RUNTIMES
from sacp.tracing.trace import count
from torch import nn

NETWORKS = ("resnet18", "resnet50", "mobilenet_v2", "vgg16_bn", "densenet121")
FREE, ROUNDED = "flops=0.5", "flops=0.5, round_to=8"
PRUNED = {FREE: {"flops": 0.5}, ROUNDED: {"flops": 0.5, "round_to": 8}}
SHAPE = (1, 3, 224, 224)
BATCHES = (1, 16)
COLUMNS = ("network", "pruned", "flops_share", *(field.name for field in fields(Row)), "torchvision")
CSV, PAGE = Path("docs/results/latency.csv"), Path("docs/latency.md")
BEGIN, END = "<!-- latency: made by `make bench-latency` -->", "<!-- end -->"
HEADINGS = (
    "network", "pruned", "FLOPs left", "runtime", "batch", "original (ms)", "pruned (ms)", "times as fast", "quartiles",
    "runs",
)  # fmt: skip


def known(path: Path) -> pd.DataFrame:
    """The rows that are there."""
    return pd.read_csv(path) if path.exists() else pd.DataFrame(columns=list(COLUMNS))


def built(name: str) -> nn.Module:
    """A network of torchvision with random weights, the same in each run."""
    torch.manual_seed(0)
    return torchvision.models.get_model(name, weights=None).eval()


def measured(name: str, pruned: str, left: Sequence[tuple[str, int]], seconds: float) -> Iterator[dict[str, object]]:
    """Prune a network, and measure it under the settings that are left."""
    network = built(name)
    smaller = sacp.prune(network, SHAPE, **PRUNED[pruned])
    share = count(smaller, SHAPE).flops / count(network, SHAPE).flops
    for runtime, batch in left:
        (row,) = sacp.latency(
            smaller, SHAPE, original=network, batches=(batch,), runtimes=(runtime,), threads=1, seconds=seconds
        )
        release = torchvision.__version__.partition("+")[0]
        yield {"network": name, "pruned": pruned, "flops_share": share, **asdict(row), "torchvision": release}


def measure(names: Sequence[str], seconds: float, path: Path) -> None:
    """Append the rows that are not there yet."""
    for name in names:
        for pruned in PRUNED:
            rows = known(path)
            rows = rows[(rows["network"] == name) & (rows["pruned"] == pruned)]
            done = {(str(row.runtime).partition(" ")[0], row.batch) for row in rows.itertuples()}
            left = [(runtime, batch) for runtime in RUNTIMES for batch in BATCHES if (runtime, batch) not in done]
            for row in measured(name, pruned, left, seconds) if left else ():
                frame = pd.DataFrame([row], columns=list(COLUMNS))
                frame.to_csv(path, mode="a", header=not path.exists(), index=False, float_format="%.4f")
                print(f"{name}, {pruned}, {row['runtime']}, {row['batch']}: {row['speedup']:.2f}", flush=True)


def table(rows: pd.DataFrame) -> str:
    """What was measured, on what, as Markdown."""
    lines: list[Sequence[object]] = [HEADINGS, ["---"] * len(HEADINGS)]
    for row in rows.sort_values(["network", "pruned", "runtime", "batch"], kind="stable").itertuples():
        lines.append((
            row.network, f"`{row.pruned}`", f"{row.flops_share:.3f}", str(row.runtime).partition(" ")[0], row.batch,
            f"{row.original_ms:.1f}", f"{row.median_ms:.1f}", f"{row.speedup:.2f}",
            f"{row.speedup_lower:.2f} to {row.speedup_upper:.2f}", row.runs,
        ))  # fmt: skip
    names = ("device", "threads", "runtime", "torchvision")
    device, threads, runtimes, release = (", ".join(sorted(map(str, rows[name].unique()))) for name in names)
    head = f"Device: {device}; threads: {threads}; {runtimes}; torchvision {release}; images of 224 pixels a side."
    text = "\n".join(f"| {' | '.join(map(str, cells))} |" for cells in lines)
    return f"{head}\n\n{text}"


def filled(page: str, mark: str, table: str) -> str:
    """The page with the table behind a mark made anew; `InputError` if it has no such mark."""
    before, found, rest = page.partition(mark)
    if not found:
        raise InputError(f"{PAGE}: found no line '{mark}', expected one before the table")
    return f"{before}{mark}\n\n{table}\n\n{END}{rest.partition(END)[2]}"


def run(
    about: str | None, networks: Sequence[str], seconds: float, missing: Callable[[Sequence[str], float], None],
    mark: str, made: Callable[[], str],
) -> None:  # fmt: skip
    """Measure what is missing, unless told otherwise, and write the table that is made of all into the page."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", default=networks, help="names of torchvision's networks")
    parser.add_argument("--seconds", type=float, default=seconds, help="how long each row is measured, about")
    parser.add_argument("--print", action="store_true", help="measure nothing")
    options = parser.parse_args()
    if not options.print:
        missing(options.networks, options.seconds)
    PAGE.write_text(filled(PAGE.read_text(), mark, made()))


def main() -> None:
    run(__doc__, NETWORKS, 20, partial(measure, path=CSV), BEGIN, lambda: table(known(CSV)))


if __name__ == "__main__":
    main()
