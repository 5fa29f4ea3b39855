"""Table of predictors: how well scores and simple quantities rank networks before they are tuned."""

import pandas as pd
from sacp import files, job, predictors, provenance, report

with job.logged(snakemake.log[0], snakemake.threads):
    cfg = snakemake.params.cfg
    record = provenance.record(snakemake.rule, cfg, snakemake.params.code, snakemake.input, seed=None)
    raw = pd.concat([pd.read_csv(path) for path in snakemake.input], ignore_index=True)
    table = pd.DataFrame(predictors.table(raw, cfg["bands"], cfg["resamples"]), columns=list(predictors.COLUMNS))
    notes = [f"{cfg['resamples']} resamples.", provenance.mixture_note(record)]
    outputs = report.save(snakemake.output.csv, table, report.CAPTIONS["predictors"], notes)
    with files.atomic(snakemake.output.raw) as temporary:
        raw.to_csv(temporary, index=False)
    outputs.append(snakemake.output.raw)
    files.write_json(snakemake.output.provenance, provenance.finished(record, outputs=outputs))
