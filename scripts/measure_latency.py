"""Time the base and all winners in turns, by runtime and number of images at once."""

from dataclasses import asdict
from pathlib import Path

from sacp.artefacts.files import write_csv
from sacp.compute import long_job
from sacp.network.architectures import build
from sacp.network.spec import NetworkSpec
from sacp.network.weights import load_base
from sacp.pruning.files import load
from sacp.timing.measure import ROW_COLUMNS, in_turns

with long_job.running(snakemake) as work:
    spec, settings = NetworkSpec(**work.cfg["network"]), work.cfg["latency"]
    networks = {"Base": load_base(work.given.base, spec).to(work.device)}
    for method, path in zip(work.cfg["methods"], work.given.descriptions, strict=True):
        networks[method] = load(Path(path).parent, lambda num_classes: build(spec)).to(work.device)
    rows, seconds = [], settings["seconds"] * len(networks)
    for runtime in settings["runtimes"]:
        for batch in settings["batches"]:
            found = in_turns(networks, spec.input_shape, runtime, batch, work.threads, seconds)
            for name, row in found.items():
                rows.append({"method": name, **asdict(row)})
                long_job.log.info("%s, %s, batch %d: %.3f ms", name, row.runtime, batch, row.median_ms)
    write_csv(work.out.latency, rows, ("method", *ROW_COLUMNS))
