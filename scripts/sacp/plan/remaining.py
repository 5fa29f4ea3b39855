"""How many jobs of a run are left, those included that are planned only when a checkpoint is done."""

import logging
from collections import Counter
from collections.abc import Iterable
from typing import Any

from snakemake.logging import logger

from sacp.plan.experiments import Experiments

RANKED, CHOSEN, TRAINED, SWEPT = "rank_tuned", "select_winner", "train_candidate", "draw_sweeps"  # rules


def remaining(jobs: Iterable[Any], experiments: Experiments) -> tuple[dict[str, int], list[str]]:
    """Jobs that are left, by rule in the order of `jobs`, and rules of which more may come than are counted.

    Which candidates are trained fully is known when a search's candidates are ranked, how many a winner is chosen from
    is known before. Figure 2 may want others, how many is not known.

    Args:
        jobs: of Snakemake's plan, that are to run and are not done; those without an output only name what is wanted.
        experiments: of the resolved config.
    """
    jobs = [job for job in jobs if job.output]
    left = Counter(job.rule.name for job in jobs)
    unranked = {_search(job.wildcards) for job in jobs if job.rule.name == RANKED}
    for job in jobs:
        here = job.wildcards
        if job.rule.name == CHOSEN and (here.experiment, here.seed, experiments.search_of(here)) in unranked:
            left[TRAINED] += experiments.chosen_from(here)
    drawn = {job.wildcards.experiment for job in jobs if job.rule.name == SWEPT}
    waiting = drawn & {experiment for experiment, _, _ in unranked}
    grows = any(len(experiments.sweep_sizes(experiment)) > 1 for experiment in waiting)
    return dict(left), [TRAINED] if grows else []


def tell(jobs: Iterable[Any], experiments: Experiments, results: str) -> None:
    """Tell the logger plugins of a run what is left; no other output shows it."""
    left, growing = remaining(jobs, experiments)
    facts = {"msg": "", "levelno": logging.DEBUG, "levelname": "DEBUG", "name": logger.name}
    logger.handle(logging.makeLogRecord({**facts, "jobs_left": left, "growing": growing, "results": results}))


def _search(place: Any) -> tuple[str, str, str]:
    return place.experiment, place.seed, place.method
