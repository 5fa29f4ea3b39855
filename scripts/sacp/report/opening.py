"""What the page of a run opens with: what was asked, and the best network."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from sacp.network.cost import is_share

Metrics = Mapping[str, Any]
Settings = Mapping[str, Any]
Row = Mapping[Any, Any]  # of table 3
Entries = dict[str, str | Sequence[str]]


def asked(settings: Settings, data: Settings, texts: Mapping[str, str], seeds: Sequence[int], base: Metrics) -> Entries:
    """What an experiment was asked for.

    Args:
        settings: of the experiment.
        data: its images: `text`, `classes`, `channels` and `image_size`.
        texts: what each method does, in the order of the tables.
        seeds: of the run.
        base: metrics of a base, for the numbers of its images.
    """
    network, shape = settings["network"], f"{data['channels']} x {data['image_size']} x {data['image_size']}"
    width = f", width {network['width']:g}" if network["width"] != 1 else ""
    weights = f", from {network['weights']}" if network.get("weights") else ""
    images = f"{base['training_images']:,} training images, {base['validation_images']:,} held out to choose by"
    return {
        "Network": f"{network['name']}{width}{weights}",
        "Data": f"{data['text']}: {images}; {data['classes']} classes, {shape}",
        "Target": _target(settings, texts),
        "Methods": _methods(texts),
        "Candidates": f"the {settings['refine']['top_m']} best by score tuned, the best {settings['refine']['top_k']} "
        "of them trained fully",
        "Seeds": ", ".join(map(str, seeds)),
    }


def _target(settings: Settings, names: Iterable[str]) -> list[str]:
    methods, threshold = {name: settings["methods"][name] for name in names}, settings["space"]["threshold"]
    found = [f"pruning ratio of at least {threshold:g}"] if threshold else []
    for name, method in methods.items():
        if method["kind"] == "search":
            found += [f"{name}: {limit}" for limit in _limits(method.get("budget", settings["search"]["budget"]))]
    for match in dict.fromkeys(method["match"] for method in methods.values() if "match" in method):
        matching = {name: method["kind"] for name, method in methods.items() if method.get("match") == match}
        if names := [name for name, kind in matching.items() if kind != "tuned"]:
            found.append(f"the FLOPs of the winner of {match}: {', '.join(names)}")
    return found or ["no bound on the cost"]


def _limits(budget: Mapping[str, float | Sequence[float]]) -> list[str]:
    """Bounds of a budget in words."""
    found = []
    for name, limit in budget.items():
        ends = [limit] if isinstance(limit, int | float) else list(limit)
        shown = [f"{100 * end:g} % of the base's" if is_share(end) else f"{int(end):,}" for end in ends]
        what = "FLOPs" if name == "flops" else name
        found.append(f"{what} {' to '.join(shown) if len(shown) > 1 else f'at most {shown[0]}'}")
    return found


def _methods(texts: Mapping[str, str]) -> list[str]:
    """Methods by what they do."""
    by_text: dict[str, list[str]] = {}
    for name, text in texts.items():
        by_text.setdefault(text.replace("`", ""), []).append(name)
    return [f"{', '.join(names)}: {text}" for text, names in by_text.items()]


def best_method(winners: Mapping[str, Sequence[Metrics]]) -> str | None:
    """The method with the highest mean validation accuracy; of several the one with the fewest FLOPs; None without one.

    The test images choose nothing, as within a method.
    """
    known = [name for name, runs in winners.items() if _is_known(_validation(runs))]
    return max(known, key=lambda name: (_validation(winners[name]), -_mean(winners[name], "flops")), default=None)


def _validation(runs: Sequence[Metrics]) -> float:
    return _mean(runs, "validation_accuracy_percent")


def _mean(runs: Sequence[Metrics], name: str) -> float:
    return float(np.mean([np.nan if run[name] is None else run[name] for run in runs]))


def best(rows: pd.DataFrame, winners: Mapping[str, Sequence[Metrics]]) -> Entries:
    """The best network of an experiment: accuracy beside its base's, costs, times, and where its files are.

    Args:
        rows: measured rows of table 3, of which the base's is the first.
        winners: metrics of the winners by method, one mapping for each seed, each with the `folder` of its network.
    """
    name = best_method(winners)
    if name is None:
        return {"Method": "none: no network has an accuracy"}
    table = {str(each["method"]): each for each in rows.to_dict("records")}
    row, base = table[name], next(iter(table.values()))
    run = max(winners[name], key=lambda each: each["validation_accuracy_percent"])
    return {
        "Method": _method(name, winners, table),
        "Accuracy": f"{_accuracy(row)} on the test images; base {_accuracy(base)}, {row['change_percent']:+.2f} points",
        "FLOPs": _cost(row, base, "flops", "flops_millions"),
        "Parameters": _cost(row, base, "params", "params_millions"),
        **_times(row),
        "Files": [f"{run['folder']}: network.safetensors, network.json", f'in Python: sacp.load("{run["folder"]}")'],
    }


def _method(name: str, winners: Mapping[str, Sequence[Metrics]], table: Mapping[str, Row]) -> list[str]:
    """The method, and what its choice rests on."""
    validation = {each: _validation(runs) for each, runs in winners.items()}
    level = [each for each, value in validation.items() if each != name and value >= validation[name] - 1e-9]
    images = winners[name][0]["validation_images"]
    step = f"one image is {100 / images:.2f} points"
    found = [f"{name}, {validation[name]:.2f} % of the {images:,} images held out to choose by ({step})"]
    if level:
        found.append(f"as good on them, with no fewer FLOPs: {', '.join(level)}")
    accuracy = {each: table[each]["top1_percent"] for each in winners if _is_known(table[each]["top1_percent"])}
    first = max(accuracy, key=accuracy.__getitem__)
    if accuracy[first] > accuracy[name]:
        found.append(
            f"the best on the test images is {first}, {accuracy[first]:.2f} %; chosen by these it would be flattered"
        )
    return found


def _is_known(value: float | None) -> bool:
    return value is not None and not np.isnan(value)


def _accuracy(row: Row) -> str:
    spread = f" ± {row['top1_std']:.2f}" if _is_known(row["top1_std"]) else ""
    return f"{row['top1_percent']:.2f}{spread} %"


def _cost(row: Row, base: Row, name: str, column: str) -> str:
    return f"{row[column]:,.2f} M of {base[column]:,.2f} M ({row[f'{name}_pruned_percent']:.1f} % pruned)"


def _times(row: Row) -> Entries:
    """Latencies where they were measured, and how many times as fast as the base."""
    found = list[str]()
    for column, value in row.items():
        if column.startswith("ms, ") and _is_known(value):
            setting = column.removeprefix("ms, ")
            found.append(f"{setting}: {value:.2f} ms, {row[f'times as fast, {setting}']:.2f} times as fast as the base")
    return {"Latency": found} if found else {}
