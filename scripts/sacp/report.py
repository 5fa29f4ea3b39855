"""Tables from the metrics of finished runs."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

COLUMNS = [
    "model", "method", "source", "seeds", "top1_percent", "top1_std", "change_percent", "flops_millions",
    "flops_pruned_percent", "params_millions", "params_pruned_percent", "paper_protocol_top1_percent",
]  # fmt: skip
CAPTION = (
    "Top-1 accuracy on the test images; mean and sample deviation over seeds. FLOPs are multiply-accumulates. "
    "*measured*: trained here, the winner chosen by validation accuracy and tested once. *reported*: as quoted by the "
    "paper. `paper_protocol_top1_percent`: the best test accuracy among the k fully trained, as the paper picks it."
)


def measured_rows(
    model: str, base: Sequence[Mapping[str, Any]], methods: Mapping[str, Sequence[Mapping[str, Any]]]
) -> list[dict[str, Any]]:
    """Rows of table 3 for one experiment: the base and every method run here, one metrics mapping per seed."""
    rows = [_measured_row(model, "Base", base, base)]
    return rows + [_measured_row(model, name, runs, base) for name, runs in methods.items()]


def _measured_row(
    model: str, method: str, runs: Sequence[Mapping[str, Any]], base: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    frame, base_frame = pd.DataFrame(list(runs)), pd.DataFrame(list(base))
    top1 = frame["test_accuracy_percent"]
    paper_protocol = frame.get("paper_protocol_test_accuracy_percent")
    return {
        "model": model,
        "method": method,
        "source": "measured",
        "seeds": len(frame),
        "top1_percent": top1.mean(),
        "top1_std": top1.std(),
        "change_percent": (top1 - base_frame["test_accuracy_percent"]).mean(),
        "flops_millions": frame["flops"].mean() / 1e6,
        "flops_pruned_percent": (100 * (1 - frame["flops"] / base_frame["flops"])).mean(),
        "params_millions": frame["parameters"].mean() / 1e6,
        "params_pruned_percent": (100 * (1 - frame["parameters"] / base_frame["parameters"])).mean(),
        "paper_protocol_top1_percent": None if paper_protocol is None else paper_protocol.mean(),
    }


def reported_rows(reported: pd.DataFrame, reported_model: str, model: str) -> list[dict[str, Any]]:
    """The paper's rows for one model, with the change to the paper's own base."""
    rows = reported[reported["model"] == reported_model].copy()
    base = rows.loc[rows["method"] == "Base", "top1_percent"].iloc[0]
    rows["change_percent"] = rows["top1_percent"] - base
    return rows.assign(model=model, source="reported").to_dict("records")  # type: ignore[return-value]


def table3(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Table 3 with its columns in order."""
    return pd.DataFrame(list(rows), columns=COLUMNS).astype({"seeds": "Int64"})  # reported rows have none


def failure_note(methods: Mapping[str, Sequence[Mapping[str, Any]]], model: str) -> str:
    """A sentence for the footnote on candidates that failed, with the first reason; empty if none did."""
    sentences = []
    for method, winners in methods.items():
        failures = [failure for winner in winners for failure in winner.get("failures", [])]
        if failures:
            tuned = sum(failure["stage"] == "tune" for failure in failures)
            sentences.append(
                f"{model}, {method}: {tuned} tunings and {len(failures) - tuned} full trainings failed and were ranked "
                f"last; the first: {failures[0]['reason']}."
            )
    return " ".join(sentences)


def to_markdown(table: pd.DataFrame, caption: str) -> str:
    """A table as Markdown, two decimals, empty cells where there is no value, the caption below."""
    text = table.astype(object).map(
        lambda cell: "" if pd.isna(cell) else f"{cell:.2f}" if isinstance(cell, float) else cell
    )
    return f"{text.to_markdown(index=False, disable_numparse=True)}\n\n{caption}\n"
