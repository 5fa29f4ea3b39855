"""Choose the winner among the fully trained candidates by validation accuracy."""

import shutil
from pathlib import Path

from sacp import files, job, provenance, ranking

with job.logged(snakemake.log[0], snakemake.threads):
    ranked = snakemake.input.ranked  # of a search; a baseline has none
    tuned = ranking.load_tuned(ranked) if ranked else []
    winner = ranking.choose_winner([files.read_json(path) for path in snakemake.input.trained], tuned)
    source = Path(snakemake.input.trained[0]).parents[1] / str(winner["candidate"])
    for name in ("network.safetensors", "network.json", "history.csv"):
        with files.atomic(Path(snakemake.output.metrics).parent / name) as temporary:
            shutil.copyfile(source / name, temporary)
    protocol = files.read_json(snakemake.input.protocol)
    protocol.pop("provenance")
    seed, copies = int(snakemake.wildcards.seed), snakemake.output[1:]
    record = provenance.record(snakemake.rule, {}, snakemake.params.code, snakemake.input, seed)
    record = provenance.finished(record, outputs=copies)
    files.write_json(snakemake.output.metrics, winner | {"protocol": protocol, "provenance": record})
    job.log.info("winner: candidate %d of %d", winner["candidate"], len(snakemake.input.trained))
