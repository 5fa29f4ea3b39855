"""Figure: the share of channels that the winners and the baselines keep in each layer."""

from pathlib import Path

import numpy as np
from sacp import checkpoint, files, job, provenance, search_figures

with job.logged(snakemake.log[0], snakemake.threads):
    cfg, given = snakemake.params.cfg, snakemake.input
    record = provenance.record(snakemake.rule, cfg, snakemake.params.code, given, seed=None)
    graph = checkpoint.load_graph(given.network)
    layers = [layer for group in graph.groups for layer in group.layers]
    layers = [node.name for node in graph.nodes if node.name in layers]  # in the order of the data flow
    channels = {layer: group.channels for group in graph.groups for layer in group.layers}
    methods = {}
    for method, path in zip(cfg["methods"], given.winners, strict=True):
        widths = files.read_json(path)["widths"]
        methods[method] = np.array([widths[layer] / channels[layer] for layer in layers])
    outputs = [Path(snakemake.output.png), Path(snakemake.output.pdf)]
    search_figures.kept_figure(outputs, f"{snakemake.wildcards.experiment}, seed {cfg['seed']}", layers, methods)
    files.write_json(snakemake.output.provenance, provenance.finished(record, outputs=outputs))
