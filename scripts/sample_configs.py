"""Draw the training set and the search set of configurations."""

import numpy as np
from sacp import artefacts, checkpoint, job, provenance, space
from sacp.seeds import derive

with job.logged(snakemake.log[0], snakemake.threads):
    cfg, seed = snakemake.params.cfg["space"], int(snakemake.wildcards.seed)
    graph = checkpoint.load_graph(snakemake.input.network)
    constrained = space.Space.build(graph.weights, cfg["levels"], cfg["threshold"])
    job.log.info("%d configurations with R >= %s", constrained.count, cfg["threshold"])
    rng = np.random.default_rng(derive(seed, "training set"))
    training = space.draw_training(cfg["training_size"], len(graph.groups), cfg["levels"], rng)
    attributes = artefacts.attributes_of(graph, cfg["levels"], cfg["threshold"], constrained.count, seed)
    record = provenance.record(snakemake.rule, snakemake.params.cfg, snakemake.params.code, snakemake.input, seed)
    size = cfg["search_size"]
    with artefacts.new_configs(snakemake.output[0], training, size, attributes) as search:
        constrained.sample_into(search, size, derive(seed, "search set"), snakemake.threads)
        attributes["provenance"] = provenance.finished(record)
    job.log.info("%d of them drawn", size)
