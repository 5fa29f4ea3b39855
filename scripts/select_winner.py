"""Choose the winner among the fully trained candidates by validation accuracy."""

import shutil
from pathlib import Path

from sacp.artefacts.files import atomic, read_json, write_json
from sacp.compute import job
from sacp.training.ranking import choose_winner, load_tuned

with job.running(snakemake) as work:
    ranked = work.given.ranked  # of a search; a baseline has none
    winner = choose_winner([read_json(path) for path in work.given.trained], load_tuned(ranked) if ranked else [])
    source = Path(work.given.trained[0]).parents[1] / str(winner["candidate"])
    for copy in (work.out.weights, work.out.description, work.out.history):
        with atomic(copy) as temporary:
            shutil.copyfile(source / Path(copy).name, temporary)
    write_json(work.out.metrics, winner | {"protocol": read_json(work.given.protocol)})
    job.log.info("winner: candidate %d of %d", winner["candidate"], len(work.given.trained))
