"""Figure 1 on the user's own run: the network graph with the winner's channels, and what each stage did."""

from pathlib import Path

from sacp import checkpoint, files, job, provenance, search_figures
from sacp.problem import ENCODER

with job.logged(snakemake.log[0], snakemake.threads):
    cfg, given = snakemake.params.cfg, snakemake.input
    record = provenance.record(snakemake.rule, cfg, snakemake.params.code, given, seed=None)
    graph, base = checkpoint.load_graph(given.network), checkpoint.load_metrics(given.base)
    winner = files.read_json(given.winner)
    widths = files.read_json(given.description)["widths"]
    kept = [widths[group.layers[0]] for group in graph.groups]
    space, refine = cfg["space"], cfg["refine"]
    score, stage = cfg["score"]["score"], ("score", cfg["score"]["score"])
    if score == ENCODER:
        encoder = cfg["score"]["encoder"]
        stage = ("encoder", f"objective {encoder['objective']}, {encoder['epochs']} epochs")
    scored = {
        "sample": f"of all {space['search_size']:,} candidates",
        "exact": f"of the {cfg['found']:,} best of the whole space",
        "local": f"of {cfg['found']:,} reached from the best of {space['search_size']:,}",
    }
    saved = 100 * (1 - winner["flops"] / base["flops"])
    stages = [
        (
            "network",
            f"{len(graph.nodes)} nodes, {len(graph.groups)} groups; base {base['test_accuracy_percent']:.2f} %",
        ),
        (
            "configurations",
            f"N = {space['training_size']:,}; M = {space['search_size']:,} with R ≥ {space['threshold']}",
        ),
        stage,
        ("scores", scored[cfg["score"]["search"]]),
        ("light tuning", f"of the m = {refine['top_m']} best by score"),
        ("full training", f"of the k = {refine['top_k']} best by validation accuracy"),
        ("winner", f"{winner['test_accuracy_percent']:.2f} % (test), {saved:.1f} % of the FLOPs pruned"),
    ]
    outputs = [Path(snakemake.output.png), Path(snakemake.output.pdf)]
    title = f"{snakemake.wildcards.experiment}, {cfg['method']}, seed {cfg['seed']}"
    search_figures.method_figure(outputs, title, graph, kept, stages)
    files.write_json(snakemake.output.provenance, provenance.finished(record, outputs=outputs))
