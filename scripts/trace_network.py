"""Trace a network and write its graph, layers and groups."""

from sacp.compute import job
from sacp.network.architectures import build
from sacp.network.constraints import Constraints
from sacp.network.cost import cost_of_graph
from sacp.network.graph import save_graph
from sacp.network.spec import NetworkSpec
from sacp.tracing.trace import traced

with job.running(snakemake) as work:
    spec = NetworkSpec(**work.cfg["network"])
    found = traced(build(spec), spec.input_shape, Constraints.of(**work.cfg["constraints"]))
    graph = found.graph
    save_graph(work.out.network, graph, spec, found.stays)
    layers = sum(len(group.layers) for group in graph.groups)
    job.log.info("%s: %d groups, %d layers, %s", spec.name, len(graph.groups), layers, cost_of_graph(graph))
    for why in found.stays:
        job.log.warning("%s: not pruned: %s", spec.name, why)
