"""Measure how much the base's logits depend on the channels of each group."""

from sacp.artefacts.files import write_json
from sacp.compute import long_job
from sacp.compute.resume import stop_requests
from sacp.images.batches import Normalizer, drawn_batches
from sacp.images.splits import load_splits
from sacp.network.graph import load_graph
from sacp.network.spec import NetworkSpec
from sacp.network.weights import load_base
from sacp.pruning.sensitivity import BATCH, Measurement, measure, to_json
from sacp.seeds import derive

with long_job.running(snakemake) as work, stop_requests() as stop:
    graph, settings = load_graph(work.given.network), work.cfg["sensitivity"]
    base = load_base(work.given.base, NetworkSpec(**work.cfg["network"])).to(work.device)
    splits = load_splits(work.given.data, work.cfg["validation"], work.seed)
    normalizer, seed = Normalizer(splits.mean, splits.std, work.device), derive(work.seed, "sensitivity")
    batches = drawn_batches(splits.train, normalizer, settings["images"], BATCH, seed)
    measured = Measurement(graph, work.sidecar.state.get("sensitivity"))
    found = measure(
        base, graph, batches, seed, settings["draws"], measured,
        after=lambda: work.sidecar.pause(stop, "sensitivity", measured.state),
    )  # fmt: skip
    write_json(work.out.sensitivity, to_json(found, graph))
    for group, value, error in zip(graph.groups, found.groups, found.errors, strict=True):
        long_job.log.info("%s: %.4g, standard error %.2g", group.name, value, error)
