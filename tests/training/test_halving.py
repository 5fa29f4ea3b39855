"""Successive halving: candidates that come through all rungs have the bits of those that are tuned at once."""

import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sacp.compute.arithmetic import Engine
from sacp.compute.resume import Sidecar
from sacp.compute.shelf import Shelf, taken
from sacp.errors import InputError
from sacp.network.graph import Kept
from sacp.pruning.criteria import kept_of, l1_order
from sacp.tracing.trace import trace
from sacp.training import candidates, parts, rungs
from sacp.training.candidates import Tuner
from sacp.training.evaluation import Calibration
from sacp.training.halving import HALVINGS, halved, numbers, steps_until
from sacp.training.loop import batches_of, train
from sacp.training.parts import State, train_part
from sacp.training.ranking import ACCURACY
from sacp.training.recipe import Recipe
from sacp.training.rungs import tune_rung
from trainings import RECIPE, Interrupting, digits, fresh, same_weights, timeless

CPU = torch.device("cpu")
ALL_SETTINGS = {
    "epochs": 3, "crop_padding": 1, "flip": True, "ema_decay": 0.9, "warmup_epochs": 1, "label_smoothing": 0.1,
    "validate_every": 1,
}  # fmt: skip
RECIPES = {
    "one epoch": replace(RECIPE, epochs=1),
    "two epochs": RECIPE,
    "all settings": replace(RECIPE, **ALL_SETTINGS),
    "a single step": replace(RECIPE, epochs=1, batch_size=64),
}
NUMBERS = (3, 7, 5, 0)


@pytest.mark.parametrize(
    ("m", "found"), [(20, [20, 10, 5]), (150, [150, 75, 38]), (4, [4, 2, 1]), (3, [3, 2, 1]), (1, [1, 1, 1])]
)
def test_half_of_the_candidates_goes_on_the_larger_half_of_an_odd_number(m, found):
    assert numbers(m) == found
    rows = [{"candidate": each, ACCURACY: 50.0 + each, "failure": None} for each in range(m)]
    kept, dropped = halved(rows)
    assert (len(kept), len(dropped)) == (found[1], m - found[1])
    assert [row["candidate"] for row in [*kept, *dropped]] == list(reversed(range(m)))


def test_candidates_that_failed_are_the_last_to_go_on_and_there_must_be_others():
    failed = [{"candidate": each, ACCURACY: None, "failure": "the loss is nan"} for each in range(3)]
    fine = {"candidate": 9, ACCURACY: 1.0, "failure": None}
    kept, dropped = halved([*failed, fine])
    assert ([row["candidate"] for row in kept], [row["candidate"] for row in dropped]) == ([9, 0], [1, 2])
    with pytest.raises(InputError, match="tune: all 3 candidates failed"):
        halved(failed)


@pytest.mark.parametrize(("steps", "found"), [(40, [10, 20, 40]), (43, [11, 22, 43]), (3, [1, 2, 3]), (1, [1, 1, 1])])
def test_a_rung_ends_at_a_quarter_at_half_and_at_all_of_the_steps(steps, found):
    assert [steps_until(rung, steps) for rung in range(HALVINGS + 1)] == found


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_training_in_parts_ends_in_the_bits_of_one_that_never_stopped(recipe, precision):
    whole, engine = fresh(), Engine(precision)
    history = train(whole, digits(), recipe, 5, "run", engine)
    source, state, found = batches_of(digits(), recipe, CPU), None, []
    total = recipe.epochs * len(source)
    for last in range(1, total + 1):
        network, sidecar = fresh(last), Sidecar()  # other weights: all that counts is in the state
        if state is not None:
            sidecar.state["training"] = state
        else:
            network = fresh()
        found, state = train_part(last, network, digits(), recipe, 5, "run", engine, sidecar, source)
        assert len(found) == last // len(source)
        assert (state["epoch"], state["step"]) == divmod(last, len(source))
    assert same_weights(network, whole)
    assert timeless(found) == timeless(history)


def test_what_is_evaluated_at_the_end_of_a_part_changes_nothing_in_its_state():
    recipe = RECIPES["all settings"]
    network, source = fresh(), batches_of(digits(), recipe, CPU)
    _, state = train_part(5, network, digits(), recipe, 5, "run", Engine(), Sidecar(), source)
    before = {name: value.clone() for name, value in state["network"].items()}
    assert not same_weights(network, _with(before))  # the average of weights is evaluated
    Calibration(digits(), 32, 0)(network)
    assert all(torch.equal(state["network"][name], before[name]) for name in before)


def _with(state: dict[str, torch.Tensor]) -> torch.nn.Module:
    network = fresh()
    network.load_state_dict(state)
    return network


Pruning = tuple[torch.nn.Module, object, dict[int, Kept]]


@pytest.fixture(scope="module")
def pruning() -> Pruning:
    """A base, its graph and the kept channels of four candidates."""
    base = fresh()
    graph = trace(base, (1, 1, 8, 8))
    order, groups = l1_order(base, graph), len(graph.groups)
    return base, graph, {n: kept_of(np.full(groups, n, np.uint8), order, graph, 10) for n in NUMBERS}


def tuner(pruning: Pruning, recipe: Recipe, sidecar: Sidecar | None = None, engine: Engine | None = None) -> Tuner:
    base, graph, _ = pruning
    calibration = Calibration(digits(), 32, 0)
    return Tuner(base, graph, digits(), recipe, 1, CPU, calibration, engine or Engine(), sidecar)


def start(numbers: tuple[int, ...] = NUMBERS) -> list[dict]:
    return [{"rank": rank, "candidate": candidate} for rank, candidate in enumerate(numbers)]


Rung = Callable[..., tuple[list[dict], list[dict]]]


def through(pruning: Pruning, recipe: Recipe, tune: Rung) -> tuple[list[list[dict]], list[dict]]:
    """All rungs: the rows of each, and the history of the last."""
    rows, found, states = start(), [], {}
    for rung in range(HALVINGS + 1):
        made: dict[int, State] = {}
        tuned, history = tune(rung, rows, states.__getitem__, made.__setitem__)
        states = made
        found.append(tuned)
        rows, _ = halved(tuned)
    assert states == {}  # of the last rung nothing goes on
    return found, history


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_those_that_come_through_all_rungs_are_those_that_are_tuned_at_once(pruning, recipe):
    def tune(rung, rows, before, keep):
        return tune_rung(tuner(pruning, recipe), rung, rows, pruning[2], before, keep)

    found, history = through(pruning, recipe, tune)
    assert [len(rows) for rows in found] == [4, 2, 1]
    row = found[-1][0]
    candidate = row["candidate"]
    whole = tuner(pruning, recipe)
    expected = whole.tune(candidate, pruning[2][candidate], "whole")
    assert row == expected | {"rank": NUMBERS.index(candidate)}
    assert timeless(history) == timeless(whole.history)


def test_no_step_is_made_twice_and_half_of_the_steps_are_made(pruning, monkeypatch):
    steps, take = [], parts._Part._take_step
    monkeypatch.setattr(parts._Part, "_take_step", lambda self, *a: steps.append(self.step) or take(self, *a))
    tune = lambda rung, rows, *states: tune_rung(tuner(pruning, RECIPE), rung, rows, pruning[2], *states)  # noqa: E731
    through(pruning, RECIPE, tune)
    assert len(steps) == 4 * 2 + 2 * 2 + 1 * 4  # of 4 * 8


def in_jobs(pruning: Pruning, recipe: Recipe, folder: Path, at: int | None = None) -> Rung:
    """Rungs in jobs that keep states in files; one that is given the number of a step is killed there, once."""

    def tune(rung: int, rows: list[dict], *_: object) -> tuple[list[dict], list[dict]]:
        sidecar, archives = Sidecar(folder / f"state{rung}.pt", "key", 1e9), [folder / f"{rung - 1}.zip"]
        shelf, one = Shelf(sidecar), tuner(pruning, recipe, sidecar)
        if at is not None and not (folder / f"killed{rung}").exists():
            one.source = Interrupting(one.source, at, signal.SIGTERM)
            (folder / f"killed{rung}").touch()
        made = tune_rung(one, rung, rows, pruning[2], lambda number: taken(archives, number), shelf.put)
        shelf.archive(folder / f"{rung}.zip")
        return made

    return tune


@pytest.mark.parametrize("at", [0, 1, 2, 3, 5])
def test_a_rung_that_is_killed_goes_on_with_the_candidate_it_was_in(pruning, tmp_path, at):
    def tune(rung, rows, *states):
        rung_of = in_jobs(pruning, RECIPE, tmp_path / "killed", at)
        try:
            return rung_of(rung, rows, *states)
        except SystemExit:
            return rung_of(rung, rows, *states)

    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    expected, history = through(pruning, RECIPE, in_jobs(pruning, RECIPE, tmp_path / "whole"))
    found, again = through(pruning, RECIPE, tune)
    assert (found, timeless(again)) == (expected, timeless(history))
    assert (tmp_path / "killed/killed0").exists()


def test_a_candidate_that_fails_in_a_rung_is_passed_on_with_its_reason(pruning, monkeypatch):
    def train_or_diverge(last, network, splits, recipe, seed, label, *rest):
        recipe = replace(recipe, lr=1e20) if "candidate 7 " not in label else recipe
        return train_part(last, network, splits, recipe, seed, label, *rest)

    recipe = RECIPE  # a first rung of two steps: the loss of a first one is that of the base
    monkeypatch.setattr(rungs, "train_part", train_or_diverge)
    found, history = through(
        pruning, recipe, lambda rung, rows, *to: tune_rung(tuner(pruning, recipe), rung, rows, pruning[2], *to)
    )
    assert [row["candidate"] for row in found[1]] == [7, 0]
    assert [bool(row["failure"]) for row in found[0]] == [True, False, True, True]
    assert found[1][1] == found[0][3]
    assert "the loss is nan in epoch 1; lower lr 1e+20" in found[0][3]["failure"]
    assert {row["candidate"] for row in history} == {7}


def test_a_candidate_goes_on_in_the_precision_in_which_it_began(pruning):
    whole = tuner(pruning, RECIPE, engine=Engine("bfloat16"))
    expected = whole.tune(7, pruning[2][7], "whole")
    engines, states = iter([Engine("bfloat16"), Engine("float32"), Engine("float32")]), {}
    for rung, engine in enumerate(engines):
        made = {}
        one = tuner(pruning, RECIPE, engine=engine)
        rows, history = tune_rung(one, rung, start((7,)), pruning[2], states.__getitem__, made.__setitem__)
        states = made
    assert rows == [expected | {"rank": 0}]
    assert timeless(history) == timeless(whole.history)


def test_the_shelf_is_no_part_of_tuning_at_once():
    """The other tunings, whose results are kept, must not depend on what halving adds."""
    assert not {"train_part", "tune_rung"} & vars(candidates).keys()
