"""Draw the training set and the search set of configurations."""

import numpy as np
from sacp.compute import job
from sacp.network.graph import load_graph
from sacp.pruning.space import Space, draw_training
from sacp.search.files import attributes_of, new_configs
from sacp.seeds import derive

with job.running(snakemake) as work:
    space, graph = work.cfg["space"], load_graph(work.given.network)
    constrained = Space.of(graph, space["levels"], space["threshold"])
    job.log.info("%d configurations with R >= %s", constrained.count, space["threshold"])
    rng = np.random.default_rng(derive(work.seed, "training set"))
    training = draw_training(space["training_size"], graph, space["levels"], rng)
    attributes = attributes_of(graph, space["levels"], space["threshold"], constrained.count, work.seed)
    with new_configs(work.out.configs, training, space["search_size"], attributes) as search:
        constrained.sample_into(search, space["search_size"], derive(work.seed, "search set"), work.threads)
    job.log.info("%d of them drawn", space["search_size"])
