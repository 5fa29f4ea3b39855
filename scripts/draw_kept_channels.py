"""Figure: the share of channels that the winners and the baselines keep in each layer."""

from pathlib import Path

import numpy as np
from sacp.artefacts.files import read_json
from sacp.compute import job
from sacp.network.graph import load_graph
from sacp.report.network_figures import kept_figure

with job.running(snakemake) as work:
    graph = load_graph(work.given.network)
    channels = {layer: group.channels for group in graph.groups for layer in group.layers}
    layers = [node.name for node in graph.nodes if node.name in channels]  # in the order of the data flow
    methods = {}
    for method, path in zip(work.cfg["methods"], work.given.winners, strict=True):
        widths = read_json(path)["widths"]
        methods[method] = np.array([widths[layer] / channels[layer] for layer in layers])
    title = f"{work.wildcards.experiment}, seed {work.cfg['seed']}"
    kept_figure([Path(work.out.png), Path(work.out.pdf)], title, layers, methods)
