"""Rank the candidates that are not tuned yet anew, by what the tuned ones have taught."""

import numpy as np
from sacp import artefacts, checkpoint, criteria, job, provenance, ranking, reranking
from sacp.networks import NetworkSpec

with job.logged(snakemake.log[0], snakemake.threads):
    cfg, seed, given = snakemake.params.cfg, int(snakemake.wildcards.seed), snakemake.input
    record = provenance.record(snakemake.rule, cfg, snakemake.params.code, given, seed)
    graph = checkpoint.load_graph(given.network)
    base = checkpoint.load_base(given.base, NetworkSpec(**cfg["network"]))
    candidates = artefacts.Candidates(given.configs)
    logs = criteria.log_mass_by_step(criteria.l1_norms(base.network, graph), candidates.levels)

    def mass(steps):
        """Log masses of configurations, [n, G] -> [n, G]."""
        return np.stack([values[steps[:, group]] for group, values in enumerate(logs)], axis=1)

    scored = artefacts.load_scores(given.scores)
    scores = np.full(candidates.total, np.nan)  # of those that have one
    scores[scored["candidate"]] = scored["score"]
    tuned = [row for path in given.tuned for row in ranking.load_tuned(path)]
    # HDF5 reads rows in ascending order.
    trained = sorted((row for row in tuned if not row["failure"]), key=lambda row: row["candidate"])
    numbers = np.array([row["candidate"] for row in trained], np.int64)
    accuracies = np.array([row[ranking.ACCURACY] for row in trained], np.float64)
    lesson = reranking.learn(scores[numbers], mass(candidates.rows(numbers)), accuracies)
    is_tuned = np.isin(scored["candidate"], [row["candidate"] for row in tuned])
    first, rest = scored[is_tuned], scored[~is_tuned]
    if lesson is None:
        job.log.info("%d tuned networks, too few to learn from: ranks stay", len(trained))
    else:
        job.log.info(
            "left-out networks: error %.2f %% by the score alone, %.2f %% with the masses of %d tuned networks: %s",
            lesson.error_of_score, lesson.error, len(trained), "ranked anew" if lesson.is_better else "ranks stay",
        )  # fmt: skip
    if lesson is not None and lesson.is_better:
        predicted = np.empty(candidates.total)
        for start, steps in candidates:
            here = np.flatnonzero(~np.isnan(scores[start : start + len(steps)]))
            block = start + here
            predicted[block] = lesson.model.predict(scores[block], mass(steps[here]), lesson.domain)
        order = np.argsort(-predicted[rest["candidate"]], kind="stable")
        rest = rest[order]
        rest["score"] = predicted[rest["candidate"]]
    artefacts.save_scores(snakemake.output[0], np.concatenate([first, rest]), provenance.finished(record))
