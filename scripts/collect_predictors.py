"""Put together, for every network of the sample, its accuracies after tuning and what could have predicted them."""

import numpy as np
import pandas as pd
from sacp import artefacts, checkpoint, cost, criteria, dense, files, job, predictors, provenance, ranking, scoring
from sacp.encoder import EncoderSettings, load
from sacp.networks import NetworkSpec
from sacp.space import kept_counts

with job.logged(snakemake.log[0], snakemake.threads):
    cfg, seed, given = snakemake.params.cfg, int(snakemake.wildcards.seed), snakemake.input
    record = provenance.record(snakemake.rule, cfg, snakemake.params.code, given, seed)
    graph = checkpoint.load_graph(given.network)
    base = checkpoint.load_base(given.base, NetworkSpec(**cfg["network"])).network
    norms = criteria.l1_norms(base, graph)
    steps, levels = artefacts.load_configs(given.configs, "search", slice(0, cfg["sample"]))
    found = predictors.trivial(base, graph, steps, levels)
    probes = pd.read_csv(given.probes).sort_values("candidate")
    found |= {
        "accuracy untuned": probes["untuned_accuracy_percent"].to_numpy(),
        "accuracy, batch norms calibrated": probes["recalibrated_accuracy_percent"].to_numpy(),
    }
    for (name, settings), path in zip(cfg["encoders"].items(), given.encoders, strict=True):
        settings = EncoderSettings(**settings)
        encoder = load(path, graph, levels, settings)
        scorer = dense.DenseScorer.of(encoder, graph, norms, levels, settings)
        found[f"score of {name}"] = scoring.score_all(scorer, steps)
    tuned = pd.DataFrame([row for path in given.tuned for row in ranking.load_tuned(path)])
    accuracies = tuned[ranking.ACCURACY].to_numpy(np.float64).reshape(cfg["repeats"], len(steps))
    flops, _ = cost.costs_of_counts(graph, kept_counts(steps, graph.channels, levels))
    keys = {"model": snakemake.wildcards.experiment, "seed": seed}
    rows = list(predictors.raw_rows(keys, range(len(steps)), flops, dict(enumerate(accuracies)), found))
    files.write_csv(snakemake.output.csv, rows, tuple(rows[0]))
    files.write_json(snakemake.output.provenance, provenance.finished(record, outputs=[snakemake.output.csv]))
