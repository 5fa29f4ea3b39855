"""Figure: how the score of each search answers to the pruning of each group."""

from pathlib import Path

import numpy as np
from sacp import artefacts, checkpoint, criteria, files, job, provenance, scoring, search_figures
from sacp.networks import NetworkSpec

CANDIDATES = 20_000  # at most; the first of the search set, which are a random sample

with job.logged(snakemake.log[0], snakemake.threads):
    cfg, given = snakemake.params.cfg, snakemake.input
    record = provenance.record(snakemake.rule, cfg, snakemake.params.code, given, seed=None)
    graph = checkpoint.load_graph(given.network)
    norms = criteria.l1_norms(checkpoint.load_base(given.base, NetworkSpec(**cfg["network"])).network, graph)
    steps, levels = artefacts.load_configs(given.configs, "search", slice(0, CANDIDATES))
    encoders, responses = iter(given.encoders), {}
    for method, score in cfg["scores"].items():
        scorer = scoring.of_method(score, next(encoders) if "encoder" in score else None, graph, norms, levels)
        scores = scoring.score_all(scorer, steps).astype(np.float64)
        responses[method] = search_figures.response(steps, scores, levels)
    names = [group.name for group in graph.groups]
    outputs = [Path(snakemake.output.png), Path(snakemake.output.pdf)]
    title = f"{snakemake.wildcards.experiment}, seed {cfg['seed']}"
    search_figures.response_figure(outputs, title, names, responses)
    files.write_json(snakemake.output.provenance, provenance.finished(record, outputs=outputs))
