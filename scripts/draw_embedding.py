"""Figure: the encoders' embeddings of candidates, with the tuned ones, the winner and the unpruned network."""

from pathlib import Path

import numpy as np
import pandas as pd
from sacp.artefacts.files import read_json
from sacp.compute import job
from sacp.encoder.scorer import dense_of_file
from sacp.network.cost import cost_of_graph, costs_of_counts
from sacp.network.graph import load_graph
from sacp.network.spec import NetworkSpec
from sacp.network.weights import load_base
from sacp.pruning.space import kept_counts
from sacp.report.score_figures import Embeddings, embedding_figure
from sacp.search.files import load_configs

CANDIDATES = 2000  # at most; the first of the search set, which are a random sample

with job.running(snakemake) as work:
    graph, base = load_graph(work.given.network), load_base(work.given.base, NetworkSpec(**work.cfg["network"]))
    steps, levels = load_configs(work.given.configs, "search", slice(0, CANDIDATES))
    flops, _ = costs_of_counts(graph, kept_counts(steps, graph, levels))
    share, methods = flops / cost_of_graph(graph).flops, {}
    files_of = zip(
        work.cfg["methods"], work.given.candidates, work.given.encoders, work.given.tuned, work.given.winners,
        strict=True,
    )  # fmt: skip
    for method, configs, encoder, tuned, winner in files_of:
        scorer = dense_of_file(encoder, base, graph, levels, **work.cfg["encoders"][method])
        # HDF5 reads rows in ascending order.
        chosen = load_configs(configs, "search", sorted(pd.read_csv(tuned)["candidate"]))[0]
        won = load_configs(configs, "search", read_json(winner)["candidate"])[0]
        parts = [scorer.embed(part).numpy() for part in np.array_split(steps, -(-len(steps) // scorer.chunk))]
        shown = (scorer.embed(chosen).numpy(), scorer.embed(won[None])[0].numpy(), scorer.original.numpy())
        methods[method] = Embeddings(np.concatenate(parts), share, *shown)
    title = f"{work.wildcards.experiment}, seed {work.cfg['seed']}"
    embedding_figure([Path(work.out.png), Path(work.out.pdf)], title, methods)
