"""Choose the winner among the fully trained candidates by validation accuracy."""

import shutil
from pathlib import Path

from sacp.artefacts.files import atomic, read_json, write_json
from sacp.artefacts.lookup import load
from sacp.artefacts.record import of_training
from sacp.compute import job
from sacp.training.ranking import choose_winner, known, load_tuned

with job.running(snakemake) as work:
    # What was tuned: by a search, whose table comes with its record, or by a baseline that judges networks.
    tuned = [row for path in [*work.given.ranked[:1], *work.given.judged] for row in load_tuned(path)]
    trained = known(work.given.trained)
    winner = choose_winner([read_json(path) for path in trained], tuned)
    source = Path(trained[0]).parents[1] / str(winner["candidate"])
    copies = [Path(copy) for copy in (work.out.weights, work.out.description, work.out.history)]
    work.also_read(*(source / copy.name for copy in copies))
    for copy in copies:
        with atomic(copy) as temporary:
            shutil.copyfile(source / copy.name, temporary)
    # What methods at the same FLOPs depend on: a winner that differs in accuracy alone reruns none of them.
    write_json(work.out.cost, {key: winner[key] for key in ("flops", "parameters")})
    work.facts["trained"] = [of_training(load(path)) for path in work.given.records]
    write_json(work.out.metrics, winner | {"protocol": read_json(work.given.protocol)})
    job.log.info("winner: candidate %d of %d", winner["candidate"], len(trained))
