"""What table 3 of a run with one seed shows: a narrow table, and which differences are more than chance.

`python -m sacp.report.outcome TABLE DATA` prints both, of a table 3 as .csv and of the prepared data of its networks.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from safetensors import SafetensorError, safe_open
from scipy.stats import binomtest

from sacp.errors import InputError
from sacp.report.formats import readable

SHOWN = [
    "model", "method", "source", "top1_percent", "change_percent", "flops_pruned_percent", "params_pruned_percent",
    "networks_tuned", "networks_trained", "device_hours",
]  # fmt: skip
BASE, UNIFORM = "Base", "l1"  # rows that the others are compared with
EQUAL_FLOPS = 0.02  # two methods within 1 % of a third differ by no more
LEVEL = 0.95

Interval = tuple[float, float]


def narrow(table: pd.DataFrame) -> str:
    """The main columns as text, those left out whose cells are all the same."""
    kept = [name for name in SHOWN if len(set(table[name])) > 1]
    return readable(table[kept]).to_string(index=False)


def difference(first: float, second: float, images: int) -> Interval:
    """The interval of 95 % of a difference of two accuracies in points, by chance of the test images alone.

    Newcombe's hybrid of two Wilson intervals (1998, method 10), which holds near 100 % too. Taken as independent,
    although both networks saw the same images: the interval is rather too wide.

    Args:
        first: accuracy in %, of as many images as `images`.
        second: the accuracy that is subtracted.
        images: number of test images.
    """
    (low1, high1), (low2, high2) = _wilson(first, images), _wilson(second, images)
    below = ((first - low1) ** 2 + (high2 - second) ** 2) ** 0.5
    above = ((high1 - first) ** 2 + (second - low2) ** 2) ** 0.5
    return first - second - below, first - second + above


def _wilson(percent: float, images: int) -> Interval:
    right = round(percent / 100 * images)
    found = binomtest(right, images).proportion_ci(LEVEL, method="wilson")
    return 100 * found.low, 100 * found.high


def sentences(table: pd.DataFrame, images: int) -> list[str]:
    """What the table shows: the best at the FLOPs of the uniform baseline, its loss, and what may be chance.

    Args:
        table: rows of table 3 for one network and one seed, with the base and `l1` among them.
        images: number of test images.

    Raises:
        InputError: if a row that is compared with is missing, or there is more than one network or seed.
    """
    measured = table[table["source"] == "measured"]
    if measured["model"].nunique() != 1 or set(measured["seeds"]) != {1}:
        raise InputError("table 3: several networks or seeds; expected one of each")
    rows = measured.set_index("method")
    if missing := [name for name in (BASE, UNIFORM) if name not in rows.index]:
        raise InputError(f"table 3: no row {', '.join(missing)}; expected {BASE} and {UNIFORM}")
    equal = rows[(rows["flops_millions"] / rows["flops_millions"][UNIFORM] - 1).abs() <= EQUAL_FLOPS]
    accuracies, base = equal["top1_percent"], rows["top1_percent"][BASE]
    return [
        _best(accuracies, equal["flops_pruned_percent"].mean(), images),
        f"The base has {base:.2f} %: the best is {_compared(accuracies.max(), base, images)} it.",
        _chance(accuracies, images),
    ]


def _best(accuracies: pd.Series, pruned: float, images: int) -> str:
    """Which methods are best, and how far above uniform pruning."""
    top, uniform = accuracies.max(), accuracies[UNIFORM]
    best = [str(name) for name in accuracies.index[accuracies == top]]
    head = f"Of {len(accuracies)} methods that prune {pruned:.0f} % of the FLOPs"
    if UNIFORM in best:
        return f"{head}, none is better than uniform pruning ({UNIFORM}), {top:.2f} %."
    verb = "is" if len(best) == 1 else "are"
    return (
        f"{head}, {' and '.join(best)} {verb} best: {top:.2f} %, {_compared(top, uniform, images)} uniform {UNIFORM}."
    )


def _compared(first: float, second: float, images: int) -> str:
    """How far one accuracy is above or below another, with its interval in brackets."""
    word, pair = ("above", (first, second)) if first >= second else ("below", (second, first))
    low, high = difference(*pair, images)
    return f"{pair[0] - pair[1]:.2f} points [{low:.2f}, {high:.2f}] {word}"


def _chance(accuracies: pd.Series, images: int) -> str:
    """Which methods are worse than the best by more than chance."""
    top = accuracies.max()
    worse = [str(name) for name, each in accuracies.items() if difference(top, each, images)[0] > 0]
    told = f"only {', '.join(worse)} {'is' if len(worse) == 1 else 'are'}" if worse else "none of these methods is"
    return (
        f"Brackets are 95 % intervals over the {images} test images; a difference whose brackets hold 0 is noise, and "
        f"another seed would add to it. Beyond noise, {told} worse than the best."
    )


def test_images(data: Path) -> int:
    """Number of test images of prepared data; `InputError` if it cannot be read."""
    try:
        with safe_open(data, framework="numpy") as file:
            return int(file.get_slice("test_labels").get_shape()[0])
    except (OSError, SafetensorError) as error:
        raise InputError(f"{data}: {error}; expected prepared data") from None


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table and the sentences; a user's mistake in one line, with status 1."""
    parser = argparse.ArgumentParser(prog="sacp.report.outcome", description=__doc__)
    parser.add_argument("table", type=Path, help="table 3, as .csv")
    parser.add_argument("data", type=Path, help="the prepared data")
    given = parser.parse_args(arguments)
    try:
        try:
            table = pd.read_csv(given.table)
        except (OSError, ValueError) as error:
            raise InputError(f"{given.table}: {error}; expected table 3") from None
        text = [narrow(table), "", *sentences(table, test_images(given.data))]
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print("\n".join(text))
    return 0


if __name__ == "__main__":
    sys.exit(main())
