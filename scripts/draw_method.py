"""Figure 1 on the user's own run: the network graph with the winner's channels, and what each stage did."""

from pathlib import Path

from sacp.artefacts.files import read_json
from sacp.compute import job
from sacp.network.graph import load_graph
from sacp.report.network_figures import method_figure, stages_of

with job.running(snakemake) as work:
    graph, base, winner = load_graph(work.given.network), read_json(work.given.base), read_json(work.given.winner)
    widths = read_json(work.given.description)["widths"]
    kept = [widths[group.layers[0]] for group in graph.groups]
    title = f"{work.wildcards.experiment}, {work.cfg['method']}, seed {work.cfg['seed']}"
    stages = stages_of(work.cfg, graph, base, winner)
    method_figure([Path(work.out.png), Path(work.out.pdf)], title, graph, kept, stages)
