"""Trace a network and write its graph, layers and groups."""

from sacp import checkpoint, cost, job, provenance
from sacp.networks import NetworkSpec, build
from sacp.tracing import trace

with job.logged(snakemake.log[0], snakemake.threads):
    cfg = snakemake.params.cfg
    spec = NetworkSpec(**cfg["network"])
    graph = trace(build(spec), spec.input_shape)
    record = provenance.record(snakemake.rule, cfg, snakemake.params.code, snakemake.input, seed=None)
    checkpoint.save_graph(snakemake.output[0], graph, spec, provenance.finished(record))
    layers = sum(len(group.layers) for group in graph.groups)
    job.log.info("%s: %d groups, %d layers, %s", spec.name, len(graph.groups), layers, cost.cost_of_graph(graph))
