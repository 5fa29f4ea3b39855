"""Each search's picks inside one narrow band of FLOPs, tuned alike: a table and a picture of a finished study.

.venv/bin/python tests/benchmarks/score_picks.py results/cifar10_score --figure picks.png --csv picks.csv
"""

import argparse
import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sacp.report.drawing import grid, style

ACCURACY = "validation_accuracy_percent"


def read(results: Path) -> pd.DataFrame:
    """One row for each tuned network: model, seed, method, accuracy, FLOPs; and the winner's test accuracy."""
    rows = []
    for path in sorted(results.glob("*/seed*/*/topm.csv")):
        model, seed, method = path.parts[-4], path.parts[-3].removeprefix("seed"), path.parts[-2]
        frame = pd.read_csv(path).assign(model=model, seed=int(seed), method=method)
        metrics = path.parent / "winner/metrics.json"
        tested = json.loads(metrics.read_text())["test_accuracy_percent"] if metrics.exists() else np.nan
        rows.append(frame.assign(trained_longer=tested))
    return pd.concat(rows)


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """Means over seeds of the mean of the picks, and of the best-tuned one's test accuracy after more training."""
    by_seed = frame.groupby(["model", "method", "seed"]).agg(
        mean=(ACCURACY, "mean"), best=(ACCURACY, "max"), flops=("flops", "mean"), longer=("trained_longer", "first")
    )
    random = by_seed["mean"].xs("random-picks", level="method")
    by_seed["gain"] = by_seed["mean"] - random.reindex(by_seed.droplevel("method").index).to_numpy()
    table = by_seed.groupby(["model", "method"]).agg(
        seeds=("mean", "size"), picks_mean=("mean", "mean"), over_random=("gain", "mean"),
        over_random_least=("gain", "min"), over_random_most=("gain", "max"), picks_best=("best", "mean"),
        trained_longer=("longer", "mean"), flops_millions=("flops", lambda values: values.mean() / 1e6),
    )  # fmt: skip
    return table.reset_index().sort_values(["model", "picks_mean"], ascending=[True, False])


def draw(frame: pd.DataFrame, path: Path) -> None:
    """A dot for each tuned network, a line for the mean of each seed's picks."""
    models = list(frame["model"].unique())
    figure, panels = plt.subplots(1, len(models), figsize=(5.2 * len(models), 4), squeeze=False, layout="constrained")
    for axes, model in zip(panels[0], models, strict=True):
        of_model = frame[frame["model"] == model]
        methods = list(of_model.groupby("method")[ACCURACY].mean().sort_values(ascending=False).index)
        for place, method in enumerate(methods):
            for number, seed in enumerate(sorted(of_model["seed"].unique())):
                values = of_model[(of_model["method"] == method) & (of_model["seed"] == seed)][ACCURACY]
                at = place + 0.24 * (number - 1)
                look = style(number)
                axes.scatter(np.full(len(values), at), values, 16, color=look.colour, marker=look.marker, alpha=0.6)
                axes.hlines(values.mean(), at - 0.11, at + 0.11, color=look.colour, lw=2.5)
                if place == 0:
                    axes.scatter([], [], 30, color=look.colour, marker=look.marker, label=f"seed {seed}")
        axes.set_xticks(range(len(methods)), methods, rotation=20, ha="right")
        axes.set(title=model, ylabel="accuracy after one epoch of tuning (%, validation)")
        grid(axes)
    panels[0][0].legend(fontsize=9, framealpha=0.8, edgecolor="none")
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()
    frame = read(options.results)
    table = summary(frame)
    print(table.to_string(index=False, float_format="%.2f"))
    if options.csv:
        table.to_csv(options.csv, index=False)
    if options.figure:
        draw(frame, options.figure)


if __name__ == "__main__":
    main()
