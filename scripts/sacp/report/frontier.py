"""What others report of the same networks: the end of table 3, a block of its own beside the paper's and ours."""

from typing import Any

import pandas as pd

SOURCE, CITED = "frontier", "reported_by"  # of these rows: their `source`, and the column that says whose they are
HEADING = "Known frontier"
CAPTION = (
    "Known frontier: networks of the same names on CIFAR-10, as their authors report them, from bases, recipes and "
    "counts of FLOPs of their own. Neither in the paper nor measured here; empty where a number is not given."
)


def rows(frontier: pd.DataFrame, reported_model: str | None, model: str) -> list[dict[str, Any]]:
    """Rows of table 3 for one model; none if the experiment has no reported ones."""
    found = frontier[frontier["model"] == reported_model]
    return found.assign(model=model, source=SOURCE).to_dict("records")  # type: ignore[return-value]


def parted(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A table without these rows, and these rows alone, without columns that say nothing of them.

    One without any comes back as it was, but for the column that only they fill.
    """
    if "source" not in table:
        return table, table.iloc[:0]
    theirs = table["source"] == SOURCE
    own = table[~theirs].drop(columns=CITED, errors="ignore")
    return own, table[theirs].drop(columns="source").dropna(axis="columns", how="all")
