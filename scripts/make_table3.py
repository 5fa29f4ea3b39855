"""Table 3: reported rows of the paper beside the rows measured here, and behind them what others report."""

from itertools import islice

import pandas as pd
from sacp.artefacts.files import read_json
from sacp.artefacts.lookup import load, load_all
from sacp.artefacts.record import mixture_note
from sacp.compute import job
from sacp.report import formats, frontier, tables

with job.running(snakemake) as work:
    models, seeds, reported = work.cfg["models"], work.cfg["seeds"], pd.read_csv(work.given.reported)
    known = pd.read_csv(work.given.frontier)
    on_gpu = any(
        load(path)["gpus"] for number in range(len(work.given.bases)) for path in work.given.get(f"base{number}")
    )

    def finished(kind: str) -> list[tables.Metrics]:
        """Metrics of all bases or winners, with the device-hours of each."""
        found = []
        for number, path in enumerate(work.given.get(f"{kind}s")):
            hours = tables.device_hours(load_all(work.given.get(f"{kind}{number}")), on_gpu)
            found.append(read_json(path) | {"device_hours": hours})
        return found

    rows, others, notes, timed = [], [], [], iter(work.given.get("latency", ()))
    for model, base, methods in tables.runs(models, len(seeds), finished("base"), finished("winner")):
        settings = models[model]
        rows += tables.reported_rows(reported, settings["reported"], model)
        measured = tables.measured_rows(model, base, methods, settings["methods"], settings["spaces"])
        if model in work.cfg["timed"]:
            times = tables.latencies(pd.read_csv(path) for path in islice(timed, len(seeds)))
            measured = [row | times[row["method"]] for row in measured]
        rows += measured
        others += frontier.rows(known, settings["reported"], model)
        notes.append(tables.images_note(base, model, settings["reported"]))
        notes.append(tables.reading_note(settings["readings"], model))
        notes.append(tables.failure_note(methods, model))
    formats.save(work.out.csv, tables.table3([*rows, *others]), tables.TABLE3, [*notes, mixture_note(work.record)])
