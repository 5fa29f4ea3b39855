"""The order of candidates after the tuning, and the winner after the full training (method section 3.5)."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sacp.errors import InputError, one_line

# `rank` is the place by score, or in the sample, from 0.
ACCURACY = "validation_accuracy_percent"
TYPES = {"rank": int, "candidate": int, ACCURACY: float, "flops": int, "parameters": int, "failure": str}
TUNED_COLUMNS = tuple(TYPES)


def known(trained: Sequence[str] | str | None) -> Sequence[str]:
    """The files of a job whose inputs depend on what was tuned.

    Raises:
        InputError: Snakemake did not ask for them again when candidates were ranked, and gives none, or a place holder.
    """
    if trained is None or isinstance(trained, str):
        raise InputError("what was trained was not known when this job was planned; run the same command again")
    return trained


def load_tuned(path: str | Path) -> list[dict[str, Any]]:
    """Read rows of `TUNED_COLUMNS`; an empty cell is None. Read while planning, hence without pandas.

    Raises:
        InputError: the file is damaged, or is another table.
    """
    try:
        with Path(path).open(newline="") as handle:
            rows = list(csv.reader(handle, strict=True))
        if rows[:1] != [list(TUNED_COLUMNS)]:
            raise ValueError(f"expected the columns {', '.join(TUNED_COLUMNS)}")
        cells = [zip(TYPES.items(), row, strict=True) for row in rows[1:]]
        return [{name: kind(cell) if cell else None for (name, kind), cell in row} for row in cells]
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"{path}: not a table of tuned candidates ({one_line(error)})") from None


def best(rows: Sequence[Mapping[str, Any]], key: str, number: int) -> list[Mapping[str, Any]]:
    """The `number` rows with the largest `key`, failed ones last; ties go to the lower candidate number."""

    def place(row: Mapping[str, Any]) -> tuple[bool, float, int]:
        failed = bool(row.get("failure"))
        return failed, 0.0 if failed else -row[key], row["candidate"]

    return sorted(rows, key=place)[:number]


def rank(tuned: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Tuned candidates, best validation accuracy first.

    Raises:
        InputError: all of them failed.
    """
    ranked = best(tuned, "validation_accuracy_percent", len(tuned))
    if ranked[0]["failure"]:
        raise InputError(f"tune: all {len(ranked)} candidates failed; the first: {ranked[0]['failure']}")
    return ranked


def chosen(tuned: Sequence[Mapping[str, Any]], m: int, k: int) -> list[int]:
    """Candidates that are trained fully: the k best-tuned of the m best by score, failed ones left out.

    Args:
        tuned: rows of `TUNED_COLUMNS`.
        m: ranks by score that count.
        k: how many to choose at most.
    """
    rows = [row for row in tuned if row["rank"] < m and not row["failure"]]
    return [row["candidate"] for row in best(rows, ACCURACY, k)]


def sweep(
    tuned: Sequence[Mapping[str, Any]], trained: Mapping[int, Mapping[str, Any]], pairs: Sequence[tuple[int, int]]
) -> list[tuple[float, float]]:
    """Test accuracies in percent at each pair of m and k (figure 2), from the trainings at hand.

    The first is the winner's by validation accuracy, the second the best by test accuracy, as the paper picks.

    Args:
        tuned: rows of `TUNED_COLUMNS`, of all ranks.
        trained: metrics of the fully trained candidates, by number; of all that any pair chooses.
        pairs: m and k.
    """
    winners = [choose_winner([trained[candidate] for candidate in chosen(tuned, m, k)]) for m, k in pairs]
    protocols = ("test_accuracy_percent", "paper_protocol_test_accuracy_percent")
    return [(float(winner[protocols[0]]), float(winner[protocols[1]])) for winner in winners]


def choose_winner(trained: Sequence[Mapping[str, Any]], tuned: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """Choose among fully trained candidates by validation accuracy, and say what the paper's protocol would report.

    DEVIATION: the paper picks the winner by test accuracy among the k (section 3.5); here the test images choose
    nothing, and the paper's figure stands beside ours as `paper_protocol_test_accuracy_percent`.

    Args:
        trained: metrics of the fully trained candidates.
        tuned: rows of the tuned ones, to count them and carry the failed among them on.

    Raises:
        InputError: all fully trained candidates failed.
    """
    winner = best(trained, "validation_accuracy_percent", 1)[0]
    if winner.get("failure"):
        raise InputError(f"full: all {len(trained)} trainings failed; the first: {winner['failure']}")
    finished = [row for row in trained if not row.get("failure")]
    by_test = best(finished, "test_accuracy_percent", 1)[0]
    failures = [
        {"stage": stage, "candidate": row["candidate"], "reason": row["failure"]}
        for stage, rows in (("tune", tuned), ("full", trained))
        for row in rows
        if row.get("failure")
    ]
    return {
        **winner,
        "trained_candidates": [row["candidate"] for row in finished],
        "tuned_candidates": len(tuned),
        "failures": failures,
        "paper_protocol_candidate": by_test["candidate"],
        "paper_protocol_test_accuracy_percent": by_test["test_accuracy_percent"],
    }
