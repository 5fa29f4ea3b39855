"""Forecast what the run costs: jobs, seconds and device hours by stage, and the wall time."""

import math

from sacp import files, forecast, job, measure, provenance

with job.logged(snakemake.log[0], snakemake.threads):
    cfg = snakemake.params.cfg
    limits = forecast.Limits(*(math.inf if cfg[name] is None else cfg[name] for name in ("cores", "gpus")))
    costs, start_seconds = measure.costs_of(cfg, limits)
    jobs = forecast.jobs_of(cfg, costs)
    on_gpu = job.device(cfg["device"]).type == "cuda"
    rows = forecast.table(jobs, forecast.range_of(cfg, costs), start_seconds, limits, on_gpu)
    files.write_csv(snakemake.output.csv, rows, forecast.COLUMNS)
    record = provenance.record(snakemake.rule, cfg, snakemake.params.code, snakemake.input, seed=None)
    files.write_json(snakemake.output.provenance, provenance.finished(record, outputs=[snakemake.output.csv]))
    job.log.info("%s", forecast.as_text(rows, forecast.COLUMNS))
