"""Evaluate configurations of the sample before any tuning: as they are, and with calibrated batch norms."""

from sacp.artefacts.files import write_csv
from sacp.compute import long_job
from sacp.images.splits import load_splits
from sacp.network.files import load_base
from sacp.network.graph import load_graph
from sacp.network.spec import NetworkSpec
from sacp.network.surgery import prune
from sacp.progress import Progress
from sacp.pruning.criteria import kept_of, l1_order
from sacp.search.files import load_configs
from sacp.training.evaluation import PROBE_COLUMNS, Calibration, accuracy_percent

with long_job.running(snakemake) as work:
    graph, base = load_graph(work.given.network), load_base(work.given.base, NetworkSpec(**work.cfg["network"]))
    order, splits = l1_order(base, graph), load_splits(work.given.data, work.cfg["validation"], work.seed)
    calibration = Calibration(splits, work.cfg["calibration"], work.seed)
    steps, levels = load_configs(work.given.configs, "search", slice(0, work.cfg["sample"]))
    rows, progress = [], Progress("networks probed:", len(steps))
    for candidate in range(len(steps)):
        network = prune(base, graph, kept_of(steps[candidate], order, graph, levels)).to(work.device).eval()
        untuned = accuracy_percent(network, splits.validation, splits)
        calibration(network)
        calibrated = accuracy_percent(network, splits.validation, splits)
        rows.append(dict(zip(PROBE_COLUMNS, (candidate, untuned, calibrated), strict=True)))
        progress.advance(1)
    write_csv(work.out.csv, rows, PROBE_COLUMNS)
