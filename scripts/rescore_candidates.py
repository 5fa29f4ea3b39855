"""Rank the candidates that are not tuned yet anew, by what the tuned ones have taught."""

import numpy as np
import pandas as pd
from sacp import artefacts, checkpoint, criteria, job, provenance, ranking, reranking
from sacp.networks import NetworkSpec
from sacp.space import kept_counts

with job.logged(snakemake.log[0], snakemake.threads):
    cfg, seed, given = snakemake.params.cfg, int(snakemake.wildcards.seed), snakemake.input
    record = provenance.record(snakemake.rule, cfg, snakemake.params.code, given, seed)
    graph = checkpoint.load_graph(given.network)
    base = checkpoint.load_base(given.base, NetworkSpec(**cfg["network"]))
    norms, candidates = criteria.l1_norms(base.network, graph), artefacts.Candidates(given.configs)

    def mass(numbers):
        """Log masses of candidates, [n] -> [n, G]."""
        order = np.argsort(numbers)
        found = np.empty((len(numbers), len(norms)))
        counts = kept_counts(candidates.rows(numbers[order]), graph.channels, candidates.levels)
        found[order] = np.log(criteria.kept_mass(norms, counts))
        return found

    scored = artefacts.load_scores(given.scores)
    scores = pd.Series(scored["score"].astype(float), index=scored["candidate"])
    tuned = pd.DataFrame([row for path in given.tuned for row in ranking.load_tuned(path)])
    trained = tuned[tuned["failure"].isna() | (tuned["failure"] == "")]
    numbers = trained["candidate"].to_numpy(np.int64)
    lesson = reranking.learn(scores[numbers].to_numpy(), mass(numbers), trained[ranking.ACCURACY].to_numpy(np.float64))
    rest = scored[~np.isin(scored["candidate"], tuned["candidate"])]
    if lesson is None:
        job.log.info("%d tuned networks, too few to learn from: ranks stay", len(trained))
    else:
        job.log.info(
            "left-out networks: error %.2f %% by the score alone, %.2f %% with the masses of %d tuned networks: %s",
            lesson.error_of_score, lesson.error, len(trained), "ranked anew" if lesson.is_better else "ranks stay",
        )  # fmt: skip
    if lesson is not None and lesson.is_better:
        predicted = np.concatenate(
            [
                lesson.model.predict(part["score"].astype(float), mass(part["candidate"]))
                for part in np.array_split(rest, -(-len(rest) // artefacts.BLOCK_ROWS))
            ]
        )
        order = np.argsort(-predicted, kind="stable")
        rest = rest[order]
        rest["score"] = predicted[order]
    first = scored[np.isin(scored["candidate"], tuned["candidate"])]
    artefacts.save_scores(snakemake.output[0], np.concatenate([first, rest]), provenance.finished(record))
