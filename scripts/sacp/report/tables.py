"""Tables from the metrics of finished runs."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import pandas as pd

from sacp.baselines.match_flops import TOLERANCE
from sacp.report import frontier

Metrics = Mapping[str, Any]

COLUMNS = [
    "model", "method", "source", "space", "seeds", "top1_percent", "top1_std", "change_percent", "flops_millions",
    "flops_pruned_percent", "flops_gap_percent", "params_millions", "params_pruned_percent", "networks_tuned",
    "networks_trained", "device_hours", "paper_protocol_top1_percent", "protocol_difference_percent", frontier.CITED,
]  # fmt: skip
TABLE4_COLUMNS = [
    "model", "method", "source", "seeds", "top1_percent", "top1_std", "flops_pruned_percent", "params_pruned_percent",
    "networks_labelled", "networks_tuned", "networks_trained", "paper_protocol_top1_percent",
    "protocol_difference_percent",
]  # fmt: skip
PROTOCOL = (
    "Top-1 accuracy on the test images; mean and sample deviation over seeds. FLOPs are multiply-accumulates. "
    "Measured: trained here, the winner chosen by validation accuracy and tested once. Reported, in italics: as the "
    "paper prints it. Tuned, trained: networks of a seed that were lightly tuned and fully trained for the method. "
    "Paper's protocol: the best test accuracy among the trained ones, as the paper picks it, empty where there is one; "
    "the difference is what that adds."
)
TABLE1 = "What pruning methods use and do, as the paper compares them."
TABLE3 = (
    f"Pruned networks. {PROTOCOL} Prunes: what a method can remove; inner groups are those of one layer alone, of no "
    "sum. FLOPs off target: by how many percent they are above the winner's that the method has to meet (below: "
    f"negative), in the seed that is farthest off; empty where all are within {100 * TOLERANCE:g} %. Device-hours: of "
    "GPUs, or of CPU cores where there are none, for what was searched, tuned and trained for the method alone, a "
    "seed's mean; the base's training stands in its own row."
)
PREDICTORS = (
    "Rank correlation with the validation accuracy after a light tuning, of networks drawn at random from the "
    "search space; every predictor is turned so that more is better. Means over seeds, intervals of 95 % by "
    "bootstrap over the seeds and over the networks of each; with one seed, over the networks alone. Resamples "
    "without value: those in which the predictor or an accuracy is constant; the interval is that of the others. "
    "Bands hold equally many networks, by FLOPs from small to large. Retest reliability: what a second run of the same "
    "tuning predicts. Estimated ceiling: what the true mean accuracies would score against one run, of the retest "
    "reliability by Spearman's formula of attenuation; a predictor is above it by chance, or by the estimate's error. "
    "Regret: accuracy of the best network of the sample less that of the best in the predictor's top share, in points."
)
TABLE4 = (
    "Variants. SACP-1: the encoder predicts accuracies, learned from labelled networks. SACP-2: the best of the "
    f"lightly tuned networks, not trained further. Labelled: tuned to learn from. {PROTOCOL} "
    "The paper's text gives 91.54 % where its table has 93.41 % for SACP on resnet18."
)
# Each script names its own: an edit of one caption, or a new one, makes no other table again.
CAPTIONS = {"table1": TABLE1, "table3": TABLE3, "table4": TABLE4, "predictors": PREDICTORS}


def runs(
    models: Mapping[str, Mapping[str, Any]], seeds: int, bases: Iterable[Metrics], winners: Iterable[Metrics]
) -> Iterator[tuple[str, list[Metrics], dict[str, list[Metrics]]]]:
    """Yield each model with the metrics of its bases and of its methods' winners, one for each seed.

    Args:
        models: `methods` of each model.
        seeds: number of seeds.
        bases: metrics of the bases, by model and seed.
        winners: metrics of the winners, by model, method and seed.
    """
    bases, winners = iter(bases), iter(winners)
    for model, settings in models.items():
        base = list(islice(bases, seeds))
        yield model, base, {method: list(islice(winners, seeds)) for method in settings["methods"]}


def measured_rows(
    model: str, base: Sequence[Metrics], methods: Mapping[str, Sequence[Metrics]],
    settings: Mapping[str, Mapping[str, Any]], spaces: Mapping[str, Mapping[str, Any]],
) -> list[dict[str, Any]]:  # fmt: skip
    """Rows of table 3 for one experiment: the base and every method run here.

    Args:
        model: the experiment.
        base: metrics of the base, one mapping per seed, with its `device_hours`.
        methods: metrics of the winners, with theirs.
        settings: of the methods: `kind`, and `labels` where there are any.
        spaces: of the methods: `space`, and as `match` the method whose winner's FLOPs it has to meet, or None.
    """
    rows = [_measured_row(model, "Base", base, base) | {"networks_tuned": 0, "networks_trained": 1}]
    for name, winners in methods.items():
        cost = _networks(winners, settings[name])
        tuned = cost["networks_labelled"] + cost["networks_tuned"]
        matched = spaces[name]["match"]
        rows.append(
            _measured_row(model, name, winners, base)
            | {"space": spaces[name]["space"], "flops_gap_percent": matched and _gap_percent(winners, methods[matched])}
            | {"networks_tuned": tuned, "networks_trained": cost["networks_trained"]}
        )
    for row, runs in zip(rows, (base, *methods.values()), strict=True):
        row["device_hours"] = sum(run["device_hours"] for run in runs) / len(runs)
    return rows


def _gap_percent(winners: Sequence[Metrics], matched: Sequence[Metrics]) -> float | None:
    """How far the FLOPs are off those to match in the farthest seed, above or below; None where all are within 2 %."""
    gaps = [own["flops"] / other["flops"] - 1 for own, other in zip(winners, matched, strict=True)]
    farthest: float = max(gaps, key=abs)
    return 100 * farthest if abs(farthest) > TOLERANCE else None


def device_hours(records: Iterable[Mapping[str, Any]], on_gpu: bool) -> float:
    """Hours that jobs have taken, each times its GPUs, or its CPU cores where nothing runs on GPUs.

    Args:
        records: of the jobs: `seconds`, `gpus` and `cores`.
        on_gpu: whether the run trains on GPUs; jobs without one count nothing then.
    """
    devices = "gpus" if on_gpu else "cores"
    return float(sum(record["seconds"] * record[devices] for record in records)) / 3600


def variant_rows(
    model: str, base: Sequence[Metrics], methods: Mapping[str, Sequence[Metrics]],
    settings: Mapping[str, Mapping[str, Any]],
) -> list[dict[str, Any]]:  # fmt: skip
    """Rows of table 4: every search and what it has cost in networks, the mean over seeds.

    Args:
        model: the experiment.
        base: metrics of the base, one mapping per seed.
        methods: metrics of the winners of searches.
        settings: of the methods: `kind`, and `labels` where there are any.
    """
    return [
        _measured_row(model, name, winners, base) | _networks(winners, settings[name])
        for name, winners in methods.items()
    ]


def _networks(winners: Sequence[Metrics], settings: Mapping[str, Any]) -> dict[str, int]:
    """Networks that a method has labelled, tuned and fully trained for a seed."""
    trained = 0 if settings["kind"] == "tuned" else _mean([len(winner["trained_candidates"]) for winner in winners])
    return {
        "networks_labelled": settings.get("labels", 0),
        "networks_tuned": _mean([winner["tuned_candidates"] for winner in winners]),
        "networks_trained": trained,
    }


def _mean(numbers: Sequence[int]) -> int:
    return round(sum(numbers) / len(numbers))


def _measured_row(
    model: str, method: str, runs: Sequence[Mapping[str, Any]], base: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    frame, base_frame = pd.DataFrame(list(runs)), pd.DataFrame(list(base))
    top1 = frame["test_accuracy_percent"]
    # Of a single network the best by test accuracy says nothing.
    several = all(len(run.get("trained_candidates", ())) > 1 for run in runs)
    by_test = frame["paper_protocol_test_accuracy_percent"] if several else None
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
        "paper_protocol_top1_percent": None if by_test is None else by_test.mean(),
        "protocol_difference_percent": None if by_test is None else (by_test - top1).mean(),
    }


def reported_rows(reported: pd.DataFrame, reported_model: str | None, model: str) -> list[dict[str, Any]]:
    """The paper's rows for one model, with the change to the paper's own base where that is given; none without one."""
    rows = reported[reported["model"] == reported_model].copy()
    bases = rows.loc[rows["method"] == "Base", "top1_percent"]
    if len(bases):
        rows["change_percent"] = rows["top1_percent"] - bases.iloc[0]
    return rows.assign(model=model, source="reported").to_dict("records")  # type: ignore[return-value]


def latencies(times: Iterable[pd.DataFrame]) -> dict[str, dict[str, float]]:
    """Columns of table 3 by method: milliseconds and how many times as fast as the base, means over seeds.

    Args:
        times: of each seed, rows with `method`, `runtime`, `batch`, `median_ms` and `speedup`.
    """
    every = pd.concat(list(times))
    found = dict[str, dict[str, float]]()
    for key, rows in every.groupby(["runtime", "batch", "method"], sort=False):
        runtime, batch, method = map(str, key)
        name = f"{runtime.partition(' ')[0]}, {batch} at once"
        found.setdefault(method, {}).update(
            {f"ms, {name}": rows["median_ms"].mean(), f"times as fast, {name}": rows["speedup"].mean()}
        )
    return found


def table3(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Table 3 with its columns in order; those of latency, where it was measured, behind the costs."""
    extra = list(dict.fromkeys(name for row in rows for name in row if name.startswith(("ms, ", "times as fast, "))))
    place = COLUMNS.index("params_pruned_percent") + 1
    return _with_counts(rows, [*COLUMNS[:place], *extra, *COLUMNS[place:]])


def table4(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Table 4 with its columns in order."""
    return _with_counts(rows, TABLE4_COLUMNS)


def _with_counts(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    counts = {name: "Int64" for name in columns if name == "seeds" or name.startswith("networks_")}
    return pd.DataFrame(list(rows), columns=list(columns)).astype(counts)  # reported rows have none


def reading_note(readings: Mapping[str, Mapping[str, str]], model: str) -> str:
    """A sentence on how each search's encoder reads the paper; empty without one."""
    found = [f"{name} {', '.join(f'{key} {value}' for key, value in each.items())}" for name, each in readings.items()]
    return f"Readings of the paper in {model}: {'; '.join(found)}." if found else ""


def images_note(base: Sequence[Metrics], model: str, reported: str | None) -> str:
    """A sentence on how many images were learned from, and how many chose."""
    training, validation = base[0]["training_images"], base[0]["validation_images"]
    paper = f" The paper presumably learns from all {training + validation:,}." if reported else ""
    return f"{model}: {training:,} training images, {validation:,} held out to choose by.{paper}"


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
