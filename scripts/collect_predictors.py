"""Put together, for every network of the sample, its accuracies after tuning and what could have predicted them."""

import numpy as np
import pandas as pd
from sacp.artefacts.files import write_csv
from sacp.compute import job
from sacp.encoder.scorer import dense_of_file
from sacp.network.cost import costs_of_counts
from sacp.network.graph import load_graph
from sacp.network.spec import NetworkSpec
from sacp.network.weights import load_base
from sacp.pruning.space import kept_counts
from sacp.report.predictors import raw_rows
from sacp.report.trivial import trivial
from sacp.search.files import load_configs
from sacp.search.scorers import score_all
from sacp.training.ranking import ACCURACY, load_tuned

with job.running(snakemake) as work:
    graph, base = load_graph(work.given.network), load_base(work.given.base, NetworkSpec(**work.cfg["network"]))
    steps, levels = load_configs(work.given.configs, "search", slice(0, work.cfg["sample"]))
    probes = pd.read_csv(work.given.probes).sort_values("candidate")
    found = trivial(base, graph, steps, levels) | {"accuracy untuned": probes["untuned_accuracy_percent"].to_numpy()}
    if work.cfg["calibration"]:
        found["accuracy, batch norms calibrated"] = probes["calibrated_accuracy_percent"].to_numpy()
    found |= {name: probes[name].to_numpy(np.float64) for name in work.cfg.get("zero_cost", [])}
    for (name, settings), path in zip(work.cfg["encoders"].items(), work.given.encoders, strict=True):
        found[f"score of {name}"] = score_all(dense_of_file(path, base, graph, levels, **settings), steps)
    tuned = pd.DataFrame([row for path in work.given.tuned for row in load_tuned(path)])
    accuracies = tuned[ACCURACY].to_numpy(np.float64).reshape(work.cfg["repeats"], len(steps))
    flops, _ = costs_of_counts(graph, kept_counts(steps, graph, levels))
    keys = {"model": work.wildcards.experiment, "seed": work.seed}
    rows = list(raw_rows(keys, range(len(steps)), flops, dict(enumerate(accuracies)), found))
    write_csv(work.out.csv, rows, tuple(rows[0]))
