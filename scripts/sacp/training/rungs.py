"""Candidates tuned to the end of a rung of successive halving, each from where the rung before has left it."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sacp.network.graph import Kept
from sacp.training.candidates import Tuner
from sacp.training.halving import HALVINGS, steps_until
from sacp.training.loop import DivergenceError
from sacp.training.parts import State, train_part

log = logging.getLogger(__name__)
Row = dict[str, Any]  # of `ranking.TUNED_COLUMNS`
Before = Callable[[int], State]  # the state of a candidate at the end of the rung before
Keep = Callable[[int, State], None]  # takes that at the end of this one
PRECISION = "precision"  # in a state: that of all its steps, whatever this machine is fast at
BEGAN = "began"  # in the sidecar: the precision of the candidate that is being tuned


def tune_rung(
    tuner: Tuner, rung: int, rows: Sequence[Mapping[str, Any]], kept: Mapping[int, Kept], before: Before, keep: Keep
) -> tuple[list[Row], list[dict[str, Any]]]:
    """Tune candidates one after the other; a run that was killed goes on with the one it was in.

    A candidate that failed in a rung before is passed on as it is. One that comes through all rungs ends in the bits of
    one that `Tuner.tune` tunes at once.

    Args:
        tuner: what all tunings share.
        rung: its number, from 0.
        rows: `candidate`, `rank` by score and, after the first rung, `failure`, in the order in which they are tuned.
        kept: channels of each candidate.
        before: where a candidate's state comes from; not asked in the first rung.
        keep: where its state goes; not asked in the last.

    Returns:
        Rows of `TUNED_COLUMNS`, of the accuracy at the end of the rung, and rows of `TUNED_HISTORY_COLUMNS`, of all
        epochs that are done.
    """
    for number, row in enumerate(rows[len(tuner.rows) :], start=len(tuner.rows) + 1):
        label = f"candidate {row['candidate']} ({number}/{len(rows)}, rung {rung + 1}/{HALVINGS + 1})"
        found = dict(row) if row.get("failure") else _tuned(tuner, rung, row, kept, before, keep, label)
        tuner.record(found)
    return tuner.rows, tuner.history


def _tuned(
    tuner: Tuner, rung: int, row: Mapping[str, Any], kept: Mapping[int, Kept], before: Before, keep: Keep, label: str
) -> Row:
    """The row of a candidate that is tuned to the end of a rung."""
    candidate: int = row["candidate"]
    channels, saved = kept[candidate], tuner.sidecar.state
    if rung and "training" not in saved:
        saved["training"] = before(candidate)
        saved[BEGAN] = saved["training"][PRECISION]
    accuracy, failure = None, None
    try:
        accuracy = _accuracy(tuner, rung, candidate, channels, keep, label)
    except DivergenceError as error:
        failure = str(error)
        log.warning("%s; recorded as failed", failure)
    return {"rank": row["rank"], **tuner.row(candidate, channels, accuracy, failure)}


def _accuracy(tuner: Tuner, rung: int, candidate: int, channels: Kept, keep: Keep, label: str) -> float:
    """Train a candidate to the end of a rung, keep its state, and evaluate it: percent of the validation images."""
    network = tuner.pruned(channels)
    precision = tuner.sidecar.state[BEGAN] if rung else tuner.engine.precision
    history, state = train_part(
        steps_until(rung, tuner.recipe.epochs * len(tuner.source)), network, tuner.splits, tuner.recipe, tuner.seed,
        label, replace(tuner.engine, precision=precision), tuner.sidecar, tuner.source, tuner.calibration,
        tuner.base,
    )  # fmt: skip
    if rung < HALVINGS:
        keep(candidate, {**state, PRECISION: precision})
    return tuner.validated(candidate, network, history, label)
