"""Evaluate configurations of the sample before any tuning: as they are, and with calibrated batch norms."""

from sacp.artefacts.files import write_csv
from sacp.compute import long_job
from sacp.images.splits import load_splits
from sacp.network.graph import load_graph
from sacp.network.spec import NetworkSpec
from sacp.network.weights import load_base
from sacp.pruning.criteria import kept_of, l1_order
from sacp.search.files import load_configs
from sacp.training.evaluation import Calibration
from sacp.training.probes import PROBE_COLUMNS, probe

with long_job.running(snakemake) as work:
    graph, base = load_graph(work.given.network), load_base(work.given.base, NetworkSpec(**work.cfg["network"]))
    order, splits = l1_order(base, graph), load_splits(work.given.data, work.cfg["validation"], work.seed)
    calibration = Calibration(splits, work.cfg["calibration"], work.seed)
    steps, levels = load_configs(work.given.configs, "search", slice(0, work.cfg["sample"]))
    kept = [kept_of(row, order, graph, levels) for row in steps]
    zero_cost = work.cfg.get("zero_cost", {})
    rows = probe(base, graph, kept, splits, calibration, work.device, work.sidecar, zero_cost)
    write_csv(work.out.csv, rows, (*PROBE_COLUMNS, *zero_cost))
