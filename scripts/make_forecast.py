"""Forecast what the run costs: jobs, seconds and device hours by stage, and the wall time."""

import math

from sacp.artefacts.files import write_csv
from sacp.compute import long_job
from sacp.forecast import jobs, schedule
from sacp.forecast.costs import costs_of

with long_job.resuming(snakemake) as work:
    limits = schedule.Limits(*(math.inf if work.cfg[name] is None else work.cfg[name] for name in ("cores", "gpus")))
    costs, start_seconds = costs_of(work.cfg, limits, work.sidecar)
    expected, bounds = jobs.jobs_of(work.cfg, costs), jobs.range_of(work.cfg, costs)
    on_gpu = long_job.device(work.cfg["device"]).type == "cuda"
    rows = schedule.table(expected, bounds, start_seconds, limits, on_gpu)
    write_csv(work.out.csv, rows, schedule.COLUMNS)
    long_job.log.info("%s", schedule.as_text(rows, schedule.COLUMNS))
