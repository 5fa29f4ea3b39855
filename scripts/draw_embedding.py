"""Figure: the encoders' embeddings of candidates, with the tuned ones, the winner and the unpruned network."""

from pathlib import Path

import numpy as np
import pandas as pd
from sacp import artefacts, checkpoint, cost, criteria, dense, files, job, provenance, search_figures
from sacp.encoder import EncoderSettings, load
from sacp.networks import NetworkSpec
from sacp.space import kept_counts

CANDIDATES = 2000  # at most; the first of the search set, which are a random sample

with job.logged(snakemake.log[0], snakemake.threads):
    cfg, given = snakemake.params.cfg, snakemake.input
    record = provenance.record(snakemake.rule, cfg, snakemake.params.code, given, seed=None)
    graph = checkpoint.load_graph(given.network)
    norms = criteria.l1_norms(checkpoint.load_base(given.base, NetworkSpec(**cfg["network"])).network, graph)
    steps, levels = artefacts.load_configs(given.configs, "search", slice(0, CANDIDATES))
    flops, _ = cost.costs_of_counts(graph, kept_counts(steps, graph.channels, levels))
    share = flops / cost.cost_of_graph(graph).flops
    methods = {}
    files_of = zip(cfg["methods"], given.candidates, given.encoders, given.tuned, given.winners, strict=True)
    for method, configs, encoder, tuned, winner in files_of:
        settings = EncoderSettings(**cfg["encoders"][method])
        scorer = dense.DenseScorer.of(load(encoder, graph, levels, settings), graph, norms, levels, settings)
        # HDF5 reads rows in ascending order.
        chosen = artefacts.load_configs(configs, "search", sorted(pd.read_csv(tuned)["candidate"]))[0]
        won = artefacts.load_configs(configs, "search", files.read_json(winner)["candidate"])[0]
        parts = [scorer.embed(part).numpy() for part in np.array_split(steps, -(-len(steps) // scorer.chunk))]
        methods[method] = search_figures.Embeddings(
            np.concatenate(parts),
            share,
            scorer.embed(chosen).numpy(),
            scorer.embed(won[None])[0].numpy(),
            scorer.original.numpy(),
        )
    outputs = [Path(snakemake.output.png), Path(snakemake.output.pdf)]
    search_figures.embedding_figure(outputs, f"{snakemake.wildcards.experiment}, seed {cfg['seed']}", methods)
    files.write_json(snakemake.output.provenance, provenance.finished(record, outputs=outputs))
